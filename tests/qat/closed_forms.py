"""What fake quantization computes, in NumPy, and short forms for its tests."""

import itertools

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.qat.quantizers import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)

RANGES = (LastValueQuantizer, MovingAverageQuantizer, AllValuesQuantizer)
FORMS = list(itertools.product((False, True), repeat=3))  # per axis, symmetric, narrow


def built(quantizer, shape=()):
    layer = tf_keras.layers.Layer()
    return layer, quantizer.build(tf.TensorShape(shape), "x", layer)


def ends_of(weights) -> list:
    return [weights["min_var"].numpy(), weights["max_var"].numpy()]


def value_and_gradient(function, x):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y.numpy(), tape.gradient(y, x).numpy()


def closed_form(x, low, high, bits, narrow):
    """Quantized values, whether the gradient passes, and the step, in float64."""
    x, low, high = (np.asarray(v, np.float64) for v in (x, low, high))
    first, last = float(narrow), 2.0**bits - 1
    step = (high - low) / (last - first)
    safe = np.where(step == 0, 1, step)
    zero = np.clip(np.floor(first - low / safe + 0.5), first, last)
    lowest, highest = (first - zero) * step, (last - zero) * step
    clipped = np.clip(x, lowest, highest)
    codes = np.floor((clipped - lowest) / safe + 0.5)
    return codes * step + lowest, (x >= lowest) & (x <= highest), step


def not_at_an_end(x, low, high, bits, narrow):
    """Where rounding in float32 cannot decide whether a gradient passes."""
    below, above = (
        closed_form(x * factor, low, high, bits, narrow)[1]
        for factor in (1 - 1e-5, 1 + 1e-5)
    )
    return below == above


def range_form(x, symmetric, narrow, bits, axes):
    smallest, largest = np.min(x, axes), np.max(x, axes)
    if not symmetric:
        return np.minimum(smallest, 0), np.maximum(largest, 0)
    ratio = -1 if narrow else -(2**bits - 2) / 2**bits
    return np.minimum(smallest, largest / ratio), np.maximum(largest, smallest * ratio)
