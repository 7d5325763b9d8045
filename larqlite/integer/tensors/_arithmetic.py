"""Sums, products, quotients and comparisons of `FixedPoint` tensors, element by element.

Each is computed in the smallest float type in which it is exact for the magnitudes that
the operands are known to have, and saturates at the range of the left operand.
"""

from __future__ import annotations

import operator

import tensorflow as tf

from larqlite.errors import QuantizedTensorError, QuantizedTypeError
from larqlite.integer.tensors import _checks, _rounding, _scaling
from larqlite.integer.tensors._constants import folded
from larqlite.integer.tensors._scaling import limited
from larqlite.integer.tensors._storage import UNKNOWN_LIMIT, dtype_for
from larqlite.primitives import FLOAT64_LIMIT

INTEGER_OPERAND_BITS = 32


def operand(x, other, symbol: str):
    """`other` as a FixedPoint: an integer takes the fractional bits of `x`."""
    if hasattr(other, "frac_bits"):
        return other
    number = _integer(other)
    if number is not None:
        return x.quantize(number, INTEGER_OPERAND_BITS, x.frac_bits)
    raise QuantizedTypeError(
        f"{x.name} {symbol} {type(other).__name__}: the other operand must be a "
        "FixedPoint or a Python integer.\n"
        "  Fix: quantize it, e.g. `FixedPoint.quantize(other, value_bits=7)`."
    )


def _integer(other) -> int | None:
    """A Python integer, or what stands for one: NumPy's, or a tensor whose value is known."""
    if isinstance(other, bool) or not hasattr(other, "__index__"):
        return None
    if getattr(other, "shape", ()) != ():
        return None
    if tf.is_tensor(other):
        value = tf.get_static_value(other) if other.dtype.is_integer else None
        return None if value is None else int(value)
    try:
        return operator.index(other)
    except TypeError:
        # NumPy's arrays of no axes have the method, and floats in them.
        return None


def add(x, other):
    """`x + other`, both with the same fractional bits."""
    return _sum(x, operand(x, other, "+"), tf.add, "+")


def subtract(x, other):
    """`x - other`, both with the same fractional bits."""
    return _sum(x, operand(x, other, "-"), tf.subtract, "-")


def _sum(x, other, operation, symbol: str):
    where = f"{x.name} {symbol} {other.name}"
    checks = _checks.aligned(x.frac_bits, other.frac_bits, where, "fractional bits")
    limit = x.limit + other.limit
    dtype = dtype_for(limit)
    with tf.control_dependencies(checks):
        values = operation(tf.cast(x.values, dtype), tf.cast(other.values, dtype))
    return limited(x, values, x.value_bits, x.frac_bits, limit)


def multiply(x, other):
    """`x * other`; the fractional bits add."""
    if not hasattr(other, "frac_bits"):
        other = _scalar(x, other, "*")
    limit = x.limit * other.limit
    dtype = dtype_for(min(limit, FLOAT64_LIMIT))
    values = tf.cast(x.values, dtype) * tf.cast(other.values, dtype)
    with folded(x.frac_bits, other.frac_bits):
        frac_bits = x.frac_bits + other.frac_bits
    return limited(x, values, x.value_bits, frac_bits, limit)


def _scalar(x, other, symbol: str):
    """An integer operand that keeps the fractional bits of the result those of `x`."""
    operand(x, other, symbol)
    number = _integer(other)
    bits = max(1, abs(number).bit_length())
    return x._made(float(number), bits, 0, abs(number))


def power(x, exponent: int):
    """`x ** exponent` by repeated products, for an integer exponent >= 0."""
    if isinstance(exponent, bool) or not isinstance(exponent, int) or exponent < 0:
        raise QuantizedTypeError(
            f"{x.name} ** {exponent!r}: the exponent must be a Python integer >= 0.\n"
            "  Fix: for a reciprocal, divide: `FixedPoint.quantize(1, bits) / x`."
        )
    if exponent == 0:
        return x._made(tf.ones_like(x.values), x.value_bits, _scaling.zero_bits(), 1)
    result = x
    for _ in range(exponent - 1):
        result = multiply(result, x)
    return result


def divide(x, other):
    """`x / other`, truncated toward zero; the fractional bits subtract."""
    if not hasattr(other, "frac_bits"):
        other = _scalar(x, other, "/")
    checks = _checks.holds(
        tf.not_equal(other.values, 0),
        lambda: (
            f"{x.name} / {other.name}: division by zero.\n"
            "  Fix: limit the divisor, e.g. `tf.maximum(y, one)`."
        ),
    )
    with tf.control_dependencies(checks):
        dividend = tf.cast(x.values, tf.float64)
        quotient = dividend / tf.cast(other.values, tf.float64)
    values = _rounding.truncate(quotient)
    frac_bits = x.frac_bits - other.frac_bits
    return limited(x, values, x.value_bits, frac_bits, x.limit)


