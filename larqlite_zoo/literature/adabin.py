"""AdaBin on ResNet-18: every binary convolution has levels of its own."""

from __future__ import annotations

import os

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

__all__ = ["AdaBinResNet18"]

_layers = tf_keras.layers


@register_model(
    "adabin_resnet18",
    summary="ResNet-18 with weights and activations in adaptive binary sets.",
    paper=Paper(
        "AdaBin: Improving Binary Neural Networks with Adaptive Binary Sets",
        "https://arxiv.org/abs/2208.08084",
        2022,
    ),
    published=(
        Accuracy(
            "imagenet",
            63.1,
            84.3,
            "the authors' README, github.com/huawei-noah/Efficient-Computing, trained in "
            "one step",
        ),
        Accuracy(
            "imagenet",
            66.4,
            86.5,
            "the same README, trained in the two steps of ReActNet",
        ),
    ),
    recipe="TrainAdaBinResNet18",
)
def AdaBinResNet18(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    r"""ResNet-18 with AdaBin's binary sets, and a shortcut around every convolution.

    A 7x7 stem, then sixteen blocks of 64, 128, 256 and 512 channels, each

    $$ y = f(\mathrm{BN}(\mathrm{conv}_{3 \times 3}(q_a(x), q_w(w))) + x) $$

    with `adabin_activations` as $q_a$ (a learned centre and distance for each layer),
    `adabin_weights` as $q_w$ (those of each output channel's weights) and `TwoSlopeReLU`
    as $f$. Where the image shrinks, the shortcut is a 2x2 mean, a float 1x1 convolution
    and a batch normalization. A batch normalization stands before the classifier.

    At 224x224: 1.68e9 BOPs, 1.38e8 FLOPs, 1.64e8 OPs. That is the count of ReActNet-18:
    levels other than -1 and +1 cost additions, which `lq.models.profile` does not count.
    The count that the BEANet paper gives for AdaBin's ResNet-18 is 1.70e8.

    What differs from the authors' code: the levels of activations are
    $\beta \pm \alpha$ as in the paper, not $\alpha \beta \pm \alpha$; convolutions of
    stride 2 pad at the end only, as TensorFlow does. No weights are published in a
    format that loads here.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default with the
            classifier.
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the classifier is part of it.
        num_classes: of the classifier.

    Returns:
        The model "adabin_resnet18": images to probabilities `(batch, num_classes)`, or
        to features `(batch, height / 32, width / 32, 512)` without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.

    Example:
        >>> from larqlite_zoo.literature import AdaBinResNet18
        >>> model = AdaBinResNet18(input_shape=(64, 64, 3), num_classes=10)
        >>> list(map(float, model.get_layer(index=5).input_quantizer.get_weights()))
        [1.0, 0.0]

    References:
        AdaBin, https://arxiv.org/abs/2208.08084.
    """
    image = image_input(
        "AdaBinResNet18", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        minimum_size=17,
    )  # fmt: skip
    x = lq.layers.TwoSlopeReLU()(float_conv(image, 64, 7, strides=2))
    x = _layers.MaxPool2D(3, strides=2, padding="same")(x)
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(4):
            shrinks = stage > 0 and block == 0
            shortcut = float_conv(halved(x), filters, 1) if shrinks else x
            x = _binary_conv(x, filters, strides=2 if shrinks else 1)
            x = lq.layers.TwoSlopeReLU()(_layers.add([x, shortcut]))
    if include_top:
        x = classified(normalized(global_pool(x)), num_classes)
    return finish(image, x, "adabin_resnet18", weights=weights, include_top=include_top)


def _binary_conv(x, filters: int, *, strides: int):
    x = lq.layers.QuantConv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        input_quantizer="adabin_activations",
        kernel_quantizer="adabin_weights",
        kernel_initializer="he_normal",
    )(x)
    return normalized(x)
