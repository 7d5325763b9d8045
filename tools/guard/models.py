"""Models with set weights, and inputs on which ties occur."""

from __future__ import annotations

import zlib

import numpy as np
import tf_keras

import larqlite as lq

L, Q = tf_keras.layers, lq.layers


def low_bit(kernel="ste_sign", inputs="ste_sign", roles=("kernel",), **others) -> dict:
    """Arguments of a quantized layer: one quantizer for its inputs, one for kernels."""
    quantizers = {f"{role}_quantizer": _quantizer(kernel) for role in roles}
    return (
        {"input_quantizer": _quantizer(inputs), "use_bias": False} | quantizers | others
    )


def _quantizer(given):
    return given() if callable(given) else given


def row(shape, *layers, name="row", dtype=None) -> tf_keras.Model:
    """Layers one behind the other, settled."""
    x = inputs = tf_keras.Input(shape, name="x", dtype=dtype)
    for layer in layers:
        x = layer(x)
    return settled(tf_keras.Model(inputs, x, name=name))


def graph(inputs, outputs, name="graph") -> tf_keras.Model:
    """A functional model, settled."""
    return settled(tf_keras.Model(inputs, outputs, name=name))


def settled(model: tf_keras.Model) -> tf_keras.Model:
    """Sets every weight by its place and shape.

    Statistics of normalizations are whole numbers and half of the offsets are zero, so
    that sums of signs lie right on thresholds.
    """
    for place, variable in enumerate(model.weights):
        kind = variable.name.split("/")[-1].partition(":")[0]
        shape = tuple(variable.shape)
        seed = [place, zlib.crc32(repr(shape).encode())]
        values = _values(kind, np.random.default_rng(seed), shape)
        if values is not None:
            variable.assign(values.astype(variable.dtype.as_numpy_dtype))
    return model


def _values(kind: str, random, shape) -> np.ndarray | None:
    if kind in ("moving_mean", "mean"):
        return random.integers(-3, 4, shape) * 1.0
    if kind in ("moving_variance", "variance"):
        return random.uniform(0.5, 4, shape)
    if kind == "gamma":
        return random.uniform(0.5, 1.5, shape) * np.where(
            random.random(shape) < 0.3, -1, 1
        )
    if kind == "beta":
        return random.normal(size=shape) * (random.random(shape) < 0.5)
    if kind == "bias":
        return random.integers(-4, 5, shape) / 8
    if kind == "threshold":
        return random.integers(-2, 3, shape) / 4
    if kind in ("alpha", "zeta", "positive", "negative"):
        return random.uniform(0.05, 0.4, shape)
    if "kernel" in kind or kind in ("embeddings", "pe", "cls"):
        return random.integers(-7, 8, shape) / 8 + random.choice([-1, 1], shape) / 64
    return None  # ranges, counters, and what a layer initializes by itself


def inputs_of(model: tf_keras.Model, batch: int = 3, whole: bool = False) -> list:
    """An array for each input: multiples of 1/4, or whole numbers as indices and codes."""
    random = np.random.default_rng(7)
    return [
        random.integers(0, 5, (batch, *item.shape[1:])).astype("float32")
        if whole
        else random.integers(-8, 9, (batch, *item.shape[1:])).astype("float32") / 4
        for item in model.inputs
    ]


def given(arrays: list):
    """As a model takes them: the only one, or the list."""
    return arrays[0] if len(arrays) == 1 else arrays


def images(shape, count: int = 16) -> np.ndarray:
    """Pixels of smooth images, whole numbers from 0 to 255."""
    random = np.random.default_rng(11)
    values = random.integers(0, 256, (count, *shape))
    return values.astype("float32")
