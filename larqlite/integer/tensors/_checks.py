"""What the operations on quantized tensors ask of their operands."""

from __future__ import annotations

import operator
from numbers import Number

import numpy as np
import tensorflow as tf

from larqlite.errors import QuantizedTensorError, QuantizedTypeError
from larqlite.integer.tensors._constants import as_tensor, folded, known
from larqlite.integer.tensors._qtensor import QTensor
from larqlite.integer.tensors._storage import (
    MAX_VALUE_BITS,
    UNKNOWN_LIMIT,
    dtype_for,
)


def value_bits(bits: int) -> int:
    """`bits` as a Python int from 1 to 52."""
    if isinstance(bits, (bool, tf.Tensor)) or not hasattr(bits, "__index__"):
        raise QuantizedTypeError(
            f"value_bits is {bits!r}; it must be a Python integer, known before the "
            "values are.\n  Fix: e.g. value_bits=7 for signed 8-bit integers."
        )
    bits = operator.index(bits)
    if not 1 <= bits <= MAX_VALUE_BITS:
        raise QuantizedTensorError(
            f"value_bits is {bits}; from 1 to {MAX_VALUE_BITS} are possible (the sign is "
            "not counted).\n  Fix: e.g. value_bits=7 for signed 8-bit integers."
        )
    return bits


def frac_bits(bits) -> tf.Tensor:
    """Fractional bits as an int32 tensor."""
    if isinstance(bits, tf.Tensor) and bits.dtype == tf.int32:
        return known(bits)
    if not isinstance(bits, tf.Tensor):
        array = np.asarray(bits)
        if array.dtype.kind not in "iuf" or np.any(array != np.floor(array)):
            raise QuantizedTensorError(
                f"frac_bits is {bits!r}; fractional bits are whole numbers.\n"
                "  Fix: e.g. frac_bits=4, or a vector of integers for the last axis."
            )
        return known(tf.constant(array.astype(np.int32)))
    return known(tf.cast(bits, tf.int32))


def fixed_point(x):
    """`x`, which must be a FixedPoint."""
    if not hasattr(x, "frac_bits"):
        raise QuantizedTypeError(
            f"A QFloat of a {type(x).__name__}: its values must be a FixedPoint.\n"
            "  Fix: `QFloat(FixedPoint(values, value_bits, frac_bits), scales)`, or "
            "`QFloat.quantize` for float values."
        )
    return x


def scales(x) -> tf.Tensor:
    """Scales as a float32 tensor; one that is a constant stays known."""
    x = known(as_tensor(x))
    with folded(x):
        return x if x.dtype == tf.float32 else tf.cast(x, tf.float32)


def numbers(x) -> tf.Tensor:
    """`x` as a tensor of numbers, float32 unless it says otherwise."""
    if isinstance(x, QTensor):
        raise QuantizedTypeError(
            f"A {type(x).__name__} is quantized already.\n"
            "  Fix: `rescale` it, or pass `x.to_float()`."
        )
    x = as_tensor(x)
    if x.dtype in (tf.float16, tf.bfloat16):
        return tf.cast(x, tf.float32)
    return x


def real_numbers(x, dtype: tf.DType) -> tf.Tensor | None:
    """Numbers of Python, NumPy or TensorFlow in a dtype; None for anything else."""
    if tf.is_tensor(x) and not isinstance(x, QTensor):
        is_real = x.dtype.is_floating or x.dtype.is_integer or x.dtype.is_bool
        return tf.cast(x, dtype) if is_real else None
    if not isinstance(x, (Number, np.ndarray, np.generic)):
        return None
    array = np.asarray(x)
    return tf.constant(array, dtype) if array.dtype.kind in "biuf" else None


def operand_number(x, other, symbol: str) -> tf.Tensor | None:
    """A number, or one for each channel of `x`, as float32; None for anything else.

    Raises:
        QuantizedTypeError: numbers of another shape, or neither a number nor quantized.
        QuantizedTensorError: NaN or an infinity, which no scale can be.
    """
    number = None if isinstance(other, bool) else real_numbers(other, tf.float32)
    if number is None and not isinstance(other, QTensor):
        raise QuantizedTypeError(
            f"{x.name} {symbol} {type(other).__name__}: the other operand must be a "
            "quantized tensor, a number, or an array or tensor of one number for each "
            "channel.\n  Fix: np.asarray(other), if these are numbers."
        )
    if number is None:
        return None
    shape = number.shape
    if shape.rank != 0 and not (shape.rank == 1 and shape[0] in (1, x.shape[-1])):
        raise QuantizedTypeError(
            f"{x.name} {symbol} numbers of shape {shape}: scales are one number, or one for "
            f"each channel of {x.shape}.\n"
            "  Fix: quantize the other side: `FixedPoint.quantize(other, value_bits)`."
        )
    checks = holds(
        tf.math.is_finite(number),
        lambda: (
            f"{x.name} {symbol} {other}: the scales would not be finite.\n"
            "  Fix: a finite number."
        ),
    )
    if checks:
        with tf.control_dependencies(checks):
            return tf.identity(number)
    return number


def refuse_quotient(x, other):
    """Raises: nothing is divided by a quantized tensor of unknown values but another."""
    raise QuantizedTypeError(
        f"{type(other).__name__} / {x.name}: only a FixedPoint is divided by another.\n"
        "  Fix: `FixedPoint.quantize(number, value_bits) / x`, which is truncated; or "
        "`number / x.to_float()`."
    )


def integers(values) -> tuple[tf.Tensor, int]:
    """Values that are given as integers, as a float tensor that holds them, and what is
    known of their magnitudes."""
    values = numbers(values)
    if not values.dtype.is_integer:
        return values, UNKNOWN_LIMIT
    limit = max(-values.dtype.min, values.dtype.max)
    return tf.cast(values, dtype_for(limit)), limit


def holds(condition: tf.Tensor, message) -> list[tf.Operation]:
    """Asserts that `condition` is true everywhere.

    Args:
        condition: boolean tensor.
        message: function without arguments, the text of the error.

    Returns:
        Operations that a graph has to run first: none if the answer is known now.

    Raises:
        QuantizedTensorError: (a `ValueError`) when it is known now that it is not; when
            a graph runs, `tf.errors.InvalidArgumentError`.
    """
    value = tf.get_static_value(tf.convert_to_tensor(condition))
    if value is None:
        return [tf.debugging.Assert(tf.reduce_all(condition), [message()])]
    if not np.all(value):
        raise QuantizedTensorError(message())
    return []


def aligned(left: tf.Tensor, right: tf.Tensor, where: str, what: str) -> list:
    """Asserts that two tensors of fractional bits, or of scales, are equal."""
    if left is right:
        return []

    def message() -> str:
        values = [tf.get_static_value(side) for side in (left, right)]
        said = (
            ""
            if None in [v if v is None else 0 for v in values]
            else (f" ({values[0]} and {values[1]})")
        )
        return (
            f"{where}: the operands have different {what}{said}.\n"
            "  Fix: bring them to the same first, e.g. `x, _ = x.align(y)` and "
            "`y, _ = y.align(x)`."
        )

    return holds(tf.equal(left, right), message)
