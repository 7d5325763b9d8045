"""Ranges of integer outputs and kernels, chosen by what rounding to them costs."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.integer.layers import OutputQuantizer, WeightQuantizer
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.primitives import (
    Codes,
    GrowingHistogram,
    best_scale,
    entropy_range,
    mse_range,
    percentile_range,
)

__all__ = ["METHODS", "Observation", "clip_kernels"]

METHODS = ("auto", "moving_average", "minmax", "mse", "percentile", "entropy")
# From so many bits on "auto" does as earlier versions did.
ENOUGH_BITS = 8


@dataclasses.dataclass(frozen=True)
class Observation:
    """What was seen of a layer's outputs in calibration.

    Attributes:
        moving: moving mean of the largest magnitude, a number or one for each channel.
        histogram: of the values, with as many channels; None if no method asked for it.
        method: how a range follows from it, of `METHODS`, but not "auto".
        percentile: for that method.
        least_bits: from so many bits on it is the moving mean.
    """

    moving: np.ndarray
    histogram: GrowingHistogram | None = None
    method: str = "moving_average"
    percentile: float = 99.99
    least_bits: int = 17

    def range_for(self, quantizer: OutputQuantizer, is_free: bool) -> np.ndarray:
        """The largest magnitudes that an output quantizer shall hold.

        Args:
            quantizer: the quantizer.
            is_free: whether any range can be had, since the outputs are multiplied by a
                rate; otherwise ranges become powers of two.
        """
        if self.method == "moving_average" or quantizer.bitwidth >= self.least_bits:
            return self.moving
        histogram = self.histogram
        largest = np.maximum(-histogram.low, histogram.high)
        found = [
            self._of_channel(channel, float(end), quantizer, is_free)
            for channel, end in enumerate(largest)
        ]
        found = np.array(found, self.moving.dtype)
        return found.reshape(self.moving.shape)

    def _of_channel(self, channel: int, end: float, quantizer, is_free: bool) -> float:
        if self.method == "minmax" or not end:
            return end
        if self.method == "entropy":
            levels = 2**quantizer.value_bits
            return min(end, entropy_range(*self.histogram.magnitudes(channel), levels))
        values, counts = self.histogram.of(channel)
        if self.method == "percentile":
            low, high = percentile_range(values, counts, self.percentile)
            return min(end, max(-low, high)) or end
        share, _ = best_scale(
            values, counts, lambda shares: _codes(shares * end, quantizer, is_free)
        )
        return share * end


def _codes(ranges: np.ndarray, quantizer: OutputQuantizer, is_free: bool) -> Codes:
    """What an output quantizer rounds to, in units of the float model's outputs."""
    bits, value_bits = quantizer.bitwidth, quantizer.value_bits
    exponent = np.ceil(np.log2(ranges))
    unit = np.ones_like(ranges)
    if is_free:  # outputs are multiplied so that they end just below a power of two
        exponent = np.floor(np.log2(ranges))
        unit = ranges / ((2.0**bits - 1) * 2.0 ** (exponent - bits))
    step = 2.0 ** np.maximum(exponent - value_bits, -value_bits) * unit
    first = -(2.0**value_bits) if quantizer.signed else 0.0
    return Codes(
        step, np.full_like(step, first), np.full_like(step, 2.0**value_bits - 1)
    )


def clip_kernels(model: tf_keras.Model, least_bits: int = 17) -> None:
    """Clips kernels where their own range has the least squared error of rounding.

    The scale of a kernel is that of its largest weight, so that clipping sets it.

    Args:
        model: the quantized model, changed in place.
        least_bits: kernels of so many bits or more stay as they are.
    """
    for layer in model.layers:
        if not isinstance(layer, QuantizedLayer):
            continue
        for name, slot in layer.slots_of_weights.items():
            quantizer, weight = getattr(layer, slot), getattr(layer, name, None)
            if weight is None or type(quantizer) is not WeightQuantizer:
                continue
            if 1 < quantizer.bitwidth < least_bits and quantizer.signed:
                weight.assign(_clipped(weight.numpy(), quantizer))


def _clipped(kernel: np.ndarray, quantizer: WeightQuantizer) -> np.ndarray:
    axis = quantizer.axis
    if axis is None or kernel.ndim <= 1:
        rows = kernel.reshape(1, -1)
    else:
        rows = np.moveaxis(kernel, axis, 0)
    clipped = np.array([_clipped_channel(row, quantizer) for row in rows], kernel.dtype)
    if axis is None or kernel.ndim <= 1:
        return clipped.reshape(kernel.shape)
    return np.moveaxis(clipped, 0, axis)


def _clipped_channel(values: np.ndarray, quantizer: WeightQuantizer) -> np.ndarray:
    flat = values.reshape(-1).astype(np.float64)
    end, ones = float(np.max(np.abs(flat))), np.ones(flat.size)
    if not end:
        return values
    if quantizer.fp_quantizer:
        share, _ = best_scale(
            flat, ones, lambda shares: _power_of_two(shares * end, quantizer.value_bits)
        )
        end = share * end
    else:
        _, end = mse_range(flat, ones, -end, end, quantizer.bitwidth, True, True)
    return np.clip(values, -np.float32(end), np.float32(end))


def _power_of_two(ranges: np.ndarray, value_bits: int) -> Codes:
    exponent = np.ceil(np.log2(ranges))
    step = 2.0 ** np.maximum(exponent - value_bits, -value_bits)
    last = np.full_like(step, 2.0**value_bits - 1)
    return Codes(step, -last - 1, last)


def has_few_bits(model: tf_keras.Model, quantizers) -> bool:
    """Whether an output or a kernel has fewer bits than 8, and more than one."""
    bits = [quantizer.bitwidth for quantizer in quantizers]
    for layer in model.layers:
        if isinstance(layer, QuantizedLayer):
            bits += [
                getattr(layer, slot).bitwidth
                for slot in layer.slots_of_weights.values()
                if type(getattr(layer, slot)) is WeightQuantizer
            ]
    return any(1 < each < ENOUGH_BITS for each in bits)


def error_of(model: tf_keras.Model, quantized: tf_keras.Model, batches: list) -> float:
    """Sum of squared differences of a quantized model's outputs from the float model's."""
    total = 0.0
    for batch in batches:
        wanted = tf.nest.flatten(model(batch, training=False))
        given = tf.nest.flatten(quantized(batch, training=False))
        for one, other in zip(wanted, given, strict=True):
            other = other.to_float() if hasattr(other, "to_float") else other
            difference = tf.cast(one, tf.float32) - tf.cast(other, tf.float32)
            total += float(tf.reduce_sum(tf.square(difference)))
    return total
