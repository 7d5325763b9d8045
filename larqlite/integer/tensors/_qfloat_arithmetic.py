"""Sums, products, quotients and limits with `QFloat` tensors."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTypeError
from larqlite.integer.tensors import _arithmetic, _checks


def _make(fp, scales):
    from larqlite.integer.tensors._qfloat import QFloat

    return QFloat(fp, scales)


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
        return _make(_arithmetic.add(x.fp, other.fp), x.scales)


def subtract(x, other):
    """`x - other`, with the same scales and fractional bits."""
    with tf.control_dependencies(same_scales(x, other, "-")):
        return _make(_arithmetic.subtract(x.fp, other.fp), x.scales)


def multiply(x, other):
    """A product in which one side at least is a QFloat: scales multiply."""
    if not hasattr(other, "scales"):
        return _make(_arithmetic.multiply(x.fp, other), x.scales)
    if not hasattr(x, "scales"):
        return _make(_arithmetic.multiply(x, other.fp), other.scales)
    return _make(_arithmetic.multiply(x.fp, other.fp), x.scales * other.scales)


def divide(x, other):
    """`x / other` for a FixedPoint or an integer below; the scales are those of `x`."""
    if hasattr(other, "scales"):
        raise QuantizedTypeError(
            f"{x.name} / QFloat: only a FixedPoint can divide a QFloat.\n"
            "  Fix: `other.to_fixed_point()` first."
        )
    return _make(_arithmetic.divide(x.fp, other), x.scales)


def larger(x, other, operation, value_bits: int | None = None):
    """`tf.maximum` or `tf.minimum` of two QFloats with the same scales."""
    with tf.control_dependencies(same_scales(x, other, "maximum")):
        fp = _arithmetic.larger(x.fp, other.fp, operation, value_bits)
        return _make(fp, x.scales)


def clip_by_value(x, low, high):
    """`x` between `low` and `high`, all with the same scales."""
    upper = larger(x, high, tf.minimum)
    return larger(upper, low, tf.maximum, value_bits=x.fp.value_bits)
