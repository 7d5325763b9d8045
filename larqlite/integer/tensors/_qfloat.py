"""`QFloat`: a `FixedPoint` times float scales."""

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
from larqlite.integer.tensors._constants import folded
from larqlite.integer.tensors._fixed_point import FixedPoint
from larqlite.integer.tensors._qtensor import QTensor


class QFloat(QTensor):
    r"""Fixed-point values and float scales: \(x = fp \cdot scales\).

    For tensors whose range does not suit a power of two: they are divided by the scales
    first, so that they fill the range of the integers, and then quantized.

    Args:
        fp: FixedPoint of values.
        scales: float32 tensor, scalar (per-tensor) or a vector for the last axis.

    Raises:
        QuantizedTypeError: (a `TypeError`) when `fp` is no FixedPoint.

    Example:
        >>> x = lq.integer.tensors.QFloat.quantize([0.3, -0.6], 7, scales=0.6 / 127)
        >>> x.fp.values.numpy()
        array([  64., -127.], dtype=float32)
        >>> x.to_float().numpy().round(3)
        array([ 0.302, -0.6  ], dtype=float32)

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877
    """

    fp: FixedPoint
    scales: tf.Tensor

    def __init__(self, fp: Any, scales: Any) -> None:
        self.fp = _checks.fixed_point(fp)
        self.scales = _checks.scales(scales)
        self.shape = self.fp.shape

    class Spec:
        """The type of a `QFloat`."""

        @property
        def dtype(self) -> tf.DType:
            """The float type that holds the integers exactly."""
            return self.fp.dtype

    @property
    def _values(self) -> tf.Tensor:
        return self.fp.values

    def _made(self, fp: FixedPoint, scales) -> QFloat:
        """What an operation makes of this tensor; see `FixedPoint`."""
        return QFloat(fp, scales)

    @property
    def per_tensor(self) -> bool:
        """Whether one scale and one number of fractional bits hold for all values."""
        return self.fp.per_tensor and self.scales.shape.rank == 0

    @staticmethod
    def max_frac_bits(value_bits: int, ranges, scales, clamp: bool = True) -> tf.Tensor:
        """`FixedPoint.max_frac_bits` of the ranges divided by the scales.

        Args:
            value_bits: bits of the magnitude.
            ranges: float tensor of largest magnitudes.
            scales: float tensor that broadcasts with `ranges`.
            clamp: whether the result is limited to `value_bits`.

        Returns:
            int32 tensor.
        """
        return _scaling.max_frac_bits(
            value_bits, tf.math.divide(_checks.numbers(ranges), scales), clamp
        )

    @staticmethod
    def optimal_scales(ranges, value_bits: int) -> tf.Tensor:
        r"""Scales with which ranges fill the integers: \(range / (2^{value\_bits} - 1)\).

        Example:
            >>> lq.integer.tensors.QFloat.optimal_scales([1.27, 254.0], 7).numpy()
            array([0.01, 2.  ], dtype=float32)
        """
        ranges = _checks.numbers(ranges)
        ranges = ranges if ranges.dtype.is_floating else tf.cast(ranges, tf.float32)
        # In float64: a graph makes a product with the reciprocal of the quotient, and
        # the float32 nearest to both is the same (the quotient of 24 bits and 16 is no
        # closer than 2^-41 to the middle of two, the product no farther than 2^-52).
        largest = tf.constant(2 ** _checks.value_bits(value_bits) - 1, tf.float64)
        return tf.cast(tf.cast(ranges, tf.float64) / largest, ranges.dtype)

    @staticmethod
    def quantize_scales(scales, scale_bits: int) -> FixedPoint:
        """Scales as integers of `scale_bits` bits, each with fractional bits of its own.

        Args:
            scales: float tensor of scales >= 0.
            scale_bits: value bits (scales have no sign: 8 bits are values up to 255).

        Returns:
            FixedPoint; its fractional bits are in the shape of `scales`.

        Example:
            >>> q = lq.integer.tensors.QFloat.quantize_scales([0.1, 3.0], 8)
            >>> q.values.numpy(), q.frac_bits.numpy()
            (array([205., 192.], dtype=float32), array([11,  6], dtype=int32))
        """
        scales = _checks.numbers(scales)
        with folded(scales):
            frac_bits = _scaling.max_frac_bits(scale_bits, scales, clamp=False)
            return FixedPoint.quantize(scales, scale_bits, frac_bits)

    @staticmethod
    def quantize(x, value_bits: int, scales, frac_bits=0.0) -> QFloat:
        r"""The integers nearest to \(x / scales \cdot 2^{frac\_bits}\), ties to even.

        The scales are used as they are given.

        Args:
            x: float tensor.
            value_bits: bits of the magnitude; values are limited to
                `[-2^value_bits, 2^value_bits - 1]`.
            scales: float tensor, scalar or a vector for the last axis.
            frac_bits: fractional bits of the integers.

        Returns:
            QFloat.
        """
        scales = tf.convert_to_tensor(scales, tf.float32)
        x = _checks.numbers(x)
        x = x if x.dtype.is_floating else tf.cast(x, tf.float32)
        ratio = x / tf.cast(scales, x.dtype)
        return QFloat(FixedPoint.quantize(ratio, value_bits, frac_bits), scales)

    def to_fixed_point(self, scale_bits: int = 8) -> tuple[FixedPoint, FixedPoint]:
        """The same numbers as a FixedPoint: values times quantized scales.

        The product keeps the value bits of `fp` and saturates there: `promote` first.

        Args:
            scale_bits: value bits of the quantized scales.

        Returns:
            `(product, quantized scales)`.
        """
        scales = QFloat.quantize_scales(self.scales, scale_bits)
        return self.fp * scales, scales

    def to_float(self) -> tf.Tensor:
        """The numbers that the integers and scales stand for, float32."""
        frac_bits = self.fp.frac_bits
        # One product, which no graph optimizer can put into another order.
        with folded(frac_bits, self.scales):
            step = self.scales * _rounding.exp2(-frac_bits, tf.float32)
        return tf.cast(self.fp.values, tf.float32) * step

    def promote(self, bits: int) -> QFloat:
        """The same numbers with more value bits; see `FixedPoint.promote`."""
        return QFloat(self.fp.promote(bits), self.scales)

    def upscale(self, frac_bits, value_bits: int | None = None, *, with_shift=False):
        """The same numbers with more fractional bits; see `FixedPoint.upscale`."""
        fp, shift = self.fp.upscale(frac_bits, value_bits, with_shift=True)
        result = QFloat(fp, self.scales)
        return (result, shift) if with_shift else result

    def __add__(self, other) -> QFloat:
        return _qfloat_arithmetic.add(self, other)

    def __sub__(self, other) -> QFloat:
        return _qfloat_arithmetic.subtract(self, other)

    def __radd__(self, other) -> QFloat:
        return _qfloat_arithmetic.add(self, other)

    def __rsub__(self, other) -> QFloat:
        return _qfloat_arithmetic.subtract(self, other)

    def __mul__(self, other) -> QFloat:
        return _qfloat_arithmetic.multiply(self, other)

    def __rmul__(self, other) -> QFloat:
        return _qfloat_arithmetic.multiply(self, other)

    def __truediv__(self, other) -> QFloat:
        return _qfloat_arithmetic.divide(self, other)

    def __rtruediv__(self, other) -> QFloat:
        return _checks.refuse_quotient(self, other)

    def __eq__(self, other):
        return _arithmetic.compare_numbers(self, other, tf.equal, "==")

    def __ne__(self, other):
        return _arithmetic.compare_numbers(self, other, tf.not_equal, "!=")

    __hash__ = None

    def __lt__(self, other) -> tf.Tensor:
        return _arithmetic.compare_numbers(self, other, tf.less, "<")

    def __le__(self, other) -> tf.Tensor:
        return _arithmetic.compare_numbers(self, other, tf.less_equal, "<=")

    def __gt__(self, other) -> tf.Tensor:
        return _arithmetic.compare_numbers(self, other, tf.greater, ">")

    def __ge__(self, other) -> tf.Tensor:
        return _arithmetic.compare_numbers(self, other, tf.greater_equal, ">=")

    def __neg__(self) -> QFloat:
        return QFloat(-self.fp, self.scales)
