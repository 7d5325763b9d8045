"""Bi-Real Net: ResNet-18 with a shortcut around every binary convolution."""

from __future__ import annotations

import tf_keras

import larqlite as lq
from larqlite_zoo._build import finish, global_pool, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model

INITIALIZER = "glorot_normal"
SECTIONS = (64, 128, 256, 512)
BLOCKS = 4


@register_model(
    "birealnet",
    summary="ResNet-18 with a shortcut around every binary convolution.",
    paper=Paper(
        "Bi-Real Net: Enhancing the Performance of 1-bit CNNs With Improved "
        "Representational Capability and Advanced Training Algorithm",
        "https://arxiv.org/abs/1808.00278",
        2018,
    ),
    published=(
        Accuracy("imagenet", 57.47, 79.84, LARQ_ZOO),
        Accuracy("imagenet", 56.4, None, "the paper, Bi-Real net with 18 layers"),
    ),
    weights=(
        larq_zoo_file(
            "birealnet-v0.3.0",
            "birealnet_weights.h5",
            "6e6efac1584fcd60dd024198c87f42eb53b5ec719a5ca1f527e1fe7e8b997117",
        ),
        larq_zoo_file(
            "birealnet-v0.3.0",
            "birealnet_weights_notop.h5",
            "5148b61c0c2a1094bdef811f68bf4957d5ba5f83ad26437b7a4a6855441ab46b",
            include_top=False,
        ),
    ),
    recipe="TrainBiRealNet",
    keras_name="birealnet18",
)
def BiRealNet(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """ResNet-18 whose real-valued activations pass by every binary convolution.

    Each of the 16 blocks is `batch_norm(conv(sign(x))) + x`; where the size halves, the
    shortcut is an average, a float 1x1 convolution and a normalization. Inputs are
    quantized by `approx_sign`, kernels by `magnitude_aware_sign`.

    Args:
        input_shape: `(height, width, channels)` of one float32 image; (224, 224, 3) by
            default, of any size without classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for Larq Zoo's, the path of a file, or None.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.

    Returns:
        A model with the output `(batch, num_classes)`, probabilities in float32; or
        `(batch, height / 32, width / 32, 512)` features without classifier.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.literature import BiRealNet
        >>> BiRealNet(input_shape=(64, 64, 3), weights=None).output_shape
        (None, 1000)

    References:
        Bi-Real Net, https://arxiv.org/abs/1808.00278
    """
    image = image_input(
        "BiRealNet",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
    )
    x = tf_keras.layers.Conv2D(
        64,
        7,
        strides=2,
        padding="same",
        kernel_initializer=INITIALIZER,
        use_bias=False,
    )(image)
    x = tf_keras.layers.BatchNormalization(momentum=0.8)(x)
    x = tf_keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for filters in SECTIONS:
        for _ in range(BLOCKS):
            x = _block(x, filters)
    if include_top:
        x = global_pool(x)
        x = tf_keras.layers.Dense(num_classes)(x)
        x = tf_keras.layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "birealnet18", weights=weights, include_top=include_top)


def _block(x, filters: int):
    shortcut, strides = x, 1
    if x.shape[-1] != filters:
        shortcut, strides = _smaller(x, filters), 2
    x = lq.layers.QuantConv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        input_quantizer="approx_sign",
        kernel_quantizer="magnitude_aware_sign",
        kernel_initializer=INITIALIZER,
        kernel_constraint="weight_clip",
    )(x)
    x = tf_keras.layers.BatchNormalization(momentum=0.8)(x)
    return tf_keras.layers.Add()([x, shortcut])


def _smaller(x, filters: int):
    x = tf_keras.layers.AveragePooling2D(2, strides=2, padding="same")(x)
    x = tf_keras.layers.Conv2D(
        filters, 1, kernel_initializer=INITIALIZER, use_bias=False
    )(x)
    return tf_keras.layers.BatchNormalization(momentum=0.8)(x)
