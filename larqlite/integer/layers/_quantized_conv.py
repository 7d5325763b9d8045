"""Convolutions, of one and two dimensions and transposed, on quantized tensors."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras
from tf_keras.src.utils import conv_utils

from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import ALIGNED, OUTPUT, WEIGHTS
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._padded_conv import PaddedConv2D, padded
from larqlite.integer.layers._recording import TensorRecorder, is_recording
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import (
    as_tensor,
    convolution,
    convolution_transpose,
    folded,
)

__all__ = [
    "KernelLayer",
    "QuantizedConv1D",
    "QuantizedConv2D",
    "QuantizedConv2DTranspose",
]


class KernelLayer(QuantizedLayer):
    """Mixin for a layer with one kernel and one bias: `product` says how they meet."""

    quantizer_slots = {
        "weight_quantizer": WEIGHTS,
        "bias_quantizer": ALIGNED,
        "output_quantizer": OUTPUT,
    }
    slots_of_weights = {"kernel": "weight_quantizer", "bias": "bias_quantizer"}
    buffer_cap = 28
    # The product aligns the channels, by shifts of the weights where that is enough.
    keeps_per_axis = True

    def compute(self, inputs):
        inputs = self.in_buffer(inputs)
        if is_recording() and isinstance(inputs, FixedPoint) and not inputs.per_tensor:
            self.record_input_shift(inputs.frac_bits)
        return self.with_bias(self.product(inputs, self.quantized_kernel()))

    def record_input_shift(self, frac_bits: tf.Tensor) -> None:
        """Records by how much each channel is shifted to the left before the product."""
        self.input_shift(tf.reduce_max(frac_bits) - frac_bits)

    def quantized_kernel(self) -> QTensor:
        """The integers of the kernel."""
        return self.weight_quantizer(self.kernel)

    def product(self, inputs: QTensor, kernel: QTensor) -> QTensor:
        """The accumulator, without bias."""
        raise NotImplementedError


class _Convolution(KernelLayer):
    def product(self, inputs, kernel):
        return convolution(
            inputs, kernel, self.strides, self._op_padding(), self.dilation_rate
        )

    def _op_padding(self) -> str:
        return self.padding


@quantizes(tf_keras.layers.Conv1D)
class QuantizedConv1D(_Convolution, tf_keras.layers.Conv1D):
    """A 1D convolution of quantized inputs and weights, exact in its accumulator.

    Input `(batch, steps, channels)`, output `(batch, new_steps, filters)`: the
    accumulator (QFloat; FixedPoint for a FixedPoint kernel and input), or a FixedPoint of
    few bits if `quant_config` has an "output_quantizer".

    Args:
        *args: those of `tf_keras.layers.Conv1D`; "causal" padding and groups too.
        quant_config: dictionary with the keys `weight_quantizer`, `bias_quantizer`,
            `output_quantizer` (arguments of the quantizers) and `buffer_bitwidth` (at
            most 28).
        **kwargs: those of `tf_keras.layers.Conv1D`.

    Raises:
        ArgumentError: an activation, channels first, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedConv1D(1, 2, kernel_initializer="ones")
    >>> y = layer(tf.constant([[[1], [2], [4]]]))
    >>> y.fp.values.numpy().ravel().tolist(), y.to_float().numpy().ravel().round(4)
    ([381.0, 762.0], array([3., 6.], dtype=float32))

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877
    """

    def product(self, inputs, kernel):
        if self.padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            inputs = tf.pad(inputs, [[0, 0], [before, 0], [0, 0]])
        return super().product(inputs, kernel)

    def _op_padding(self) -> str:
        return "valid" if self.padding == "causal" else self.padding


@quantizes(tf_keras.layers.Conv2D, PaddedConv2D)
class QuantizedConv2D(_Convolution, PaddedConv2D):
    """A 2D convolution of quantized inputs and weights, exact in its accumulator.

    Input `(batch, height, width, channels)`, output
    `(batch, new_height, new_width, filters)`: the accumulator (QFloat; FixedPoint for a
    FixedPoint kernel and input), or a FixedPoint of few bits if `quant_config` has an
    "output_quantizer".

    Args:
        *args: those of `tf_keras.layers.Conv2D`.
        quant_config: dictionary with the keys `weight_quantizer`, `bias_quantizer`,
            `output_quantizer` (arguments of the quantizers) and `buffer_bitwidth` (at
            most 28).
        padding_value: a number, or one for each input channel: the padding is then
            "same" with the integers nearest to these values in the scale of the input.
            None pads with zeros.
        **kwargs: those of `tf_keras.layers.Conv2D`.

    Raises:
        ArgumentError: an activation, channels first, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedConv2D(
    ...     1, 2, kernel_initializer="ones", quant_config={"weight_quantizer": {"bitwidth": 4}})
    >>> y = layer(tf.constant([[[[1], [2]], [[3], [4]]]]))
    >>> y.fp.values.numpy().ravel().tolist(), y.to_float().numpy().ravel().round(4)
    ([70.0], array([10.], dtype=float32))

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877
    """

    def __init__(
        self,
        *args: Any,
        quant_config: dict | None = None,
        padding_value: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args, quant_config=quant_config, padding_value=padding_value, **kwargs
        )
        self.qpadding = TensorRecorder(f"{self.name}/qpadding")

    def compute(self, inputs):
        if self.padding_value is not None:
            # In the buffer, where there is room for a value beyond the input's range.
            inputs = self._padded(self.in_buffer(inputs))
        return super().compute(inputs)

    def _padded(self, inputs: QTensor) -> QTensor:
        fp = getattr(inputs, "fp", inputs)
        scales = [inputs.scales] if isinstance(inputs, QFloat) else []
        with folded(fp.frac_bits, *scales):
            numbers = tf.constant(self.padding_value, tf.float32)
            for s in scales:
                numbers = numbers / s
            around = FixedPoint.quantize(numbers, fp.value_bits, fp.frac_bits)
        geometry = (self.kernel_size, self.strides, self.dilation_rate)
        values = padded(fp.values, self.qpadding(around.values), geometry)
        limit = max(fp.limit, around.limit)
        result = FixedPoint(values, fp.value_bits, fp.frac_bits, limit=limit)
        return QFloat(result, inputs.scales) if isinstance(inputs, QFloat) else result

    def _op_padding(self) -> str:
        return self.padding if self.padding_value is None else "valid"


@quantizes(tf_keras.layers.Conv2DTranspose)
class QuantizedConv2DTranspose(KernelLayer, tf_keras.layers.Conv2DTranspose):
    """A transposed 2D convolution of quantized inputs and weights, exact.

    Input FixedPoint `(batch, height, width, channels)`, output
    `(batch, new_height, new_width, filters)`: the accumulator, or a FixedPoint of few
    bits if `quant_config` has an "output_quantizer".

    Args:
        *args: those of `tf_keras.layers.Conv2DTranspose`.
        quant_config: dictionary with the keys `weight_quantizer` (its axis counts with
            the filters last), `bias_quantizer`, `output_quantizer` (arguments of the
            quantizers) and `buffer_bitwidth` (at most 28).
        **kwargs: those of `tf_keras.layers.Conv2DTranspose`.

    Raises:
        ArgumentError: an activation, channels first, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedConv2DTranspose(
    ...     1, 2, strides=2, kernel_initializer="ones")
    >>> x = lq.integer.tensors.FixedPoint([[[[1], [2]]]], value_bits=7, frac_bits=0)
    >>> layer(x).fp.values.numpy()[0, 0, :, 0].tolist()
    [127.0, 127.0, 254.0, 254.0]

    References:
        Dumoulin and Visin, https://arxiv.org/abs/1603.07285, section 4
    """

    def quantized_kernel(self) -> QTensor:
        """The integers of the kernel `(height, width, filters, channels)`, with one
        scale for each filter."""
        kernel = as_tensor(self.kernel)
        with folded(kernel):
            quantized = self.weight_quantizer(tf.transpose(kernel, [0, 1, 3, 2]))
            return _with_values(quantized, self._dilated_and_transposed)

    def _dilated_and_transposed(self, values: tf.Tensor) -> tf.Tensor:
        for axis, dilation in enumerate(self.dilation_rate):
            values = with_zeros_between(values, axis, dilation)
        return tf.transpose(values, [0, 1, 3, 2])

    def product(self, inputs, kernel):
        sizes = [
            conv_utils.deconv_output_length(
                tf.shape(inputs)[i + 1] if size is None else size,
                self.kernel_size[i],
                padding=self.padding,
                output_padding=self.output_padding and self.output_padding[i],
                stride=self.strides[i],
                dilation=self.dilation_rate[i],
            )
            for i, size in enumerate(inputs.shape[1:3])
        ]
        shape = (tf.shape(inputs)[0], *sizes, self.filters)
        return convolution_transpose(
            inputs, kernel, tf.stack(shape), self.strides, self.padding
        )


def _with_values(x: QTensor, change) -> QTensor:
    """`x` with `change` made to its integers, of which none is new but zeros."""
    fp = getattr(x, "fp", x)
    changed = FixedPoint(change(fp.values), fp.value_bits, fp.frac_bits, limit=fp.limit)
    return QFloat(changed, x.scales) if isinstance(x, QFloat) else changed


def with_zeros_between(values: tf.Tensor, axis: int, rate: int) -> tf.Tensor:
    """`values` with `rate - 1` zeros between the elements of a static axis."""
    if rate == 1:
        return values
    shape = values.shape.as_list()
    values = tf.expand_dims(values, axis + 1)
    paddings = [[0, 0]] * len(shape) + [[0, 0]]
    paddings[axis + 1] = [0, rate - 1]
    flat = [*shape[:axis], shape[axis] * rate, *shape[axis + 1 :]]
    spread = tf.reshape(tf.pad(values, paddings), flat)
    end = [(shape[axis] - 1) * rate + 1 if i == axis else -1 for i in range(len(flat))]
    return tf.slice(spread, [0] * len(flat), end)
