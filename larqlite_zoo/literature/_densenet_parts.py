"""What the four BinaryDenseNets are made of: their class, plans and building blocks."""

from __future__ import annotations

from dataclasses import dataclass

import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite.internal import register_object
from larqlite_zoo._build import finish, global_pool, image_input

CLIP = 1.3
GROWTH = 64


@register_object(package="larqlite_zoo")
class BinaryDenseNet(tf_keras.Model):
    """The class of the four models, a functional `tf_keras.Model` like any other."""


@dataclass(frozen=True)
class DenseNetVariant:
    """What tells the four networks apart.

    Attributes:
        function: name of the function.
        keras_name: of the model.
        layers: binary convolutions in each of the four sections.
        reductions: by what the transition after a section divides the channels.
        dilations: of the convolutions in each section; a section that is dilated is
            not made smaller before.
    """

    function: str
    keras_name: str
    layers: tuple[int, int, int, int]
    reductions: tuple[float, float, float]
    dilations: tuple[int, int, int, int] = (1, 1, 1, 1)


def build(
    variant: DenseNetVariant,
    input_shape,
    input_tensor,
    weights,
    include_top: bool,
    num_classes: int,
) -> BinaryDenseNet:
    """The network of a variant; the other arguments are those of `BinaryDenseNet28`."""
    halvings = variant.dilations[1:].count(1)
    image = image_input(
        variant.function,
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=2**halvings,
    )
    if not _is_low(image):
        _check_sides(variant.function, image.shape[1:], 4 * 2**halvings - 3)
    x = _stem(image)
    for section, count in enumerate(variant.layers):
        if section > 0:
            dilated = variant.dilations[section] > 1
            x = _transition(x, variant.reductions[section - 1], pool=not dilated)
        for _ in range(count):
            x = _dense_layer(x, variant.dilations[section])
    x = tf_keras.layers.Activation("relu")(_normalized(x))
    if include_top:
        x = global_pool(x)
        x = tf_keras.layers.Dense(num_classes, kernel_initializer="he_normal")(x)
        x = tf_keras.layers.Activation("softmax", dtype="float32")(x)
    return finish(
        image,
        x,
        variant.keras_name,
        weights=weights,
        include_top=include_top,
        model_class=BinaryDenseNet,
    )


def _is_low(image) -> bool:
    return image.shape[1] is not None and image.shape[1] < 50


def _check_sides(function: str, shape, minimum_size: int) -> None:
    if any(side is not None and side < minimum_size for side in shape[:2]):
        raise ArgumentError(
            f"{function}: input_shape={tuple(shape)} is too small: images of 50 rows or "
            "more are first reduced to a quarter, and nothing of this one is left.\n"
            f"  Fix: at least ({shape[0]}, {minimum_size}, {shape[2]})."
        )


def _stem(image):
    low = _is_low(image)
    x = tf_keras.layers.Conv2D(
        GROWTH,
        3 if low else 7,
        strides=1 if low else 2,
        padding="same",
        kernel_initializer="he_normal",
        use_bias=False,
    )(image)
    if low:
        return x
    x = tf_keras.layers.Activation("relu")(_normalized(x))
    return tf_keras.layers.MaxPooling2D(3, strides=2, padding="same")(x)


def _dense_layer(x, dilation: int):
    added = lq.layers.QuantConv2D(
        GROWTH,
        3,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        input_quantizer=lq.quantizers.SteSign(CLIP),
        kernel_quantizer=lq.quantizers.SteSign(CLIP),
        kernel_initializer="glorot_normal",
        kernel_constraint=lq.constraints.WeightClip(CLIP),
    )(_normalized(x))
    return tf_keras.layers.Concatenate()([x, added])


def _transition(x, reduction: float, pool: bool):
    channels = round(x.shape[-1] // reduction / 32) * 32
    x = _normalized(x)
    if pool:
        x = tf_keras.layers.MaxPooling2D(2, strides=2)(x)
    x = tf_keras.layers.Activation("relu")(x)
    return tf_keras.layers.Conv2D(
        channels, 1, kernel_initializer="he_normal", use_bias=False
    )(x)


def _normalized(x):
    return tf_keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
