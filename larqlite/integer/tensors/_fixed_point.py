"""`FixedPoint`: integers with a number of fractional bits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from larqlite.integer.tensors import (
    _arithmetic,
    _checks,
    _qfloat_arithmetic,
    _rounding,
    _scaling,
)
from larqlite.integer.tensors._qtensor import QTensor
from larqlite.integer.tensors._storage import saturated, stored


class FixedPoint(QTensor):
    r"""Integers that stand for fixed-point numbers: \(x = values \cdot 2^{-frac\_bits}\).

    Values are limited to \([-2^{value\_bits}, 2^{value\_bits} - 1]\) when one is created.
    They are integers held in a float tensor, so that gradients pass (straight through);
    its type is float32 for magnitudes up to 2^24 and float64 above, where these types
    hold every integer exactly.

    Args:
        values: tensor of integers, of any integer or float dtype.
        value_bits: bits of the magnitude, the sign not counted, 1 to 52.
        frac_bits: int32 tensor of fractional bits, may be negative: a scalar
            (per-tensor) or a vector for the last axis (per-axis).
        limit: bound that is proven for the magnitudes; values are then taken as they
            are, not limited. None: `2 ** value_bits`, by limiting them.

    Raises:
        QuantizedTensorError: (a `ValueError`) for `value_bits` outside 1 to 52.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([3, -5, 300], value_bits=7, frac_bits=1)
        >>> x.values.numpy()
        array([  3.,  -5., 127.], dtype=float32)
        >>> x.to_float().numpy()
        array([ 1.5, -2.5, 63.5], dtype=float32)

    References:
        Yates, Fixed-Point Arithmetic: An Introduction, 2013;
        Jacob et al., https://arxiv.org/abs/1712.05877
    """

    values: tf.Tensor
    value_bits: int
    frac_bits: tf.Tensor
    limit: int

    def __init__(
        self, values: Any, value_bits: int, frac_bits: Any, *, limit: Any = None
    ) -> None:
        self.value_bits = _checks.value_bits(value_bits)
        self.frac_bits = _checks.frac_bits(frac_bits)
        if limit is None:
            values, limit = _checks.integers(values)
            values, limit = saturated(values, value_bits, limit)
        self.values = stored(tf.convert_to_tensor(values), limit)
        self.limit = limit
        self.shape = self.values.shape

    class Spec:
        """The type of a `FixedPoint`."""

        @property
        def dtype(self) -> tf.DType:
            """The float type that holds the integers exactly."""
            return self.values.dtype

    @property
    def _values(self) -> tf.Tensor:
        return self.values

    def _made(self, values, value_bits, frac_bits, limit: int) -> FixedPoint:
        """What an operation makes of this tensor, within its range by proof.

        The modules of operations know no class: their results come from the operands.
        """
        return FixedPoint(values, value_bits, frac_bits, limit=limit)

    @property
    def per_tensor(self) -> bool:
        """Whether all values share one number of fractional bits."""
        return self.frac_bits.shape.rank == 0 or self.frac_bits.shape == (1,)

    @property
    def sign(self) -> FixedPoint:
        """The signs, -1, 0 or 1, without fractional bits."""
        signs = _rounding.sign(self.values)
        return FixedPoint(signs, self.value_bits, _scaling.zero_bits(), limit=1)

    @staticmethod
    def max_frac_bits(value_bits: int, ranges, clamp: bool = True) -> tf.Tensor:
        r"""The most fractional bits with which a range still fits.

        \(value\_bits - \lceil \log_2 range \rceil\), at most `value_bits` when clamped;
        negative for ranges above the largest integer. Exact at powers of two (a range of
        exactly \(2^k\) takes k integer bits, so that \(+2^k\) itself saturates by one).

        Args:
            value_bits: bits of the magnitude.
            ranges: float tensor of largest magnitudes.
            clamp: whether the result is limited to `value_bits`.

        Returns:
            int32 tensor in the shape of `ranges`, within -60 and 60; `value_bits` for a
            range of zero.

        Example:
            >>> ranges = [0.01, 1.0, 1.01, 128.0, 129.0]
            >>> lq.integer.tensors.FixedPoint.max_frac_bits(7, ranges).numpy()
            array([ 7,  7,  6,  0, -1], dtype=int32)
        """
        return _scaling.max_frac_bits(value_bits, ranges, clamp)

    @staticmethod
    def quantize(x, value_bits: int, frac_bits=None) -> FixedPoint:
        r"""The integers nearest to \(x \cdot 2^{frac\_bits}\), ties to even.

        Args:
            x: tensor or Python number.
            value_bits: bits of the magnitude.
            frac_bits: integer scalar, or vector for the last axis. None: 0 when every
                element is an integer, else `max_frac_bits` of the largest magnitude.

        Returns:
            FixedPoint, limited to `[-2^value_bits, 2^value_bits - 1]`.

        Example:
            >>> x = lq.integer.tensors.FixedPoint.quantize([0.5, -1.2], value_bits=7)
            >>> x.values.numpy(), int(x.frac_bits)
            (array([ 32., -77.], dtype=float32), 6)
        """
        x = _checks.numbers(x)
        value_bits = _checks.value_bits(value_bits)
        if frac_bits is None:
            if x.dtype.is_integer:
                return FixedPoint(x, value_bits, _scaling.zero_bits())
            frac_bits = _scaling.frac_bits_of(x, value_bits)
        frac_bits = _checks.frac_bits(frac_bits)
        if x.dtype.is_integer:
            x = tf.cast(x, tf.float64)
        integers = _rounding.round_half_even(x * _rounding.exp2(frac_bits, x.dtype))
        integers, limit = saturated(integers, value_bits, 2**value_bits)
        return FixedPoint(integers, value_bits, frac_bits, limit=limit)

    def to_float(self) -> tf.Tensor:
        """The numbers that the integers stand for, float32.

        Exact up to 24 significant bits; the nearest float32 above.
        """
        scale = _rounding.exp2(-self.frac_bits, self.values.dtype)
        return tf.cast(self.values * scale, tf.float32)

    def abs(self) -> FixedPoint:
        """The absolute values; `-2^value_bits` becomes `2^value_bits - 1`."""
        return _arithmetic.absolute(self)

    def promote(self, bits: int) -> FixedPoint:
        """The same numbers with more value bits.

        Raises:
            QuantizedTensorError: (a `ValueError`) when `bits` are less than now.
        """
        return _scaling.promote(self, bits)

    def rescale(self, frac_bits, value_bits: int | None = None, *, with_shift=False):
        r"""The numbers with other fractional bits: a shift to the left, or a shift to the
        right rounded to nearest, \(\lfloor v \cdot 2^{s} + 0.5 \rfloor\).

        Args:
            frac_bits: the target, integer scalar or vector.
            value_bits: target value bits; the current ones if None.
            with_shift: also return the shift \(s\).

        Returns:
            FixedPoint, or `(FixedPoint, int32 tensor)`.

        Raises:
            QuantizedTensorError: (a `ValueError`) when the shift to the left is not
                smaller than the target value bits.

        Example:
            >>> x = lq.integer.tensors.FixedPoint([5, 6, -5], value_bits=7, frac_bits=2)
            >>> x.rescale(1).values.numpy()
            array([ 3.,  3., -2.], dtype=float32)
        """
        return _scaling.rescale(self, frac_bits, value_bits, with_shift)

    def downscale(self, frac_bits, *, with_shift=False):
        """`rescale` to fewer, or as many, fractional bits.

        Raises:
            QuantizedTensorError: (a `ValueError`) when they are more than now.
        """
        return _scaling.downscale(self, frac_bits, with_shift)

    def upscale(self, frac_bits, value_bits: int | None = None, *, with_shift=False):
        """`rescale` to more, or as many, fractional bits: values shift to the left.

        Raises:
            QuantizedTensorError: (a `ValueError`) when they are less than now.
        """
        return _scaling.upscale(self, frac_bits, value_bits, with_shift)

    def expand(self, value_bits: int) -> tuple[FixedPoint, tf.Tensor]:
        """The same numbers per-tensor: all channels take the most fractional bits of any.

        Args:
            value_bits: value bits of the result, at least the current ones.

        Returns:
            `(FixedPoint, int32 tensor of shifts to the left)`.

        Raises:
            QuantizedTensorError: (a `ValueError`) for less value bits than now.
        """
        return _scaling.expand(self, value_bits)

    def align(
        self, other: FixedPoint, value_bits: int | None = None
    ) -> tuple[FixedPoint, tf.Tensor]:
        """The same numbers with the fractional bits that suit `other` too: the larger of
        both, for each channel.

        Returns:
            `(FixedPoint, int32 tensor of shifts to the left)`.
        """
        return _scaling.align(self, other, value_bits)

    def floor(self) -> tuple[FixedPoint, tf.Tensor]:
        """The largest integers not above the numbers, without fractional bits, and the
        shift to the right: the fractional bits that are gone."""
        return _scaling.floor(self)

    def shift(self, s) -> FixedPoint:
        r"""Values shifted by `s`: \(\lfloor v \cdot 2^s \rfloor\), saturated; value bits
        and fractional bits stay.

        Args:
            s: integer tensor that broadcasts with the values; positive is to the left.
        """
        return _scaling.shift(self, s)

    def __add__(self, other) -> FixedPoint:
        return _arithmetic.add(self, other)

    def __radd__(self, other) -> FixedPoint:
        return _arithmetic.add(self, other)

    def __sub__(self, other) -> FixedPoint:
        return _arithmetic.subtract(self, other)

    def __rsub__(self, other) -> FixedPoint:
        return _arithmetic.subtract(_arithmetic.operand(self, other, "-"), self)

    def __mul__(self, other) -> QTensor:
        if hasattr(other, "scales"):
            return _qfloat_arithmetic.multiply(self, other)
        return _arithmetic.multiply(self, other)

    def __rmul__(self, other) -> QTensor:
        return self * other

    def __truediv__(self, other) -> FixedPoint:
        return _arithmetic.divide(self, other)

    def __rtruediv__(self, other) -> FixedPoint:
        return _checks.refuse_quotient(self, other)

    def __pow__(self, exponent: int) -> FixedPoint:
        return _arithmetic.power(self, exponent)

    def __neg__(self) -> FixedPoint:
        return _arithmetic.negative(self)

    def __abs__(self) -> FixedPoint:
        return _arithmetic.absolute(self)

    def __rshift__(self, bits) -> FixedPoint:
        return _scaling.divide_by_power_of_two(self, bits)

    def __lshift__(self, bits) -> FixedPoint:
        return _scaling.shift_left(self, bits)

    def __eq__(self, other):
        return _arithmetic.compare_numbers(self, other, tf.equal, "==")

    def __ne__(self, other):
        return _arithmetic.compare_numbers(self, other, tf.not_equal, "!=")

    __hash__ = None

    def __lt__(self, other) -> tf.Tensor:
        return _arithmetic.compare(self, other, tf.less, "<")

    def __le__(self, other) -> tf.Tensor:
        return _arithmetic.compare(self, other, tf.less_equal, "<=")

    def __gt__(self, other) -> tf.Tensor:
        return _arithmetic.compare(self, other, tf.greater, ">")

    def __ge__(self, other) -> tf.Tensor:
        return _arithmetic.compare(self, other, tf.greater_equal, ">=")
