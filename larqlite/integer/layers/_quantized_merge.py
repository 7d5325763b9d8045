"""Integer layers with several inputs: their sum, product and concatenation."""

from __future__ import annotations

import functools
import operator

import tensorflow as tf
import tf_keras

from larqlite.integer.layers._add import Add
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import OUTPUT
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.tensors import FixedPoint, QFloat
from larqlite.integer.tensors.internal import concat, shifted_left

__all__ = ["QuantizedAdd", "QuantizedConcatenate", "QuantizedMultiply"]


@quantizes(Add, tf_keras.layers.Add, tf_keras.layers.Average)
class QuantizedAdd(QuantizedLayer, Add):
    r"""The sum, or the average, of quantized inputs.

    $$ y = \sum_i x_i \qquad \text{or} \qquad y = \frac{1}{n} \sum_i x_i $$

    In the buffer, the inputs are shifted left to the most fractional bits of any of
    them, for each channel if one of them is per-axis. An average of $2^k$ inputs is the
    same integers with $k$ more fractional bits; of another number $n$, with the scale
    $1/n$. So neither rounds.

    Inputs: a list or tuple of two or more tensors of the same shape, each a FixedPoint,
    or plain integers (8 bits; 15 for int16). Output: FixedPoint; QFloat for an average of
    a number of inputs that is no power of two, without an output quantizer.

    Args:
        average: whether to divide the sum by the number of inputs.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer, and `buffer_bitwidth`, the bits of the sum (32).
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: shapes that differ.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([3, -4], value_bits=7, frac_bits=1)
        >>> y = lq.integer.tensors.FixedPoint([1, 1], value_bits=7, frac_bits=0)
        >>> total = lq.integer.layers.QuantizedAdd()([x, y])
        >>> total.values.numpy(), int(total.frac_bits)
        (array([ 5., -2.]), 1)
    """

    quantizer_slots = {"output_quantizer": OUTPUT}
    buffer_cap = 53
    accepts = (FixedPoint, tf.Tensor)

    def __init__(
        self, average: bool = False, quant_config: dict | None = None, **kwargs
    ):
        super().__init__(average=average, quant_config=quant_config, **kwargs)

    @staticmethod
    def config_from(layer) -> dict:
        """The configuration of an Add or an Average of Keras, too."""
        average = isinstance(layer, tf_keras.layers.Average)
        return {"average": average, **layer.get_config()}

    def compute(self, inputs):
        """The sum or average."""
        total = functools.reduce(operator.add, self._aligned(inputs))
        count = len(inputs)
        if not self.average or count == 1:
            return total
        if count & (count - 1):
            return QFloat(total, 1 / count)
        return total >> count.bit_length() - 1

    def _aligned(self, inputs) -> list[FixedPoint]:
        """The inputs in the buffer, with the most fractional bits of any."""
        bits = max(self.buffer_bits, *(x.value_bits for x in inputs))
        frac_bits = functools.reduce(tf.maximum, [x.frac_bits for x in inputs])
        shifts = [frac_bits - x.frac_bits for x in inputs]
        self.input_shift(shifts)
        return [
            shifted_left(x, shift, frac_bits, bits)
            for x, shift in zip(inputs, shifts, strict=True)
        ]


@quantizes(tf_keras.layers.Multiply)
class QuantizedMultiply(QuantizedLayer, tf_keras.layers.Multiply):
    r"""The product of quantized inputs, element by element.

    $$ y = \prod_i x_i $$

    Integers are multiplied, and their fractional bits added, for each channel if one of
    them is per-axis. Nothing is rounded; what leaves the buffer saturates.

    Inputs: a list or tuple of two or more tensors whose shapes broadcast, each a
    FixedPoint, or plain integers. Output: FixedPoint.

    Args:
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer, and `buffer_bitwidth`, the bits of the product (32).
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([3, -4], value_bits=7, frac_bits=1)
        >>> y = lq.integer.layers.QuantizedMultiply()([x, x])
        >>> y.values.numpy(), int(y.frac_bits)
        (array([ 9., 16.], dtype=float32), 2)
    """

    quantizer_slots = {"output_quantizer": OUTPUT}
    buffer_cap = 53
    accepts = (FixedPoint, tf.Tensor)
    keeps_per_axis = True

    def compute(self, inputs):
        """The product."""
        bits = max(self.buffer_bits, *(x.value_bits for x in inputs))
        first = self.in_buffer(inputs[0], bits)
        return functools.reduce(operator.mul, inputs[1:], first)


@quantizes(tf_keras.layers.Concatenate)
class QuantizedConcatenate(QuantizedLayer, tf_keras.layers.Concatenate):
    """Quantized inputs side by side.

    Along the last axis, the channels of each input keep their fractional bits, so the
    result is per-axis where they differ. Along another axis, all inputs must have the
    same ones.

    Inputs: a list or tuple of FixedPoint tensors, whose shapes agree but for `axis`.
    Output: FixedPoint with the most value bits of any.

    Args:
        axis: the axis along which the inputs are joined.
        **kwargs: those of a Keras layer.

    Raises:
        QuantizedTensorError: (a `ValueError`; where a graph runs,
            `tf.errors.InvalidArgumentError`) the fractional bits differ along an axis
            that is not the last.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[3]], value_bits=7, frac_bits=1)
        >>> y = lq.integer.tensors.FixedPoint([[5]], value_bits=8, frac_bits=4)
        >>> both = lq.integer.layers.QuantizedConcatenate()([x, y])
        >>> both.values.numpy(), both.frac_bits.numpy(), both.value_bits
        (array([[3., 5.]], dtype=float32), array([1, 4], dtype=int32), 8)
    """

    accepts = (FixedPoint, tf.Tensor)

    def compute(self, inputs):
        """The inputs, joined."""
        return concat(list(inputs), self.axis)
