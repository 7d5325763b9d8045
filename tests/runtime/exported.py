"""Small Keras networks whose exported files are kept in `tests/golden`, for the fuzzer.

`python -m tests.runtime.exported` writes them anew; with names, these.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tf_keras

import larqlite as lq
from tests.deploy.level_quantizers import SignedSteps, Table

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
layers = tf_keras.layers


def residual() -> tf_keras.Model:
    """A float stem, two binary blocks with shortcuts, a classifier."""
    given = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "padding": "same",
        "use_bias": False,
    }
    inputs = layers.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    for _ in range(2):
        y = lq.layers.QuantConv2D(16, 3, **given)(x)
        y = layers.BatchNormalization()(y)
        x = layers.Add()([x, y])
    x = layers.MaxPool2D(2)(x)
    x = lq.layers.QuantConv2D(40, 3, pad_values=1.0, **given)(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


def ternary() -> tf_keras.Model:
    """Ternary kernels, a depthwise and a transposed layer, branches that are joined."""
    inputs = layers.Input((8, 6, 4))
    x = lq.layers.QuantDepthwiseConv2D(
        3,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        padding="same",
        use_bias=False,
    )(inputs)
    x = layers.BatchNormalization()(x)
    left = lq.layers.QuantConv2D(
        6, 3, input_quantizer="ste_tern", kernel_quantizer="ste_tern", padding="same"
    )(x)
    right = lq.layers.QuantConv2D(
        6, 1, input_quantizer="ste_heaviside", kernel_quantizer="ste_tern"
    )(x)
    x = layers.Concatenate()([left, right])
    x = lq.layers.QuantConv2DTranspose(
        3, 2, strides=2, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )(x)
    return tf_keras.Model(inputs, layers.LeakyReLU(0.1)(x))


def kbit() -> tf_keras.Model:
    """DoReFa activations and weights, and scaled binary dense layers."""
    inputs = layers.Input((10, 3))
    x = lq.layers.QuantConv1D(
        8,
        3,
        input_quantizer="dorefa_quantizer",
        kernel_quantizer=lq.quantizers.DoReFa(3, mode="weights"),
        padding="causal",
    )(inputs)
    x = layers.Flatten()(layers.AveragePooling1D(2)(x))
    x = lq.layers.QuantDense(
        9, input_quantizer="ste_sign", kernel_quantizer="magnitude_aware_sign"
    )(x)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantDense(7, kernel_quantizer="ste_sign")(x)
    return tf_keras.Model(inputs, x)


def scaled() -> tf_keras.Model:
    """Inputs and kernels of two levels that have a scale and an offset, with borders."""
    inputs = layers.Input((6, 5, 3))
    x = lq.layers.QuantConv2D(
        8,
        3,
        input_quantizer=lq.quantizers.AdaBinActivations(),
        kernel_quantizer="adabin_weights",
        padding="same",
        use_bias=False,
    )(inputs)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(
        6,
        3,
        strides=2,
        input_quantizer=lq.quantizers.AdaBinActivations(),
        kernel_quantizer="ste_sign",
        padding="same",
    )(x)
    return tf_keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def integers() -> tf_keras.Model:
    """Signed integers as inputs, with and without a scale, and a kernel of eight levels."""
    inputs = layers.Input((5, 5, 4))
    table = Table([-0.23, -0.15, -0.09, -0.02, 0.03, 0.1, 0.16, 0.24])
    x = lq.layers.QuantConv2D(
        6,
        3,
        input_quantizer=SignedSteps(scale=1.0),
        kernel_quantizer=table,
        padding="same",
    )(inputs)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(
        5,
        2,
        input_quantizer=SignedSteps(-3, 3, 0.5, 0.1),
        kernel_quantizer=lq.quantizers.DoReFa(2, mode="weights"),
    )(x)
    return tf_keras.Model(inputs, layers.Flatten()(x))


def tables() -> tf_keras.Model:
    """Tables of four levels as inputs, of kernels with four around a center and two."""
    inputs = layers.Input((12,))
    levels = [-1.1, -0.3, 0.2, 0.9]
    kernel = Table([-0.8, 0.1, 0.7, 1.6])
    x = lq.layers.QuantDense(9, input_quantizer=Table(levels), kernel_quantizer=kernel)(
        inputs
    )
    x = layers.BatchNormalization()(x)
    kernel = Table([-0.3, 0.9])
    x = lq.layers.QuantDense(6, input_quantizer=Table(levels), kernel_quantizer=kernel)(
        x
    )
    return tf_keras.Model(inputs, x)


def codes() -> tf_keras.Model:
    """Inputs of 8 bits, unsigned and signed, and kernels of 1, 1.5, 2 and 4."""
    inputs = layers.Input((6, 5, 5))
    x = lq.layers.QuantConv2D(
        20,
        3,
        input_quantizer=lq.quantizers.DoReFa(8),
        kernel_quantizer="ste_tern",
        padding="same",
        pad_values=1.0,
    )(inputs)
    x = lq.layers.QuantDepthwiseConv2D(
        3,
        strides=2,
        input_quantizer=SignedSteps(-100, 27, scale=1.0),
        depthwise_quantizer=lq.quantizers.DoReFa(4, mode="weights"),
        padding="same",
        use_bias=False,
    )(x)
    x = lq.layers.QuantConv2D(
        6,
        2,
        groups=2,
        input_quantizer=lq.quantizers.DoReFa(5),
        kernel_quantizer=lq.quantizers.DoReFa(2, mode="weights"),
    )(x)
    x = lq.layers.QuantDense(
        260, input_quantizer=lq.quantizers.DoReFa(8), kernel_quantizer="ste_sign"
    )(layers.Flatten()(x))
    return tf_keras.Model(inputs, x)


NETWORKS: dict[str, Callable[[], tf_keras.Model]] = {
    "deploy_residual": residual,
    "deploy_ternary": ternary,
    "deploy_kbit": kbit,
    "deploy_scaled": scaled,
    "deploy_integers": integers,
    "deploy_tables": tables,
    "deploy_codes": codes,
}


def with_statistics(model: tf_keras.Model) -> tf_keras.Model:
    """The same model with weights, means, variances, scales and offsets of normal size."""
    rng = np.random.default_rng(5)
    for layer in model.submodules:
        if isinstance(layer, lq.quantizers.AdaBinActivations):
            layer.set_weights([np.float32(0.7), np.float32(0.3)])
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            values = rng.normal(size=(4, layer.gamma.shape[0])).astype(np.float32)
            layer.set_weights([*values[:3], np.abs(values[3]) + 0.1])
    return model


def write_all(folder: Path = GOLDEN, names: tuple[str, ...] = ()) -> None:
    """Exports every network, or those that are named."""
    for name in names or NETWORKS:
        make = NETWORKS[name]
        tf_keras.backend.reset_uids()
        tf_keras.utils.set_random_seed(11)
        lq.deploy.export(with_statistics(make()), folder / f"{name}.onnx")


if __name__ == "__main__":
    write_all(names=tuple(sys.argv[1:]))
