"""Separable convolutions on quantized tensors, with a shift between their two steps."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import ALIGNED, OUTPUT, WEIGHTS
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._recording import TensorRecorder
from larqlite.integer.tensors import QFloat, QTensor
from larqlite.integer.tensors.internal import (
    ceil_log2,
    depthwise_convolution,
    dtype_for,
    exp2,
    folded,
    limited,
    round_half_up,
    rounding_dtype_for,
)

__all__ = ["QuantizedSeparableConv2D"]

SCALE_BITS = 8


@quantizes(tf_keras.layers.SeparableConv2D)
class QuantizedSeparableConv2D(QuantizedLayer, tf_keras.layers.SeparableConv2D):
    r"""A separable convolution of quantized inputs and weights.

    The depthwise accumulator $d$ is shifted to the right before the pointwise
    convolution, $\lfloor d \cdot 2^{-r} + 0.5 \rfloor$. With two convolutions in one
    buffer the accumulator would otherwise be wider than the buffer, whose upper
    `scale_bits` bits the requantization needs. The shift is the smallest for which the
    weights prove that nothing saturates,
    $(|x| \max_c \sum|w_d| \cdot 2^{-r} + 1) \max_j \sum|w_p| \le 2^{b - scale\_bits}$,
    for a buffer of $b$ bits and inputs of a magnitude $|x|$; 0 where there is room. It
    depends on the weights alone, and aligns the channels of a per-axis input with the same
    step. `dw_shift` records it (negative: to the right).

    Input `(batch, height, width, channels)`, output
    `(batch, new_height, new_width, filters)`: the accumulator, or a FixedPoint of few
    bits if `quant_config` has an "output_quantizer".

    Args:
        *args: those of `tf_keras.layers.SeparableConv2D`.
        quant_config: dictionary with the keys `dw_weight_quantizer` (its axis is always
            None, a single scale), `pw_weight_quantizer`, `bias_quantizer`,
            `output_quantizer` (arguments of the quantizers) and `buffer_bitwidth`.
        **kwargs: those of `tf_keras.layers.SeparableConv2D`.

    Raises:
        ArgumentError: an activation, channels first, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedSeparableConv2D(
    ...     1, 2, depthwise_initializer="ones", pointwise_initializer="ones")
    >>> y = layer(tf.constant([[[[1], [2]], [[3], [4]]]]))
    >>> y.fp.values.numpy().ravel().tolist(), y.to_float().numpy().ravel().round(4)
    ([161290.0], array([10.], dtype=float32))

    References:
        MobileNets, https://arxiv.org/abs/1704.04861
    """

    quantizer_slots = {
        "dw_weight_quantizer": dataclasses.replace(WEIGHTS, forced={"axis": None}),
        "pw_weight_quantizer": WEIGHTS,
        "bias_quantizer": ALIGNED,
        "output_quantizer": OUTPUT,
    }
    slots_of_weights = {
        "depthwise_kernel": "dw_weight_quantizer",
        "pointwise_kernel": "pw_weight_quantizer",
        "bias": "bias_quantizer",
    }
    buffer_cap = 32
    # The shift between both steps aligns the channels too.
    keeps_per_axis = True

    def __init__(
        self, *args: Any, quant_config: dict | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, quant_config=quant_config, **kwargs)
        self.dw_shift = TensorRecorder(f"{self.name}/dw_shift")

    @property
    def accumulator_bits(self) -> int:
        """The bits that the pointwise accumulator may take: those of the buffer without
        what the multiplication with quantized scales adds."""
        quantizer = self.out_quantizer
        scale_bits = SCALE_BITS if quantizer is None else quantizer.scale_bits
        return max(self.buffer_bits + 1 - scale_bits, 2)

    def compute(self, inputs):
        inputs = self.in_buffer(inputs)
        depthwise = self.dw_weight_quantizer(self.depthwise_kernel)
        pointwise = self.pw_weight_quantizer(self.pointwise_kernel)
        between = depthwise_convolution(
            inputs, depthwise, self.strides, self.padding, self.dilation_rate
        )
        limit = getattr(inputs, "fp", inputs).limit
        return self.with_bias(self._pointwise(between, limit, depthwise, pointwise))

    def _pointwise(self, between: QTensor, limit: int, depthwise, pointwise) -> QTensor:
        fp, kernel = (
            getattr(between, "fp", between),
            getattr(pointwise, "fp", pointwise),
        )
        dtype = rounding_dtype_for(fp.limit)
        with folded(fp.frac_bits, _values(depthwise), kernel.values):
            sums = (
                limit * kernel_sums(depthwise, (0, 1)),
                kernel_sums(pointwise, (0, 1, 2)),
            )
            frac_bits = self._frac_bits_between(fp.frac_bits, *sums)
            shift = self.dw_shift(frac_bits - fp.frac_bits)
            factor = exp2(shift, dtype)
        values = round_half_up(tf.cast(fp.values, dtype) * factor)
        # The shift was made for this bound, which no partial sum passes; where it could
        # not be met, what is left are units, of which each weight adds one.
        units = kernel.limit * self.pointwise_kernel.shape[2]
        bound = max(2**self.accumulator_bits, units)
        dtype = dtype_for(bound)
        sums = tf.nn.convolution(
            tf.cast(values, dtype), tf.cast(kernel.values, dtype), padding="VALID"
        )
        scales = [x.scales for x in (between, pointwise) if isinstance(x, QFloat)]
        with folded(frac_bits, kernel.frac_bits, *scales):
            frac_bits = frac_bits + kernel.frac_bits
            scales = [functools.reduce(tf.multiply, scales)] if scales else []
        result = limited(fp, sums, fp.value_bits, frac_bits, bound)
        return QFloat(result, *scales) if scales else result

    def _frac_bits_between(self, frac_bits, reach, weights) -> tf.Tensor:
        """The fractional bits that all channels have between both steps.

        Args:
            frac_bits: those of the depthwise accumulator.
            reach: its largest magnitude in each channel, float64.
            weights: the sum of magnitudes of each pointwise filter, float64.
        """
        most = tf.reduce_max(frac_bits)
        reach = tf.reduce_max(reach * exp2(most - frac_bits, tf.float64))
        weight = tf.reduce_max(weights)
        room = tf.maximum(2.0**self.accumulator_bits - weight, 1.0)
        return most - tf.maximum(ceil_log2(reach * weight / room), 0)


def _values(kernel: QTensor) -> tf.Tensor:
    return getattr(kernel, "fp", kernel).values


def kernel_sums(kernel: QTensor, axes: tuple[int, ...]) -> tf.Tensor:
    """The sums of magnitudes that the outputs add up, float64, one for each output."""
    values = tf.cast(_values(kernel), tf.float64)
    return tf.reshape(tf.reduce_sum(tf.abs(values), axes), [-1])
