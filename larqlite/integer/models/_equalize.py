"""Ranges moved to just below a power of two, at the expense of the next kernel."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.graph import facts_of
from larqlite.integer import layers
from larqlite.integer.models._model_graph import consumers_of
from larqlite.integer.models._output_ranges import Observation
from larqlite.primitives import shape_along

# Poolings that a factor of a channel passes through, as they are integer layers.
_PASSED = ("max", "global mean")
_LOW_BITS = 2


def set_ranges(model: tf_keras.Model, ranges: dict[str, Observation]) -> None:
    """Sets the ranges of output quantizers, and equalizes across layers where it can.

    Args:
        model: the quantized model, changed in place.
        ranges: what was seen, by name of the layer.
    """
    consumers = consumers_of(model)
    for layer in model.layers:
        if layer.name not in ranges:
            continue
        quantizer = getattr(layer, "out_quantizer", None) or layer
        following = _next_kernel(layer, consumers) if quantizer.applies_rate else None
        if following is not None and not _divisible(
            following, ranges[layer.name].moving
        ):
            following = None
        found = ranges[layer.name].range_for(quantizer, following is not None)
        rate = np.ones_like(found)
        if following is not None:
            ideal = ideal_range(found, quantizer.bitwidth)
            rate = np.where(ideal > 0, ideal / np.where(found > 0, found, 1), 1)
            rate = rate.astype(found.dtype)
            found = np.where(ideal > 0, ideal, found).astype(found.dtype)
            kernel = getattr(following[0], following[1])
            kernel.assign(kernel / _on_kernel(following, rate))
        quantizer.calibrate(found, rate)


def rates_of(model: tf_keras.Model) -> dict[str, tuple[str, np.ndarray]]:
    """What kernels were divided by: by layer, the weight's name and the divisors."""
    consumers, found = consumers_of(model), {}
    for layer in model.layers:
        quantizer = getattr(layer, "out_quantizer", None)
        applies = quantizer is not None and quantizer.applies_rate
        following = _next_kernel(layer, consumers) if applies else None
        if following is None:
            continue
        rate = quantizer.rescaling_rate.numpy()
        if _divisible(following, rate) and np.any(rate != 1):
            kernel, name, _ = following
            found[kernel.name] = (name, _on_kernel(following, rate))
    return found


def ideal_range(ranges: np.ndarray, bits: int) -> np.ndarray:
    """The range just below the power of two that is not above each range."""
    ranges = np.asarray(ranges, np.float64)
    exponent = np.frexp(np.where(ranges > 0, ranges, 1))[1] - 1
    return np.where(ranges > 0, (2.0**bits - 1) * 2.0 ** (exponent - bits), 0)


def _next_kernel(layer, consumers) -> tuple | None:
    """The layer whose kernel alone reads a layer, the kernel's name, and the axis of its
    input channels."""
    if isinstance(layer, layers.QuantizedAttention):
        return None
    reshaped = False
    while True:
        readers = consumers.get(layer.name, [])
        if len(readers) != 1 or readers[0] is None:
            return None
        (layer,) = readers
        facts = facts_of(layer)
        is_passed = facts.does_nothing_in_inference or facts.pooling in _PASSED
        if facts.keeps_order and not reshaped and not is_passed:
            reshaped = True
        elif not is_passed:
            break
    # What a Conv1D reads is not equalized, nor was it in earlier versions.
    if not facts.kernels or isinstance(layer, layers.QuantizedConv1D):
        return None
    bits = [getattr(layer, slot).bitwidth for slot in layer.weight_quantizers]
    axes = facts.kernels[0]
    return None if min(bits) <= _LOW_BITS else (layer, axes.name, *axes.channels_in)


def _divisible(following: tuple, ranges: np.ndarray) -> bool:
    """Whether each range is that of whole input channels of the kernel."""
    layer, name, axis = following
    return ranges.ndim == 0 or getattr(layer, name).shape[axis] % ranges.size == 0


def _on_kernel(following: tuple, rate: np.ndarray) -> np.ndarray:
    """Rates of channels in the shape in which they meet the kernel."""
    if not rate.ndim:
        return rate
    layer, name, axis = following
    shape = getattr(layer, name).shape
    tiled = np.tile(rate, shape[axis] // rate.size)
    return tiled.reshape(shape_along(len(shape), axis))
