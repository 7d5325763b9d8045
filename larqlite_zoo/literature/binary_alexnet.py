"""BinaryAlexNet: AlexNet with every kernel binary, and binary inputs after the first."""

from __future__ import annotations

import tf_keras

import larqlite as lq
from larqlite_zoo._build import finish, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model


@register_model(
    "binary_alexnet",
    summary="AlexNet with binary kernels in every layer; dense layers as 1x1 convolutions.",
    paper=Paper(
        "Binarized Neural Networks",
        "https://papers.nips.cc/paper/6573-binarized-neural-networks",
        2016,
    ),
    published=(Accuracy("imagenet", 36.30, 61.53, LARQ_ZOO),),
    weights=(
        larq_zoo_file(
            "binary_alexnet-v0.3.0",
            "binary_alexnet_weights.h5",
            "7fc065c47c5c1d92389e0bb988ce6df6a4fa09d803b866e2ba648069d6652d63",
        ),
        larq_zoo_file(
            "binary_alexnet-v0.2.1",
            "binary_alexnet_weights_notop.h5",
            "1d41b33ff39cd28d13679392641bf7711174a96d182417f91df45d0548f5bb47",
            include_top=False,
        ),
    ),
    recipe="TrainBinaryAlexNet",
)
def BinaryAlexNet(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """AlexNet with binary kernels in every layer, the classifier included.

    Five convolutions (11x11 with stride 4, 5x5, and three of 3x3), of which the first
    reads the image as it is and the others its signs; three of them are pooled before
    they are normalized. The three dense layers are 1x1 convolutions on one pixel.

    Args:
        input_shape: `(height, width, channels)` of one float32 image, 57x57 at least;
            (224, 224, 3) by default, of any size without classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for Larq Zoo's, the path of a file, or None.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.

    Returns:
        A model with the output `(batch, num_classes)`, probabilities in float32; or
        `(batch, height, width, 256)` features without classifier.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.literature import BinaryAlexNet
        >>> BinaryAlexNet(weights=None, include_top=False).output_shape
        (None, None, None, 256)

    References:
        Binarized Neural Networks,
        https://papers.nips.cc/paper/6573-binarized-neural-networks
    """
    image = image_input(
        "BinaryAlexNet",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=57,
    )
    x = _block(image, 64, 11, strides=4, pool=True, input_quantizer=None)
    x = _block(x, 192, 5, pool=True)
    x = _block(x, 384, 3)
    x = _block(x, 384, 3)
    x = _block(x, 256, 3, pool=True)
    if include_top:
        height, width, channels = x.shape[1:]
        x = tf_keras.layers.Reshape((1, 1, height * width * channels))(x)
        x = _block(x, 4096, 1)
        x = _block(x, 4096, 1)
        x = _block(x, num_classes, 1)
        x = tf_keras.layers.Flatten()(x)
        x = tf_keras.layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "binary_alexnet", weights=weights, include_top=include_top)


def _block(x, filters, size, *, strides=1, pool=False, input_quantizer="ste_sign"):
    x = lq.layers.QuantConv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )(x)
    if pool:
        x = tf_keras.layers.MaxPooling2D(3, strides=2)(x)
    return tf_keras.layers.BatchNormalization(scale=False, momentum=0.9)(x)