def negative(x):
    """`-x`; the lowest value saturates."""
    return limited(x, -x.values, x.value_bits, x.frac_bits, x.limit)


def absolute(x):
    """`|x|`; the lowest value saturates."""
    return limited(x, tf.abs(x.values), x.value_bits, x.frac_bits, x.limit)


def compare(x, other, comparison, symbol: str) -> tf.Tensor:
    """Boolean tensor of the numbers compared, whatever their fractional bits."""
    if hasattr(other, "scales"):
        return compare_numbers(x, other, comparison, symbol)
    other = operand(x, other, symbol)
    frac_bits = tf.maximum(x.frac_bits, other.frac_bits)
    sides = [
        tf.cast(side.values, tf.float64)
        * _rounding.exp2(frac_bits - side.frac_bits, tf.float64)
        for side in (x, other)
    ]
    return comparison(*sides)


def compare_numbers(x, other, comparison, symbol: str):
    """Boolean tensor of the numbers compared, those of quantized tensors in float64.

    Returns:
        NotImplemented for `==` and `!=` with what is no number, as for other classes.

    Raises:
        QuantizedTypeError: another comparison with what is no number.
    """
    left, right = _numbers(x), _numbers(other)
    if right is not None:
        return comparison(left, right)
    if symbol in ("==", "!="):
        return NotImplemented
    raise QuantizedTypeError(
        f"{x.name} {symbol} {type(other).__name__}: the other operand must be a number or "
        "a quantized tensor.\n  Fix: quantize it, or compare `x.to_float()`."
    )


def _numbers(x) -> tf.Tensor | None:
    """The numbers that something stands for, float64; None if it stands for none."""
    if hasattr(x, "scales"):
        return _numbers(x.fp) * tf.cast(x.scales, tf.float64)
    if hasattr(x, "frac_bits"):
        scale = _rounding.exp2(-x.frac_bits, tf.float64)
        return tf.cast(x.values, tf.float64) * scale
    return _checks.real_numbers(x, tf.float64)


def larger(x, other, operation, value_bits: int | None = None):
    """`tf.maximum` or `tf.minimum` of two tensors with the same fractional bits.

    The result has the most value bits of both, or `value_bits`.
    """
    other = operand(x, other, "maximum")
    where = f"maximum or minimum of {x.name} and {other.name}"
    checks = _checks.aligned(x.frac_bits, other.frac_bits, where, "fractional bits")
    limit = max(x.limit, other.limit)
    dtype = dtype_for(limit)
    with tf.control_dependencies(checks):
        values = operation(tf.cast(x.values, dtype), tf.cast(other.values, dtype))
    bits = value_bits or max(x.value_bits, other.value_bits)
    return limited(x, values, bits, x.frac_bits, limit)


def clip_by_value(x, low, high):
    """`x` between `low` and `high`, all with the same fractional bits; the gradient of
    `x` passes inside only, as TensorFlow's does."""
    upper = larger(x, high, tf.minimum)
    return larger(upper, low, tf.maximum, value_bits=x.value_bits)


def reduce_sum(x, axis, keepdims: bool):
    """The sum over axes; over the last one, only per-tensor."""
    axes = _axes(x, axis)
    if x.shape.rank - 1 in axes:
        x.assert_per_tensor()
    counts = [x.shape[a] for a in axes]
    known = None not in counts
    limit = x.limit
    for count in counts if known else ():
        limit *= max(count, 1)
    dtype = dtype_for(min(limit, FLOAT64_LIMIT)) if known else tf.float64
    if limit > FLOAT64_LIMIT:
        raise QuantizedTensorError(
            f"{x.name}: a sum of {counts} values of {x.value_bits} bits cannot be added "
            "exactly.\n  Fix: sum over fewer axes at a time, or rescale to fewer bits."
        )
    values = tf.reduce_sum(tf.cast(x.values, dtype), axis=axes, keepdims=keepdims)
    return limited(
        x, values, x.value_bits, x.frac_bits, limit if known else UNKNOWN_LIMIT
    )


def reduce_max(x, axis, keepdims: bool):
    """The largest over axes; only per-tensor."""
    x.assert_per_tensor()
    values = tf.reduce_max(x.values, axis=_axes(x, axis), keepdims=keepdims)
    return x._made(values, x.value_bits, x.frac_bits, x.limit)


def _axes(x, axis) -> list[int]:
    rank = x.shape.rank
    axes = range(rank) if axis is None else axis
    axes = [axes] if isinstance(axes, int) else list(axes)
    return [a % rank for a in axes]


def require_one_scale(x, axis) -> None:
    """Asserts that a sum over `axis` does not mix the scales of a QFloat."""
    if x.shape.rank - 1 in _axes(x, axis):
        x.assert_per_tensor()
