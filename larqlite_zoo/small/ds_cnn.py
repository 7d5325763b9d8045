"""DSCNN: depthwise separable convolutions that hear keywords, as in MLPerf Tiny."""

from __future__ import annotations

import os
from typing import Any

import tf_keras

from larqlite_zoo._build import Shape, finish, global_pool, image_input
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.small._quantized_parts import QuantizedLayers

__all__ = ["DSCNN"]

_layers = tf_keras.layers


@register_model(
    "ds_cnn",
    summary="Four depthwise separable convolutions for keywords in speech.",
    paper=Paper(
        "Hello Edge: Keyword Spotting on Microcontrollers",
        "https://arxiv.org/abs/1711.07128",
        2017,
    ),
    input_shape=(49, 10, 1),
    num_classes=12,
    notes=(
        "A float network by default. Its layers are those of kws_ref_model of MLPerf Tiny, "
        "https://arxiv.org/abs/2106.07597 (set_weights takes the variables of that SavedModel "
        "in their order): 49 steps of time with 10 cepstral coefficients, 12 words.",
    ),
)
def DSCNN(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 12,
    width: int = 64,
    input_quantizer: Any = None,
    kernel_quantizer: Any = None,
) -> tf_keras.Model:
    r"""DS-CNN: a 10x4 stem, then four times a depthwise 3x3 and a 1x1 convolution.

    $$ y = \mathrm{relu}(\mathrm{BN}(\mathrm{conv}_{1 \times 1}(
       \mathrm{relu}(\mathrm{BN}(\mathrm{depthwise}_{3 \times 3}(x)))))) $$

    The quantizers stand in all of these but the stem; the classifier stays float. One of
    inputs that has levels below zero and at most two bits takes the place of the ReLU.

    Args:
        input_shape: `(time, coefficients, 1)`, (49, 10, 1) by default with the classifier.
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the classifier is part of it.
        num_classes: of the classifier.
        width: filters of every convolution; MLPerf Tiny has 64.
        input_quantizer: of the inputs of convolutions, such as `"dorefa(4)"`; None or
            "float" for none.
        kernel_quantizer: of their kernels, such as `"dorefa(4, mode='weights')"`.

    Returns:
        The model "ds_cnn": coefficients to probabilities `(batch, num_classes)`, or to
        features `(batch, time / 2, coefficients / 2, width)` without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.
        UnknownQuantizerError: nothing is known by the name of a quantizer.

    Example:
        >>> from larqlite_zoo.small import DSCNN
        >>> DSCNN().count_params()
        24908

    References:
        Hello Edge, https://arxiv.org/abs/1711.07128; MLPerf Tiny,
        https://arxiv.org/abs/2106.07597.
    """
    image = image_input(
        "DSCNN", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        default_size=(49, 10), default_channels=1, minimum_size=4, width=width,
    )  # fmt: skip
    quantized = QuantizedLayers(input_quantizer, kernel_quantizer)
    x = _layers.Conv2D(width, (10, 4), strides=2, padding="same")(image)
    x = quantized.activation(_normalized(x))
    x = _layers.Dropout(0.2)(x)
    for block in range(4):
        x = quantized.depthwise(3, padding="same")(x)
        x = quantized.activation(_normalized(x))
        x = _normalized(quantized.conv(width, 1, padding="same")(x))
        # What no quantizer reads ends in a ReLU in any case.
        x = _layers.ReLU()(x) if block == 3 else quantized.activation(x)
    x = _layers.Dropout(0.4)(x)
    if include_top:
        x = _layers.Dense(num_classes)(global_pool(x))
        x = _layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "ds_cnn", weights=weights, include_top=include_top)


def _normalized(x):
    return _layers.BatchNormalization(momentum=0.9)(x)
