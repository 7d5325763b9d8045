"""Depthwise convolutions, and transposed ones, on quantized tensors."""

from __future__ import annotations

import dataclasses

import tf_keras

from larqlite.integer.layers._config import WEIGHTS
from larqlite.integer.layers._depthwise_transpose import (
    DepthwiseConv2DTranspose,
    depthwise_transpose,
)
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._quantized_conv import KernelLayer
from larqlite.integer.tensors.internal import depthwise_convolution

__all__ = ["QuantizedDepthwiseConv2D", "QuantizedDepthwiseConv2DTranspose"]


class _Depthwise(KernelLayer):
    slots_of_weights = {
        "depthwise_kernel": "weight_quantizer",
        "bias": "bias_quantizer",
    }

    def quantized_kernel(self):
        return self.weight_quantizer(self.depthwise_kernel)

    def record_input_shift(self, frac_bits):
        """Nothing: channels do not meet, so each keeps its fractional bits."""


@quantizes(tf_keras.layers.DepthwiseConv2D)
class QuantizedDepthwiseConv2D(_Depthwise, tf_keras.layers.DepthwiseConv2D):
    """A depthwise convolution of quantized inputs and weights, exact.

    Input FixedPoint `(batch, height, width, channels)`, per-tensor or per-axis, output
    `(batch, new_height, new_width, channels * depth_multiplier)`: the accumulator, or a
    FixedPoint of few bits if `quant_config` has an "output_quantizer".

    Args:
        *args: those of `tf_keras.layers.DepthwiseConv2D`.
        quant_config: dictionary with the keys `weight_quantizer` (its axis is always
            -2, a scale for each input channel), `bias_quantizer`, `output_quantizer`
            (arguments of the quantizers) and `buffer_bitwidth` (at most 28).
        **kwargs: those of `tf_keras.layers.DepthwiseConv2D`.

    Raises:
        ArgumentError: an activation, channels first, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedDepthwiseConv2D(
    ...     2, depthwise_initializer="ones")
    >>> x = lq.integer.tensors.FixedPoint([[[[1, 8], [2, 8]], [[3, 8], [4, 8]]]], 7, [0, 3])
    >>> layer(x).to_float().numpy().round(4).ravel().tolist()
    [10.0, 4.0]

    References:
        MobileNets, https://arxiv.org/abs/1704.04861
    """

    quantizer_slots = {
        **KernelLayer.quantizer_slots,
        "weight_quantizer": dataclasses.replace(WEIGHTS, forced={"axis": -2}),
    }

    def product(self, inputs, kernel):
        return depthwise_convolution(
            inputs, kernel, self.strides, self.padding, self.dilation_rate
        )


@quantizes(DepthwiseConv2DTranspose)
class QuantizedDepthwiseConv2DTranspose(_Depthwise, DepthwiseConv2DTranspose):
    """A transposed depthwise convolution of quantized inputs and weights, exact.

    Input FixedPoint `(batch, height, width, channels)`, per-tensor or per-axis, output
    `(batch, new_height, new_width, channels * depth_multiplier)`: the accumulator, or a
    FixedPoint of few bits if `quant_config` has an "output_quantizer".

    Args:
        *args: those of `DepthwiseConv2DTranspose`.
        quant_config: dictionary with the keys `weight_quantizer` (its axis is always
            None, a single scale), `bias_quantizer`, `output_quantizer` (arguments of the
            quantizers) and `buffer_bitwidth` (at most 28).
        **kwargs: those of `DepthwiseConv2DTranspose`.

    Raises:
        ArgumentError: an activation, channels first, a dilation, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedDepthwiseConv2DTranspose(
    ...     2, strides=2, padding="same", depthwise_initializer="ones")
    >>> x = lq.integer.tensors.FixedPoint([[[[1], [2]]]], value_bits=7, frac_bits=0)
    >>> layer(x).fp.values.numpy()[0, 0, :, 0].tolist()
    [127.0, 127.0, 254.0, 254.0]

    References:
        Dumoulin and Visin, https://arxiv.org/abs/1603.07285, section 4
    """

    quantizer_slots = {
        **KernelLayer.quantizer_slots,
        "weight_quantizer": dataclasses.replace(WEIGHTS, forced={"axis": None}),
    }

    def product(self, inputs, kernel):
        return depthwise_convolution(inputs, kernel, convolve=self._transposed)

    def _transposed(self, values, kernel):
        return depthwise_transpose(values, kernel, self.strides[0], self.padding)
