"""Changing the fractional bits and value bits of a `FixedPoint`."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTensorError, QuantizedTypeError
from larqlite.integer.tensors import _checks, _rounding
from larqlite.integer.tensors._constants import (
    folded,
    is_only_signature_of,
    tight_limit,
)
from larqlite.integer.tensors._storage import (
    UNKNOWN_LIMIT,
    dtype_for,
    rounding_dtype_for,
    saturated,
)


def zero_bits() -> tf.Tensor:
    """No fractional bits."""
    return tf.constant(0, tf.int32)


def limited(x, values, value_bits, frac_bits, limit):
    """What follows from the `FixedPoint` x, of values up to `limit`: saturated."""
    values, limit = saturated(values, value_bits, limit)
    return x._made(values, value_bits, frac_bits, tight_limit(values, limit))


def max_frac_bits(value_bits: int, ranges, clamp: bool) -> tf.Tensor:
    """See `FixedPoint.max_frac_bits`."""
    ranges = _checks.numbers(ranges)
    with folded(ranges):
        if is_only_signature_of(ranges):
            return tf.cast(ranges, tf.int32)
        ranges = tf.abs(ranges)
        if ranges.dtype.is_integer:
            ranges = tf.cast(ranges, tf.float64)
        bits = value_bits - _rounding.ceil_log2(ranges)
        if clamp:
            most = tf.constant(value_bits, tf.int32)
        else:
            most = tf.where(ranges > 0, _rounding.FRAC_BITS_LIMIT, value_bits)
        return tf.maximum(tf.minimum(bits, most), -_rounding.FRAC_BITS_LIMIT)


def frac_bits_of(x: tf.Tensor, value_bits: int) -> tf.Tensor:
    """Fractional bits for all of `x`: none if every element is an integer."""
    is_integer = tf.reduce_all(tf.equal(x, tf.floor(x)))
    largest = tf.reduce_max(tf.abs(x))
    return tf.where(is_integer, 0, max_frac_bits(value_bits, largest, clamp=True))


def promote(x, bits: int):
    """See `FixedPoint.promote`."""
    bits = _checks.value_bits(bits)
    if bits < x.value_bits:
        raise QuantizedTensorError(
            f"{x.name}: promote to {bits} value bits, but there are {x.value_bits}.\n"
            f"  Fix: `rescale(frac_bits, value_bits={bits})`, which reduces the precision."
        )
    if bits == x.value_bits:
        return x
    return x._made(x.values, bits, x.frac_bits, x.limit)


def shifted(x, shift: tf.Tensor, frac_bits: tf.Tensor, value_bits: int):
    """Values times `2^shift`, rounded half up and saturated; nothing is checked."""
    dtype = tf.float64
    if rounding_dtype_for(x.limit) == tf.float32 and value_bits <= 24:
        dtype = tf.float32
    with folded(shift):
        factor = _rounding.exp2(shift, dtype)
    values = _rounding.round_half_up(tf.cast(x.values, dtype) * factor)
    return limited(x, values, value_bits, frac_bits, UNKNOWN_LIMIT)


def shifted_left(x, shift: tf.Tensor, frac_bits: tf.Tensor, value_bits: int):
    """Values times `2^shift`, where no shift is negative: without any rounding."""
    dtype = dtype_for(max(x.limit, 2**value_bits))
    with folded(shift):
        factor = _rounding.exp2(shift, dtype)
    scaled = tf.cast(x.values, dtype) * factor
    return limited(x, scaled, value_bits, frac_bits, UNKNOWN_LIMIT)


def rescale(x, frac_bits, value_bits: int | None, with_shift: bool):
    """See `FixedPoint.rescale`."""
    frac_bits = _checks.frac_bits(frac_bits)
    value_bits = _checks.value_bits(value_bits or x.value_bits)
    shift = frac_bits - x.frac_bits
    checks = _checks.holds(
        shift < value_bits,
        lambda: (
            f"{x.name}: rescale by a shift to the left of as many bits as the result has "
            f"({value_bits}), or more: every value but 0 would saturate.\n"
            "  Fix: ask for fewer fractional bits, or for more value bits."
        ),
    )
    with tf.control_dependencies(checks):
        result = shifted(x, shift, frac_bits, value_bits)
    return (result, shift) if with_shift else result


def downscale(x, frac_bits, with_shift: bool):
    """See `FixedPoint.downscale`."""
    frac_bits = _checks.frac_bits(frac_bits)
    checks = _checks.holds(
        frac_bits <= x.frac_bits,
        lambda: (
            f"{x.name}: downscale to more fractional bits than there are.\n"
            "  Fix: use `upscale` or `rescale`."
        ),
    )
    shift = frac_bits - x.frac_bits
    with tf.control_dependencies(checks):
        result = shifted(x, shift, frac_bits, x.value_bits)
    return (result, shift) if with_shift else result


def upscale(x, frac_bits, value_bits: int | None, with_shift: bool):
    """See `FixedPoint.upscale`."""
    frac_bits = _checks.frac_bits(frac_bits)
    value_bits = _checks.value_bits(value_bits or x.value_bits)
    checks = _checks.holds(
        frac_bits >= x.frac_bits,
        lambda: (
            f"{x.name}: upscale to fewer fractional bits than there are.\n"
            "  Fix: use `downscale` or `rescale`."
        ),
    )
    shift = frac_bits - x.frac_bits
    with tf.control_dependencies(checks):
        result = shifted_left(x, shift, frac_bits, value_bits)
    return (result, shift) if with_shift else result


def expand(x, value_bits: int):
    """See `FixedPoint.expand`."""
    value_bits = _checks.value_bits(value_bits)
    if value_bits < x.value_bits:
        raise QuantizedTensorError(
            f"{x.name}: expand to {value_bits} value bits, but there are "
            f"{x.value_bits}.\n  Fix: `rescale` it."
        )
    if x.frac_bits.shape.rank == 0:
        return promote(x, value_bits), zero_bits()
    with folded(x.frac_bits):
        frac_bits = tf.reduce_max(x.frac_bits)
        shift = frac_bits - x.frac_bits
    return shifted_left(x, shift, frac_bits, value_bits), shift


def align(x, other, value_bits: int | None):
    """See `FixedPoint.align`."""
    if not hasattr(other, "frac_bits"):
        raise QuantizedTypeError(
            f"{x.name}: align to a {type(other).__name__}.\n"
            "  Fix: pass a FixedPoint; for a number, `FixedPoint.quantize` it first."
        )
    value_bits = _checks.value_bits(value_bits or x.value_bits)
    if other.frac_bits is x.frac_bits and value_bits >= x.value_bits:
        return promote(x, value_bits), zero_bits()
    with folded(x.frac_bits, other.frac_bits):
        frac_bits = tf.maximum(x.frac_bits, other.frac_bits)
        shift = frac_bits - x.frac_bits
    return shifted_left(x, shift, frac_bits, value_bits), shift


def floor(x):
    """See `FixedPoint.floor`."""
    values = _rounding.floor(x.values * _rounding.exp2(-x.frac_bits, x.values.dtype))
    return limited(x, values, x.value_bits, zero_bits(), UNKNOWN_LIMIT), x.frac_bits


def shift(x, amount):
    """See `FixedPoint.shift`."""
    amount = _checks.frac_bits(amount)
    values = _rounding.floor(x.values * _rounding.exp2(amount, x.values.dtype))
    return limited(x, values, x.value_bits, x.frac_bits, UNKNOWN_LIMIT)


def divide_by_power_of_two(x, bits):
    """`x >> bits`: the same integers with `bits` more fractional bits."""
    bits = _amount(x, bits, ">>")
    if bits.shape.rank is not None and bits.shape.rank > x.frac_bits.shape.rank:
        raise QuantizedTensorError(
            f"{x.name} >> {bits.shape}: a vector of shifts on a tensor that is quantized "
            "per-tensor.\n  Fix: shift by one number, or use `shift(s)`."
        )
    with folded(x.frac_bits, bits):
        frac_bits = x.frac_bits + bits
    return x._made(x.values, x.value_bits, frac_bits, x.limit)


def shift_left(x, bits):
    """`x << bits`: integers times `2^bits`, saturated; the fractional bits stay."""
    bits = _amount(x, bits, "<<")
    return shifted_left(x, bits, x.frac_bits, x.value_bits)


def _amount(x, bits, symbol: str) -> tf.Tensor:
    if hasattr(bits, "frac_bits"):
        raise QuantizedTypeError(
            f"{x.name} {symbol} FixedPoint: a shift is a number of bits.\n"
            "  Fix: pass an integer or an integer tensor."
        )
    bits = _checks.frac_bits(bits)
    checks = _checks.holds(
        bits >= 0,
        lambda: (
            f"{x.name} {symbol} a negative number of bits.\n"
            "  Fix: use the other operator, or `shift(s)`, which takes both signs."
        ),
    )
    with tf.control_dependencies(checks):
        return tf.identity(bits) if checks else bits
