"""ResNet8: the network of MLPerf Tiny for CIFAR-10, in floats or with any quantizers."""

from __future__ import annotations

import os
from typing import Any

import tf_keras

from larqlite_zoo._build import Shape, finish, global_pool, image_input
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.small._quantized_parts import QuantizedLayers

__all__ = ["ResNet8"]

_layers = tf_keras.layers


@register_model(
    "resnet8",
    summary="The residual network of seven convolutions of MLPerf Tiny, for CIFAR-10.",
    paper=Paper("MLPerf Tiny Benchmark", "https://arxiv.org/abs/2106.07597", 2021),
    input_shape=(32, 32, 3),
    num_classes=10,
    recipe="TrainResNet8",
    notes=(
        "A float network by default. Its layers are those of pretrainedResnet.h5 of "
        "MLPerf Tiny, which weights= takes; that one sees pixels 0 ... 255 "
        '(preprocessing="none").',
    ),
)
def ResNet8(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    width: int = 16,
    input_quantizer: Any = None,
    kernel_quantizer: Any = None,
) -> tf_keras.Model:
    r"""ResNet-8: a 3x3 stem, three residual blocks of two 3x3 convolutions, a classifier.

    The blocks have $w$, $2w$ and $4w$ filters, $w$ = `width`; the second and third halve
    the image, with a 1x1 convolution in the shortcut:

    $$ y = \mathrm{BN}(\mathrm{conv}(\mathrm{relu}(\mathrm{BN}(\mathrm{conv}(x)))))
       + \mathrm{shortcut}(x) $$

    The quantizers stand in all convolutions but the stem; the classifier stays float. One
    of inputs that has levels below zero and at most two bits, such as a sign, takes the place
    of the ReLU.

    Args:
        input_shape: `(height, width, channels)`, (32, 32, 3) by default with the
            classifier.
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the classifier is part of it.
        num_classes: of the classifier.
        width: filters of the stem; MLPerf Tiny has 16.
        input_quantizer: of the inputs of convolutions, such as `"dorefa(4)"`; None or
            "float" for none.
        kernel_quantizer: of their kernels, such as `"dorefa(4, mode='weights')"`.

    Returns:
        The model "resnet8": images to probabilities `(batch, num_classes)`, or to features
        `(batch, height / 4, width / 4, 4 * width)` without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.
        UnknownQuantizerError: nothing is known by the name of a quantizer.

    Example:
        >>> from larqlite_zoo.small import ResNet8
        >>> ResNet8().count_params()
        78666
        >>> model = ResNet8(input_quantizer="ste_sign", kernel_quantizer="ste_sign")
        >>> sorted(lq.models.profile(model).macs_by_precision)
        [1, 32]

    References:
        MLPerf Tiny, https://arxiv.org/abs/2106.07597; ResNet,
        https://arxiv.org/abs/1512.03385.
    """
    image = image_input(
        "ResNet8", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        default_size=32, minimum_size=4, width=width,
    )  # fmt: skip
    quantized = QuantizedLayers(input_quantizer, kernel_quantizer)
    settings = {"padding": "same", "kernel_initializer": "he_normal"}
    x = _layers.Conv2D(width, 3, **settings)(image)
    x = quantized.activation(_normalized(x))
    for factor in (1, 2, 4):
        strides, shortcut = (1 if factor == 1 else 2), x
        y = quantized.conv(factor * width, 3, strides=strides, **settings)(x)
        y = quantized.activation(_normalized(y))
        y = quantized.conv(factor * width, 3, **settings)(y)
        if factor > 1:
            shortcut = quantized.conv(factor * width, 1, strides=2, **settings)(x)
        x = _layers.add([shortcut, _normalized(y)])
        # What no quantizer reads ends in a ReLU in any case.
        x = _layers.ReLU()(x) if factor == 4 else quantized.activation(x)
    if include_top:
        x = _layers.Dense(num_classes)(global_pool(x))
        x = _layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "resnet8", weights=weights, include_top=include_top)


def _normalized(x):
    return _layers.BatchNormalization(momentum=0.9)(x)
