"""Sums, products, quotients and limits with `QFloat` tensors."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTypeError
from larqlite.integer.tensors import _arithmetic, _checks, _scaling
from larqlite.integer.tensors._constants import folded


def same_scales(x, other, symbol: str) -> list:
    """Asserts that both are QFloats with equal scales."""
    if not hasattr(other, "scales"):
        raise QuantizedTypeError(
            f"{x.name} {symbol} {type(other).__name__}: the other operand must be a "
            "QFloat with the same scales.\n"
            "  Fix: quantize it with these scales: "
            "`QFloat.quantize(other, value_bits, x.scales, x.fp.frac_bits)`."
        )
    where = f"{x.name} {symbol} {other.name}"
    return _checks.aligned(x.scales, other.scales, where, "scales")


def add(x, other):
    """`x + other`, with the same scales and fractional bits."""
    with tf.control_dependencies(same_scales(x, other, "+")):
        return x._made(_arithmetic.add(x.fp, other.fp), x.scales)


def subtract(x, other):
    """`x - other`, with the same scales and fractional bits."""
    with tf.control_dependencies(same_scales(x, other, "-")):
        return x._made(_arithmetic.subtract(x.fp, other.fp), x.scales)


def multiply(x, other):
    """A product in which one side at least is a QFloat: scales multiply.

    So do those of `x` with a number, or with one for each channel; the integers stay.
    """
    number = _checks.operand_number(x, other, "*")
    if number is not None:
        return _scaled(x, number)
    if not hasattr(other, "scales"):
        return x._made(_arithmetic.multiply(x.fp, other), x.scales)
    if not hasattr(x, "scales"):
        return other._made(_arithmetic.multiply(x, other.fp), other.scales)
    return x._made(_arithmetic.multiply(x.fp, other.fp), x.scales * other.scales)


def _scaled(x, number):
    """`x` with its scales times a float32 tensor; a sign goes to the integers."""
    is_negative = number < 0
    with folded(x.scales, number):
        scales = x.scales * tf.abs(number)
    known = tf.get_static_value(is_negative)
    if known is not None and not known.any():
        return x._made(x.fp, scales)
    fp = x.fp
    if is_negative.shape.rank == 0 and known is not None:
        return x._made(_arithmetic.negative(fp), scales)
    signs = tf.cast(tf.where(is_negative, -1.0, 1.0), fp.values.dtype)
    fp = _scaling.limited(fp, fp.values * signs, fp.value_bits, fp.frac_bits, fp.limit)
    return x._made(fp, scales)


def divide(x, other):
    """`x / other`: a number divides the scales, a FixedPoint below the integers, whose
    quotients are truncated."""
    number = _checks.operand_number(x, other, "/")
    if number is not None:
        checks = _checks.holds(
            tf.not_equal(number, 0),
            lambda: f"{x.name} / 0: division by zero.\n  Fix: another divisor.",
        )
        with tf.control_dependencies(checks):
            # In float64, so that 1 / number is not rounded before the product.
            wide = tf.cast(x.scales, tf.float64) / tf.abs(tf.cast(number, tf.float64))
        scales = tf.cast(wide, tf.float32)
        return _scaled(x._made(x.fp, scales), tf.sign(number))
    if hasattr(other, "scales"):
        raise QuantizedTypeError(
            f"{x.name} / QFloat: only a FixedPoint can divide a QFloat.\n"
            "  Fix: `other.to_fixed_point()` first."
        )
    return x._made(_arithmetic.divide(x.fp, other), x.scales)


def larger(x, other, operation, value_bits: int | None = None):
    """`tf.maximum` or `tf.minimum` of two QFloats with the same scales."""
    with tf.control_dependencies(same_scales(x, other, "maximum")):
        fp = _arithmetic.larger(x.fp, other.fp, operation, value_bits)
        return x._made(fp, x.scales)


def clip_by_value(x, low, high):
    """`x` between `low` and `high`, all with the same scales."""
    upper = larger(x, high, tf.minimum)
    return larger(upper, low, tf.maximum, value_bits=x.fp.value_bits)
