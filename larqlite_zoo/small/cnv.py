"""CNV: the convolutional network of FINN and Brevitas for CIFAR-10, all layers quantized."""

from __future__ import annotations

import os
from typing import Any

import tf_keras

from larqlite_zoo._build import Shape, finish, image_input
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.small._quantized_parts import QuantizedLayers

__all__ = ["CNV"]

_layers = tf_keras.layers


@register_model(
    "cnv",
    summary="Six convolutions without borders and three dense layers, all binary.",
    paper=Paper(
        "FINN: A Framework for Fast, Scalable Binarized Neural Network Inference",
        "https://arxiv.org/abs/1612.07119",
        2017,
    ),
    input_shape=(32, 32, 3),
    num_classes=10,
    recipe="TrainCNV",
    notes=(
        "W1A1 by default; input_quantizer and kernel_quantizer give it other widths, "
        '"float" for both its twin. width=32 is half of it.',
        "The images enter as they are, bytes scaled to [-1, 1]: the kernels of the first "
        "convolution are quantized, its inputs are not.",
    ),
)
def CNV(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    width: int = 64,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
) -> tf_keras.Model:
    r"""CNV: 3x3 convolutions of $w, w, 2w, 2w, 4w, 4w$ filters, dense layers of $8w, 8w$.

    A 2x2 maximum stands after the second and the fourth convolution, and no border is
    padded, so that 32 pixels become 1. Each layer is quantized, its kernel and, but for
    the first, its input; each is normalized, the classifier too.

    $$ y = \mathrm{BN}(\mathrm{conv}_{3 \times 3}(q_a(x); q_w(w))) $$

    A ReLU follows in the float twin, and before a quantizer of inputs without levels below zero,
    or of more than two bits.

    Args:
        input_shape: `(height, width, channels)`, (32, 32, 3) by default with the
            classifier; at least 32 pixels.
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the dense layers are part of it.
        num_classes: of the classifier.
        width: filters of the first convolution.
        input_quantizer: of what enters a layer, such as `"dorefa(2)"`; None or "float" for
            none.
        kernel_quantizer: of the kernels, such as `"dorefa(2, mode='weights')"`.

    Returns:
        The model "cnv": images to probabilities `(batch, num_classes)`, or to features
        `(batch, 1, 1, 4 * width)` of an image of 32x32 without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.
        UnknownQuantizerError: nothing is known by the name of a quantizer.

    Example:
        >>> from larqlite_zoo.small import CNV
        >>> costs = lq.models.profile(CNV())
        >>> costs.params_by_bits[1]
        1542848

    References:
        FINN, https://arxiv.org/abs/1612.07119, section 4.1; W1A1, W1A2 and W2A2 of it
        are examples of Brevitas, https://doi.org/10.5281/zenodo.3333552.
    """
    image = image_input(
        "CNV", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        default_size=32, minimum_size=32, width=width,
    )  # fmt: skip
    quantized = QuantizedLayers(input_quantizer, kernel_quantizer)
    settings = {"use_bias": False}
    if quantized.is_float:
        settings["kernel_initializer"] = "he_normal"
    x = image
    for number, factor in enumerate((1, 1, 2, 2, 4, 4)):
        layer = quantized.conv(
            factor * width, 3, quantizes_input=number > 0, **settings
        )
        x = _normalized(layer(x))
        if number in (1, 3):
            x = _layers.MaxPool2D(2)(x)
        if number < 5:
            x = quantized.activation(x)
    if include_top:
        x = _layers.Flatten()(x)
        for units in (8 * width, 8 * width, num_classes):
            x = quantized.activation(x)
            x = _normalized(quantized.dense(units, **settings)(x))
        x = _layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "cnv", weights=weights, include_top=include_top)


def _normalized(x):
    return _layers.BatchNormalization(momentum=0.9)(x)
