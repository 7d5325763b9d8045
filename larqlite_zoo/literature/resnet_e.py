"""BinaryResNetE18 and its deeper relatives: residual networks without bottlenecks."""

from __future__ import annotations

import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite_zoo._build import finish, global_pool, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model

CLIP = 1.25
NARROW, WIDE = (64, 128, 256, 512), (256, 512, 1024, 2048)

# Number of layers -> (blocks of two convolutions in each section, filters of each).
SECTIONS = {
    18: ((2, 2, 2, 2), NARROW),
    34: ((3, 4, 6, 3), NARROW),
    50: ((3, 4, 6, 3), WIDE),
    101: ((3, 4, 23, 3), WIDE),
    152: ((3, 8, 36, 3), WIDE),
}


@register_model(
    "binary_resnet_e18",
    summary="ResNet-18 for binary kernels: full-precision shortcuts, no bottleneck.",
    paper=Paper(
        "Back to Simplicity: How to Train Accurate BNNs from Scratch?",
        "https://arxiv.org/abs/1906.08637",
        2019,
    ),
    published=(Accuracy("imagenet", 58.32, 80.79, LARQ_ZOO),),
    weights=(
        larq_zoo_file(
            "resnet_e-v0.1.0",
            "resnet_e_18_weights.h5",
            "bde4a64d42c164a7b10a28debbe1ad5b287c499bc0247ecb00449e6e89f3bf5b",
        ),
        larq_zoo_file(
            "resnet_e-v0.1.0",
            "resnet_e_18_weights_notop.h5",
            "14cb037e47d223827a8d09db88ec73d60e4153a4464dca847e5ae1a155e7f525",
            include_top=False,
        ),
    ),
    recipe="TrainBinaryResNetE18",
    keras_name="binary_resnet_e_18",
)
def BinaryResNetE18(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
    num_layers: int = 18,
) -> tf_keras.Model:
    """ResNet whose blocks are one binary 3x3 convolution each, with a float shortcut.

    Each block is `batch_norm(conv(sign(x))) + x`; where the number of filters changes,
    the shortcut is an average, a float 1x1 convolution and a normalization. Gradients
    pass the signs up to a magnitude of 1.25. An image lower than 50 pixels enters by
    one 3x3 convolution; a larger one is first reduced to a quarter.

    Args:
        input_shape: `(height, width, channels)` of one float32 image; (224, 224, 3) by
            default, of any size without classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for Larq Zoo's (18 layers only), the path of a file, or None.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.
        num_layers: 18, 34, 50, 101 or 152. From 50 on the sections have four times the
            filters, in blocks of two 3x3 convolutions all the same.

    Returns:
        A model with the output `(batch, num_classes)`, probabilities in float32; or
        `(batch, height / 32, width / 32, filters)` features without classifier.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.literature import BinaryResNetE18
        >>> model = BinaryResNetE18(input_shape=(32, 32, 3), weights=None, num_classes=10)
        >>> model.name, model.output_shape
        ('binary_resnet_e_18', (None, 10))

    References:
        Back to Simplicity, https://arxiv.org/abs/1906.08637
    """
    _check_layers(num_layers, weights)
    image = image_input(
        "BinaryResNetE18",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
    )
    x = _stem(image)
    for section, (blocks, filters) in enumerate(
        zip(*SECTIONS[num_layers], strict=True)
    ):
        for convolution in range(2 * blocks):
            first_of_later_section = section > 0 and convolution == 0
            x = _block(x, filters, strides=2 if first_of_later_section else 1)
    x = tf_keras.layers.Activation("relu")(x)
    if include_top:
        x = global_pool(x)
        x = tf_keras.layers.Dense(num_classes, kernel_initializer="glorot_normal")(x)
        x = tf_keras.layers.Activation("softmax", dtype="float32")(x)
    name = f"binary_resnet_e_{num_layers}"
    return finish(image, x, name, weights=weights, include_top=include_top)


def _check_layers(num_layers: int, weights) -> None:
    if num_layers not in SECTIONS:
        raise ArgumentError(
            f"BinaryResNetE18: num_layers={num_layers!r} is not one of the depths of "
            f"the paper.\n  Fix: one of {sorted(SECTIONS)}."
        )
    if weights == "imagenet" and num_layers != 18:
        raise ArgumentError(
            f'BinaryResNetE18: weights="imagenet" with num_layers={num_layers}, but '
            "weights were published for 18 layers only.\n"
            "  Fix: weights=None, or the path of a file."
        )


def _stem(image):
    small = image.shape[1] is not None and image.shape[1] < 50
    x = tf_keras.layers.Conv2D(
        64,
        3 if small else 7,
        strides=1 if small else 2,
        padding="same",
        kernel_initializer="he_normal",
        use_bias=False,
    )(image)
    if small:
        return x
    x = _normalized(x)
    x = tf_keras.layers.Activation("relu")(x)
    x = tf_keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    return _normalized(x)


def _block(x, filters: int, strides: int):
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = _shortcut(x, filters, strides)
    x = lq.layers.QuantConv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        input_quantizer=lq.quantizers.SteSign(CLIP),
        kernel_quantizer=lq.quantizers.SteSign(CLIP),
        kernel_initializer="glorot_normal",
        kernel_constraint=lq.constraints.WeightClip(CLIP),
    )(x)
    return tf_keras.layers.Add()([_normalized(x), shortcut])


def _shortcut(x, filters: int, strides: int):
    if strides > 1:
        # "same" differs from Larq Zoo's "valid" for odd sizes only, where that fails.
        x = tf_keras.layers.AveragePooling2D(2, strides=2, padding="same")(x)
    x = tf_keras.layers.Conv2D(
        filters, 1, kernel_initializer="glorot_normal", use_bias=False
    )(x)
    return _normalized(x)


def _normalized(x):
    return tf_keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
