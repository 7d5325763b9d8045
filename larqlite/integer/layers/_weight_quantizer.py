"""Quantizers of float weights: on their own range, or aligned on another tensor."""

from __future__ import annotations

import tensorflow as tf
from tf_keras.src.engine.keras_tensor import KerasTensor

from larqlite.errors import ArgumentError, QuantizedTypeError
from larqlite.integer.layers._layer_classes import known, register_layer
from larqlite.integer.layers._quantizer import IntegerQuantizer
from larqlite.integer.layers._recording import TensorRecorder
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import (
    as_tensor,
    ceil_log2,
    dtype_for,
    folded,
    is_only_signature_of,
    not_counting,
    round_half_even,
    shifted_left,
    straight_through,
)
from larqlite.primitives import other_axes, shape_along

__all__ = ["AlignedWeightQuantizer", "WeightQuantizer"]

SMALLEST_SCALE = 1e-6

signs = straight_through(lambda x: tf.where(x < 0, -1.0, 1.0))


class _WeightRecorder(TensorRecorder):
    records = (FixedPoint, QFloat)


class _OfWeights(IntegerQuantizer):
    def __call__(self, inputs, *args, **kwargs):
        """As in Keras, which is left out for tensors: it would make them inputs of the
        graph, of which nothing is known, where they are constants."""
        if isinstance(inputs, KerasTensor):
            return super().__call__(inputs, *args, **kwargs)
        inputs = float_weights(self, inputs)
        if not self.built:
            self.build(inputs.shape)
        return self.call(inputs, *args, **kwargs)


@known()
@register_layer
class WeightQuantizer(_OfWeights):
    r"""Weights as integers, on the largest range that their bits allow.

    $s = \max(\max|w|, 10^{-6} m) / m$ with $m = 2^{v} - 1$ and $v$ value bits, and
    $w_{int} = round(w / s)$, ties to even: codes from $-m$ to $m$. With `fp_quantizer`
    the scale is a power of two: $w_{int} = round(w \cdot 2^{f})$.

    Two bits are ternary codes $\{-1, 0, 1\}$. One bit is binary, codes $\{-1, 1\}$ with
    zero as 1, and the scale is the mean magnitude.

    Args:
        bitwidth: bits of a code with its sign: 1 (binary), 2 (ternary) or more.
        signed: whether the weights have a sign.
        axis: the axis that has one range for each of its elements, or None for a single
            range. Tensors of rank 1 have a single range.
        fp_quantizer: True for a `FixedPoint`, False for a `QFloat`.

    Raises:
        ArgumentError: a bitwidth that is not a whole number from 1 to 53 (52
            without a sign), or an axis that is neither None nor a whole number.

    >>> quantizer = lq.integer.layers.WeightQuantizer(bitwidth=4)
    >>> w = quantizer(tf.constant([[0.7, 0.2], [-0.3, 0.1]]))
    >>> w.fp.values.numpy(), w.scales.numpy().round(4)
    (array([[ 7.,  7.], [-3.,  4.]], dtype=float32), array([0.1   , 0.0286], dtype=float32))

    References:
        XNOR-Net (one bit), https://arxiv.org/abs/1603.05279
    """

    config_keys = ("bitwidth", "signed", "axis", "fp_quantizer")
    smallest_signed = 1

    def __init__(
        self,
        bitwidth: int = 4,
        signed: bool = True,
        axis: int | None = -1,
        fp_quantizer: bool = False,
        **kwargs,
    ):
        super().__init__(bitwidth, signed, **kwargs)
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise ArgumentError(
                f'WeightQuantizer "{self.name}": axis={axis!r} is neither None nor a '
                "whole number.\n"
                "  Fix: axis=-1 for a range of each output channel, None for one range."
            )
        self.axis = axis
        self.fp_quantizer = bool(fp_quantizer)
        self.qweights = _WeightRecorder(f"{self.name}/qweights")

    @property
    def binary(self) -> bool:
        """Whether codes are -1 and 1 only."""
        return self.signed and self.bitwidth == 1

    @property
    def value_bits(self) -> int:
        """The bits of a code without its sign; 1 for binary codes."""
        return 1 if self.binary else super().value_bits

    def build(self, input_shape):
        """Checks that the weights have the axis.

        Args:
            input_shape: shape of the weights.

        Raises:
            ArgumentError: the weights have no such axis.
        """
        rank = tf.TensorShape(input_shape).rank
        if self.axis is not None and rank > 1 and not -rank <= self.axis < rank:
            raise ArgumentError(
                f'WeightQuantizer "{self.name}": axis={self.axis}, but the weights have '
                f"the {rank} axes of shape {tuple(input_shape)}.\n"
                "  Fix: axis=-1, the output channels of most kernels."
            )
        super().build(input_shape)

    def call(self, inputs):
        """The integers of float weights.

        Args:
            inputs: float tensor of weights.

        Returns:
            QFloat, or FixedPoint with `fp_quantizer`, in the shape of `inputs`.

        Raises:
            QuantizedTypeError: (a `TypeError`) `inputs` are quantized already.
        """
        return self._quantized(inputs)

    @tf.autograph.experimental.do_not_convert
    def _quantized(self, inputs):
        inputs = float_weights(self, inputs)
        reduce = tf.reduce_mean if self.binary else tf.reduce_max
        make = self._fixed_point if self.fp_quantizer else self._qfloat
        with folded(inputs), not_counting():
            ranges = self._over_other_axes(reduce, tf.abs(inputs))
            return self.qweights(make(inputs, ranges))

    def _over_other_axes(self, reduce, magnitudes: tf.Tensor) -> tf.Tensor:
        rank = magnitudes.shape.rank
        if self.axis is None or rank <= 1:
            return reduce(magnitudes)
        ranges, axis = reduce(magnitudes, other_axes(rank, self.axis)), self.axis % rank
        if axis == rank - 1:
            return ranges
        # Trailing axes of length 1 keep the ranges beside their axis.
        return tf.reshape(ranges, shape_along(rank, axis)[axis:])

    def _qfloat(self, inputs: tf.Tensor, ranges: tf.Tensor) -> QFloat:
        largest = 1 if self.binary else 2**self.value_bits - 1
        scales = tf.maximum(
            QFloat.optimal_scales(ranges, self.value_bits), SMALLEST_SCALE
        )
        quantize = signs if self.binary else round_half_even
        values = quantize(inputs / scales)
        zero = tf.constant(0, tf.int32)
        return QFloat(FixedPoint(values, self.value_bits, zero, limit=largest), scales)

    def _fixed_point(self, inputs: tf.Tensor, ranges: tf.Tensor) -> FixedPoint:
        if not self.binary:
            frac_bits = FixedPoint.max_frac_bits(self.value_bits, ranges)
            return FixedPoint.quantize(inputs, self.value_bits, frac_bits)
        # The power of two nearest to the mean magnitude, by the ratio.
        mean = tf.maximum(ranges, SMALLEST_SCALE)
        frac_bits = -ceil_log2(mean * 2**-0.5)
        return FixedPoint(signs(inputs), 1, frac_bits, limit=1)


