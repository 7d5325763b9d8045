"""Dense layers on quantized tensors."""

from __future__ import annotations

import tf_keras

from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._quantized_conv import KernelLayer
from larqlite.integer.tensors.internal import matmul

__all__ = ["QuantizedDense"]


@quantizes(tf_keras.layers.Dense)
class QuantizedDense(KernelLayer, tf_keras.layers.Dense):
    """A dense layer with quantized inputs and weights, exact in its accumulator.

    Input `(batch, ..., channels)`, output `(batch, ..., units)`: the accumulator (QFloat;
    FixedPoint for a FixedPoint kernel and input), or a FixedPoint of few bits if
    `quant_config` has an "output_quantizer".

    Args:
        *args: those of `tf_keras.layers.Dense`.
        quant_config: dictionary with the keys `weight_quantizer`, `bias_quantizer`,
            `output_quantizer` (arguments of the quantizers) and `buffer_bitwidth` (at
            most 28).
        **kwargs: those of `tf_keras.layers.Dense`.

    Raises:
        ArgumentError: an activation, or an unknown key.

    >>> layer = lq.integer.layers.QuantizedDense(
    ...     2, kernel_initializer="ones", quant_config={"weight_quantizer": {"bitwidth": 1}})
    >>> y = layer(tf.constant([[1, 2, 3]]))
    >>> y.fp.values.numpy(), y.to_float().numpy()
    (array([[6., 6.]]), array([[6., 6.]], dtype=float32))

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877
    """

    def product(self, inputs, kernel):
        return matmul(inputs, kernel)
