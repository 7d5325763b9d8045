"""ResNet18FP: the float teacher from which the real-to-binary recipe starts."""

from __future__ import annotations

import tf_keras

from larqlite_zoo._build import finish, image_input
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.literature._real_to_bin_parts import head, shortcut, stem

layers = tf_keras.layers

NAME = "resnet_fp"


@register_model(
    "resnet18_fp",
    summary="ResNet-18 in float, with the block names of the real-to-binary networks.",
    paper=Paper(
        "Deep Residual Learning for Image Recognition",
        "https://arxiv.org/abs/1512.03385",
        2015,
    ),
    recipe="TrainFPResnet18",
    keras_name="resnet_fp",
)
def ResNet18FP(
    *,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """ResNet-18 in float: the first teacher of the real-to-binary recipe.

    Block `i` computes `relu(r(r(x)) + shortcut(x))` with
    `r(x) = relu(BatchNormalization(Conv3x3(x)))`; its output is the layer
    `resnet_fp_block_<i>_out`, i = 2...9, which has the shape of the same block of the
    binary networks.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default, sizes left
            open without a classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: None for random ones, or the path of a file.
        include_top: False ends in the features `(batch, height/32, width/32, 512)`.
        num_classes: of the classifier.

    Returns:
        A model "resnet_fp" from float images to float32 probabilities.

    Raises:
        ArgumentError: arguments that do not fit, or images below 17 pixels.
        KerasVersionError: a tensor of Keras 3.

    Example:
        >>> from larqlite_zoo.literature import ResNet18FP
        >>> model = ResNet18FP(input_shape=(32, 32, 3), num_classes=10)
        >>> model.get_layer("resnet_fp_block_9_out").output.shape
        TensorShape([None, 1, 1, 512])

    References:
        Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385.
    """
    image = image_input(
        "ResNet18FP",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=17,
    )
    x = stem(image, f"{NAME}_block_1", _decay(), prelu=False)
    for block in range(2, 10):
        x = _block(x, f"{NAME}_block_{block}", halves=block in (4, 6, 8))
    if include_top:
        x = head(x, f"{NAME}_block_10", num_classes)
    return finish(image, x, NAME, weights=weights, include_top=include_top)


def _block(x, name: str, halves: bool):
    filters = x.shape[-1] * (2 if halves else 1)
    beside = shortcut(x, name, filters, _decay())
    for half, strides in (("a", 2 if halves else 1), ("b", 1)):
        x = layers.Conv2D(
            filters, 3, strides=strides, padding="same",
            kernel_regularizer=_decay(), name=f"{name}{half}_conv2d",
        )(x)  # fmt: skip
        x = layers.BatchNormalization(momentum=0.99, name=f"{name}{half}_batch_norm")(x)
        x = layers.Activation("relu", name=f"{name}{half}_relu")(x)
    x = layers.Add(name=f"{name}_skip_add")([x, beside])
    return layers.ReLU(name=f"{name}_out")(x)


def _decay():
    return tf_keras.regularizers.L2(1e-5)
