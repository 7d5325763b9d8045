"""The requantization of an accumulator: one multiplication, one rounding, one clip."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.integer.layers._compiled import requantized_by_constants
from larqlite.integer.tensors import FixedPoint
from larqlite.integer.tensors.internal import (
    are_known,
    count_saturated,
    exp2,
    folded,
    is_counting,
    is_frozen,
    is_only_signature_of,
    known,
    rounding_dtype_for,
)
from larqlite.primitives import half_up, signed_codes

__all__ = ["requantized"]


@custom_gradient
def _rounded_and_clipped(x, low, high):
    """`clip(floor(x + 0.5), low, high)`; the gradient is 1, outside of the limits too."""
    result = tf.clip_by_value(half_up(x), low, high)
    return result, lambda upstream: (upstream, None, None)


def requantized(
    fp: FixedPoint,
    frac_bits: tf.Tensor,
    value_bits: int,
    scales: FixedPoint | None = None,
    buffer_bits: int | None = None,
    at_least_zero: bool = False,
) -> tuple[FixedPoint, tf.Tensor]:
    r"""An accumulator times quantized scales, with other fractional and value bits.

    $clip(\lfloor clip_{buffer}(v \cdot q) \cdot 2^{s} + 0.5 \rfloor)$, as promoting to
    the buffer, multiplying and rescaling one after the other would give: the three run
    as one multiplication by $q \cdot 2^s$, which is exact, since $q$ has few bits. The
    gradient is straight through, with respect to the scales too.

    Args:
        fp: the accumulator.
        frac_bits: int32 tensor, the fractional bits of the result.
        value_bits: the value bits of the result.
        scales: integers >= 0 to multiply by, for each channel or for all.
        buffer_bits: value bits at which the product saturates.
        at_least_zero: whether a ReLU comes before; it is applied here where all but the
            values is constant.

    Returns:
        FixedPoint, and the int32 shift $s$, negative to the right.
    """
    if is_only_signature_of(fp.values):
        result = FixedPoint(fp.values, value_bits, frac_bits, limit=2**value_bits)
        return result, frac_bits
    limit = fp.limit * (1 if scales is None else scales.limit)
    dtype = rounding_dtype_for(limit)
    weights = [] if scales is None else [scales.values, scales.frac_bits]
    with folded(frac_bits, fp.frac_bits, *weights):
        source = fp.frac_bits if scales is None else fp.frac_bits + scales.frac_bits
        shift = frac_bits - source
        factor = exp2(shift, dtype)
        low, high = (
            known(tf.constant(float(end), dtype)) for end in signed_codes(value_bits)
        )
        if buffer_bits is not None and limit > signed_codes(buffer_bits)[1]:
            # What saturates in the buffer ends where it does: rounding is monotonic.
            ends = half_up(_ends(buffer_bits, factor))
            low, high = tf.maximum(low, ends[0]), tf.minimum(high, ends[1])
        if scales is not None:
            factor = tf.cast(scales.values, dtype) * factor
    if is_frozen() and are_known(low, high, shift, factor):
        integers = 1 if scales is None else scales.values.numpy()
        values = requantized_by_constants(
            fp.values,
            fp.limit,
            np.asarray(integers),
            shift.numpy(),
            np.maximum(low.numpy(), 0) if at_least_zero else low.numpy(),
            high.numpy(),
        )
        return FixedPoint(values, value_bits, frac_bits, limit=2**value_bits), shift
    if at_least_zero:
        fp = FixedPoint(
            tf.nn.relu(fp.values), fp.value_bits, fp.frac_bits, limit=fp.limit
        )
    scaled = tf.cast(fp.values, dtype) * factor
    if is_counting():
        _count(fp, scales, buffer_bits, scaled, value_bits)
    values = _rounded_and_clipped(scaled, low, high)
    limit = 2**value_bits
    return FixedPoint(values, value_bits, frac_bits, limit=limit), shift


def _count(fp, scales, buffer_bits, scaled, value_bits: int) -> None:
    if buffer_bits is not None:
        product = tf.cast(fp.values, tf.float64) * tf.cast(scales.values, tf.float64)
        count_saturated(product, *map(float, signed_codes(buffer_bits)), "accumulator")
    rounded = half_up(scaled)
    count_saturated(rounded, *map(float, signed_codes(value_bits)), "output")


def _ends(buffer_bits: int, factor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.stack([end * factor for end in map(float, signed_codes(buffer_bits))])
