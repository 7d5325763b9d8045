"""ReActNet: binary networks whose signs and PReLUs learn where they bend."""

from __future__ import annotations

import os
from typing import Any

import tf_keras

import larqlite as lq
from larqlite_zoo._build import Shape, finish, global_pool, image_input
from larqlite_zoo._card import Accuracy, Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.literature._reactnet_parts import (
    classified,
    float_conv,
    halved,
    normalized,
)

__all__ = ["ReActNet18", "ReActNetA"]

PAPER = Paper(
    "ReActNet: Towards Precise Binary Neural Network with Generalized Activation "
    "Functions",
    "https://arxiv.org/abs/2003.03488",
    2020,
)
_SOURCE = "the authors' README, github.com/liuzechun/ReActNet"
_layers = tf_keras.layers


@register_model(
    "reactnet18",
    summary="Bi-Real-Net-18 with learned thresholds (RSign) and learned bends (RPReLU).",
    paper=PAPER,
    published=(Accuracy("imagenet", 65.5, None, _SOURCE),),
    recipe="TrainReActNet18",
)
def ReActNet18(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    kernel_quantizer: Any = "magnitude_aware_sign",
) -> tf_keras.Model:
    r"""ReActNet on the trunk of Bi-Real-Net-18.

    A 7x7 stem, then sixteen blocks of 64, 128, 256 and 512 channels, each

    $$ y = \mathrm{RPReLU}(\mathrm{BN}(\mathrm{conv}_{3 \times 3}(\mathrm{RSign}(x))) + x) $$

    Where the image shrinks, the shortcut is a 2x2 mean, a float 1x1 convolution and a
    batch normalization. At 224x224: 1.68e9 BOPs, 1.38e8 FLOPs, 1.64e8 OPs; the authors'
    README has 1.63e8 OPs.

    What differs from the authors' code: kernels are clipped to [-1, 1]; the gradient of a
    kernel is scaled by the mean magnitude, as its values are (theirs is not);
    convolutions of stride 2 pad at the end only, as TensorFlow does. No weights are
    published in a format that loads here.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default with the
            classifier.
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the classifier is part of it.
        num_classes: of the classifier.
        kernel_quantizer: of the binary convolutions; "float" for none, as in the first
            stage of their training.

    Returns:
        The model "reactnet18": images to probabilities `(batch, num_classes)`, or to
        features `(batch, height / 32, width / 32, 512)` without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.

    Example:
        >>> from larqlite_zoo.literature import ReActNet18
        >>> model = ReActNet18(input_shape=(64, 64, 3), num_classes=10)
        >>> model.count_params()
        11206154

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, section 4.
    """
    image = image_input(
        "ReActNet18", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        minimum_size=17,
    )  # fmt: skip
    x = float_conv(image, 64, 7, strides=2)
    x = _layers.MaxPool2D(3, strides=2, padding="same")(x)
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(4):
            shrinks = stage > 0 and block == 0
            shortcut = float_conv(halved(x), filters, 1) if shrinks else x
            x = _binary_conv(
                x, filters, 3, kernel_quantizer, strides=2 if shrinks else 1
            )
            x = lq.layers.RPReLU()(_layers.add([x, shortcut]))
    if include_top:
        x = classified(global_pool(x), num_classes)
    return finish(image, x, "reactnet18", weights=weights, include_top=include_top)


@register_model(
    "reactnet_a",
    summary="A MobileNet-V1 of binary convolutions, with RSign and RPReLU.",
    paper=PAPER,
    published=(Accuracy("imagenet", 69.4, None, _SOURCE),),
    recipe="TrainReActNetA",
)
def ReActNetA(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
    kernel_quantizer: Any = "magnitude_aware_sign",
) -> tf_keras.Model:
    r"""ReActNet-A: the layout of MobileNet-V1, all of it binary but stem and classifier.

    A 3x3 stem of 32 channels, then thirteen blocks of two steps, a 3x3 convolution (full,
    not depthwise) and a 1x1 convolution, each

    $$ y = \mathrm{RPReLU}(\mathrm{BN}(\mathrm{conv}(\mathrm{RSign}(x))) + x) $$

    No shortcut has weights: where the image shrinks it is a 2x2 mean; where the channels
    double, two 1x1 convolutions are added to one input and put side by side. At
    224x224: 4.82e9 BOPs, 0.12e8 FLOPs and 0.87e8 OPs, which is what the paper counts.

    What differs from the authors' code: see `ReActNet18`.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default with the
            classifier.
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the classifier is part of it.
        num_classes: of the classifier.
        kernel_quantizer: of the binary convolutions; "float" for none, as in the first
            stage of their training.

    Returns:
        The model "reactnet_a": images to probabilities `(batch, num_classes)`, or to
        features `(batch, height / 32, width / 32, 1024)` without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.

    Example:
        >>> from larqlite_zoo.literature import ReActNetA
        >>> features = ReActNetA(input_shape=(64, 64, 3), include_top=False)
        >>> features.output_shape
        (None, 2, 2, 1024)

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, sections 4.1 and 4.2.
    """
    image = image_input(
        "ReActNetA", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        minimum_size=17,
    )  # fmt: skip
    x = float_conv(image, 32, 3, strides=2)
    for filters in (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024):
        channels = x.shape[-1]
        shrinks = filters != channels and filters > 64
        shortcut = halved(x) if shrinks else x
        x = _binary_conv(x, channels, 3, kernel_quantizer, strides=2 if shrinks else 1)
        x = lq.layers.RPReLU()(_layers.add([x, shortcut]))
        binary = lq.quantizers.RSign()(x)
        halves = [
            _layers.add(
                [
                    _binary_conv(
                        binary, channels, 1, kernel_quantizer, input_quantizer=None
                    ),
                    x,
                ]
            )
            for _ in range(filters // channels)
        ]
        x = _layers.concatenate(halves) if len(halves) > 1 else halves[0]
        x = lq.layers.RPReLU()(x)
    if include_top:
        x = classified(global_pool(x), num_classes)
    return finish(image, x, "reactnet_a", weights=weights, include_top=include_top)


def _binary_conv(
    x,
    filters: int,
    size: int,
    kernel_quantizer: Any,
    *,
    strides=1,
    input_quantizer="rsign",
):
    is_float = kernel_quantizer in (None, "float")
    x = lq.layers.QuantConv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer=None if is_float else kernel_quantizer,
        kernel_constraint=None if is_float else "weight_clip",
        kernel_initializer="glorot_normal",
    )(x)
    return normalized(x)
