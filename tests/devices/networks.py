"""Small networks of Keras of different kinds, with weights and statistics of normal size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tf_keras

import larqlite as lq
import larqlite_zoo as lqz
from larqlite.demo import build_network

layers = tf_keras.layers
SIGNS = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


def demo() -> tf_keras.Model:
    """The network of `lq demo`."""
    return build_network()


def groups() -> tf_keras.Model:
    """Groups whose channels fill words, and groups whose channels do not."""
    x = inputs = layers.Input((6, 6, 4))
    x = layers.Conv2D(64, 1, use_bias=False)(x)
    for channels, count in ((60, 2), (30, 3)):
        x = layers.BatchNormalization()(x)
        x = lq.layers.QuantConv2D(channels, 3, groups=count, padding="same", **SIGNS)(x)
    return tf_keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def narrow() -> tf_keras.Model:
    """Images two pixels wide, then one, whose windows leave them on both sides."""
    x = inputs = layers.Input((5, 2, 3))
    x = lq.layers.QuantConv2D(33, 3, padding="same", **SIGNS)(x)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(40, 3, strides=2, padding="same", **SIGNS)(x)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(17, 3, padding="same", **SIGNS)(x)
    return tf_keras.Model(inputs, layers.Flatten()(x))


def two_bits() -> tf_keras.Model:
    """DoReFa activations and kernels of two bits, a first layer of floats."""
    x = inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, strides=2, activation="relu")(x)
    x = lq.layers.QuantConv2D(
        24,
        3,
        input_quantizer=lq.quantizers.DoReFa(2),
        kernel_quantizer=lq.quantizers.DoReFa(2, mode="weights"),
        padding="same",
        use_bias=False,
    )(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = lq.layers.QuantDense(
        10, input_quantizer=lq.quantizers.DoReFa(2), kernel_quantizer="ste_sign"
    )(layers.Flatten()(x))
    return tf_keras.Model(inputs, layers.Softmax()(x))


def dense() -> tf_keras.Model:
    """Layers of dense products only."""
    x = inputs = layers.Input((50,))
    for units in (70, 33, 9):
        x = lq.layers.QuantDense(units, **SIGNS)(x)
        x = layers.BatchNormalization()(x)
    return tf_keras.Model(inputs, x)


def dilated() -> tf_keras.Model:
    """Strides, dilations and even kernels, over images and over volumes."""
    x = inputs = layers.Input((5, 6, 7, 2))
    x = lq.layers.QuantConv3D(20, (2, 3, 2), padding="same", **SIGNS)(x)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv3D(12, 2, strides=(2, 1, 2), **SIGNS)(x)
    x = layers.BatchNormalization()(x)
    return tf_keras.Model(inputs, layers.Flatten()(x))


def gated() -> tf_keras.Model:
    """Squeeze and excitation, in front of bits; leaky units; two outputs."""
    x = inputs = layers.Input((6, 6, 8))
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(8, activation="sigmoid")(gate)
    x = layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])
    x = lq.layers.QuantConv2D(16, 3, padding="same", **SIGNS)(x)
    x = layers.LeakyReLU(0.25)(x)
    x = layers.MaxPooling2D(2)(x)
    y = lq.layers.QuantConv2D(16, 1, **SIGNS)(x)
    return tf_keras.Model(inputs, [layers.Flatten()(y), layers.Flatten()(x)])


def alike() -> tf_keras.Model:
    """Layers of the same shape around which values go on, with borders of zeros."""
    x = inputs = layers.Input((5, 4, 3))
    x = layers.Conv2D(36, 3, padding="same", use_bias=False)(x)
    for slope in (0.25, 0.5, 0.5):
        y = lq.layers.QuantConv2D(36, 3, padding="same", **SIGNS)(x)
        y = layers.BatchNormalization()(y)
        x = layers.LeakyReLU(slope)(layers.add([x, y]))
    x = layers.BatchNormalization()(x)
    for _ in range(3):
        x = lq.layers.QuantConv2D(36, 3, padding="same", **SIGNS)(x)
        x = layers.BatchNormalization(scale=False)(x)
    return tf_keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def few_values() -> tf_keras.Model:
    """Kernels of one, two and four bits behind no input quantizer."""
    x = inputs = layers.Input((7, 6, 3))
    x = lq.layers.QuantConv2D(20, 3, kernel_quantizer="ste_sign", use_bias=False)(x)
    x = lq.layers.QuantDepthwiseConv2D(3, depthwise_quantizer="ste_tern")(x)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(40, 1, kernel_quantizer="magnitude_aware_sign")(x)
    x = lq.layers.QuantDense(33, **SIGNS)(layers.Flatten()(x))
    x = layers.BatchNormalization()(x)
    four_bits = lq.quantizers.DoReFa(4, mode="weights")
    x = lq.layers.QuantDense(70, kernel_quantizer=four_bits)(x)
    return tf_keras.Model(
        inputs, lq.layers.QuantDense(5, kernel_quantizer="ste_sign")(x)
    )


def zoo() -> tf_keras.Model:
    """QuickNet small for 32x32 pixels."""
    return lqz.sota.QuickNetSmall(input_shape=(32, 32, 3), weights=None, num_classes=10)


NETWORKS: dict[str, Callable[[], tf_keras.Model]] = {
    "demo": demo,
    "groups": groups,
    "narrow": narrow,
    "two_bits": two_bits,
    "dense": dense,
    "dilated": dilated,
    "gated": gated,
    "alike": alike,
    "few_values": few_values,
    "zoo": zoo,
}


def _with_statistics(model: tf_keras.Model) -> tf_keras.Model:
    rng = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                values = rng.normal(size=weight.shape)
                is_variance = weight is layer.moving_variance
                weight.assign(np.abs(values) + 0.1 if is_variance else values)
    return model


def write(name: str, folder: Path) -> Path:
    """Exports a network; gives the file."""
    tf_keras.backend.reset_uids()
    tf_keras.utils.set_random_seed(11)
    path = folder / f"{name}.onnx"
    lq.deploy.export(_with_statistics(NETWORKS[name]()), path, verify=False)
    return path