@known()
@register_layer
class AlignedWeightQuantizer(_OfWeights):
    r"""Weights as integers with the scales and fractional bits of another tensor.

    $f = \min(v - \lceil \log_2 (\max|w| / s) \rceil, v, f_{other})$ and
    $w_{int} = round(w / s \cdot 2^{f}) \cdot 2^{f_{other} - f}$ with $v$ value bits and
    the scales $s$ of the other tensor (1 if it has none): `bitwidth` bits and a shift to
    the left, which is what is stored of a bias.

    Args:
        bitwidth: bits of the integer before the shift, with its sign.
        signed: whether the weights have a sign.

    Raises:
        ArgumentError: a bitwidth that is no whole number from 2 to 53 (signed), or from
            1 to 52.

    >>> other = lq.integer.tensors.QFloat.quantize([[0.5, 2.0]], 27, scales=[0.1, 0.01])
    >>> bias = lq.integer.layers.AlignedWeightQuantizer()([0.3, 3.0], other)
    >>> bias.fp.values.numpy(), bias.to_float().numpy().round(3)
    (array([  3., 300.]), array([0.3, 3. ], dtype=float32))
    """

    def __init__(self, bitwidth: int = 8, signed: bool = True, **kwargs):
        super().__init__(bitwidth, signed, **kwargs)
        self.qweights = _WeightRecorder(f"{self.name}/qweights")
        self.shift = TensorRecorder(f"{self.name}/shift")

    def call(self, inputs, other):
        """The integers of float weights, aligned on `other`.

        Args:
            inputs: float tensor of weights.
            other: QFloat or FixedPoint to align on.

        Returns:
            A tensor of the type, scales, fractional bits and value bits of `other`.

        Raises:
            QuantizedTypeError: (a `TypeError`) `inputs` are quantized already, or
                `other` is not.
        """
        return self._aligned(inputs, other)

    @tf.autograph.experimental.do_not_convert
    def _aligned(self, inputs, other):
        inputs = float_weights(self, inputs)
        if not isinstance(other, QTensor):
            raise QuantizedTypeError(
                f'AlignedWeightQuantizer "{self.name}": other is a '
                f"{type(other).__name__}, which has no scales to align on.\n"
                "  Fix: give it a QFloat or a FixedPoint."
            )
        target = getattr(other, "fp", other)
        scales = [other.scales] if isinstance(other, QFloat) else []
        with folded(inputs, target.frac_bits, *scales):
            fixed = self._with_scales(inputs, scales, target)
            return self.qweights(QFloat(fixed, *scales) if scales else fixed)

    def _with_scales(self, inputs, scales: list, target: FixedPoint) -> FixedPoint:
        if is_only_signature_of(inputs):
            limit = 2**target.value_bits
            bits = target.value_bits, target.frac_bits
            return FixedPoint(tf.cast(inputs, dtype_for(limit)), *bits, limit=limit)
        ranges = tf.reduce_max(tf.abs(inputs))
        for s in scales:
            inputs, ranges = inputs / s, ranges / s
        frac_bits = FixedPoint.max_frac_bits(self.value_bits, ranges)
        frac_bits = tf.minimum(frac_bits, target.frac_bits)
        with not_counting():
            fixed = FixedPoint.quantize(inputs, self.value_bits, frac_bits)
        return aligned(fixed, self.shift(target.frac_bits - frac_bits), target)


def aligned(fixed: FixedPoint, shift: tf.Tensor, target: FixedPoint) -> FixedPoint:
    """`fixed` shifted left, with the very fractional bits of `target`.

    No check that the shift is not negative has to run: it was made so. And a sum with
    `target` need not compare fractional bits that are the same tensor.
    """
    return shifted_left(fixed, shift, target.frac_bits, target.value_bits)


def float_weights(quantizer: IntegerQuantizer, inputs) -> tf.Tensor:
    """`inputs` as a float tensor.

    Raises:
        QuantizedTypeError: they are quantized already.
    """
    if isinstance(inputs, QTensor):
        raise QuantizedTypeError(
            f'{type(quantizer).__name__} "{quantizer.name}" quantizes float weights, but '
            f"got a {type(inputs).__name__}.\n"
            "  Fix: pass the float weights, or inputs.to_float()."
        )
    inputs = as_tensor(inputs)
    return inputs if inputs.dtype.is_floating else tf.cast(inputs, tf.float32)
