"""The integer dot-product attention."""

from __future__ import annotations

from math import isqrt, log2

import tensorflow as tf

from larqlite.errors import ArgumentError, QuantizedTensorError
from larqlite.integer.layers._attention import Attention
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import OUTPUT
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._quantized_softmax import QuantizedShiftmax
from larqlite.integer.tensors import FixedPoint
from larqlite.integer.tensors.internal import matmul, moved
from larqlite.primitives import FLOAT32_LIMIT

__all__ = ["QuantizedAttention", "bits_of_root"]


def bits_of_root(dim: int) -> int:
    """The power of two nearest to the root of `dim`, by which attention divides scores."""
    return round(log2(dim) / 2)


@quantizes(Attention)
class QuantizedAttention(QuantizedLayer, Attention):
    r"""Dot-product attention with several heads, on integers.

    For each head of `dim = hidden / num_heads` channels:

    $$ M = \mathrm{shiftmax}(Q K^T \cdot 2^{-d}), \qquad Y = M V, \qquad
       d = \mathrm{round}(\log_2 \sqrt{dim}) $$

    Both products are exact in the buffer; $2^{-d}$ only adds $d$ fractional bits.

    Inputs `(query, key, value)`: FixedPoint tensors `(batch, tokens, hidden)`; query and
    key per-tensor, because their channels are added. Returns `(output, mask)`: output
    FixedPoint `(batch, tokens, hidden)`; mask FixedPoint `(batch, num_heads, tokens of
    query, tokens of key)`, as a `QuantizedShiftmax` makes it.

    Args:
        num_heads: number of heads; divides `hidden`.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer for the output (not the mask); `softmax`, the `quant_config`
            of a QuantizedShiftmax; and `buffer_bitwidth`, the bits of both products (32).
        softmax: "shiftmax".
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: `softmax="softmax"`, which has no integer form; other than three
            inputs of rank 3, or `num_heads` does not divide `hidden`.
        QuantizedTensorError: (a `ValueError`) when called with a query or key that is
            quantized per-axis.

    Example:
        >>> x = lq.integer.tensors.FixedPoint(np.ones((1, 2, 4)), value_bits=7, frac_bits=3)
        >>> layer = lq.integer.layers.QuantizedAttention(num_heads=2)
        >>> output, mask = layer((x, x, x))
        >>> output.to_float().numpy()[0, 0].tolist(), mask.to_float().numpy()[0, 0].tolist()
        ([0.125, 0.125, 0.125, 0.125], [[0.5, 0.5], [0.5, 0.5]])

    References:
        https://arxiv.org/abs/1706.03762, section 3.2.
    """

    quantizer_slots = {"output_quantizer": OUTPUT}
    extra_config = {"softmax": {}}
    buffer_cap = 53
    accepts = (FixedPoint,)
    per_tensor_inputs = (0, 1)

    def __init__(
        self,
        num_heads: int,
        quant_config: dict | None = None,
        softmax: str = "shiftmax",
        **kwargs,
    ):
        super().__init__(
            num_heads=num_heads, softmax=softmax, quant_config=quant_config, **kwargs
        )
        if softmax != "shiftmax":
            raise ArgumentError(
                f'{self.where}: softmax="{softmax}" divides by a sum of exponentials, '
                "which has no integer form.\n"
                '  Fix: softmax="shiftmax"; train the float model on with '
                f'Attention(num_heads={num_heads}, softmax="shiftmax") first.'
            )
        settings = self.quant_config["softmax"]
        if isinstance(settings, dict):
            buffer_bitwidth = self.quant_config["buffer_bitwidth"]
            settings = {"buffer_bitwidth": buffer_bitwidth, **settings}
        self.softmax_op = QuantizedShiftmax(
            name=f"{self.name}_softmax", quant_config=settings
        )

    @property
    def output_precision(self) -> tuple[int | None, ...]:
        """The bits of the output, None for the accumulator, and those of the mask."""
        return super().output_precision, self.softmax_op.output_precision

    @staticmethod
    def refuses(layer) -> str | None:
        """Why a float layer has no integer form, or None."""
        if layer.softmax == "shiftmax":
            return None
        return f'its softmax="{layer.softmax}" has no integer form; "shiftmax" has'

    @tf.autograph.experimental.do_not_convert
    def _computed(self, inputs):
        """The output, quantized if the layer has an output quantizer, and the mask."""
        output, mask = self.compute(tf.nest.map_structure(self.gated, inputs))
        if self.out_quantizer is not None:
            output = self.out_quantizer(output)
        return output, mask

    def compute(self, inputs):
        """The output in the buffer, and the mask."""
        for x, name in zip(inputs, ("query", "key"), strict=False):
            if not x.per_tensor:
                raise QuantizedTensorError(
                    f"{self.where}: the {name} is quantized per-axis, but its channels "
                    "are added.\n"
                    '  Fix: "output_quantizer": {"axis": "per-tensor"} in the '
                    f"quant_config of the layer that makes the {name}."
                )
        query, key, value = (self._heads(x) for x in map(self.in_buffer, inputs))
        scores = matmul(query, key, transpose_b=True)
        # `scores >> d`, without its check that d is not negative.
        frac_bits = scores.frac_bits + bits_of_root(self.dim)
        scores = FixedPoint(
            scores.values, scores.value_bits, frac_bits, limit=scores.limit
        )
        mask = self.softmax_op.compute(scores)
        return self._merged(self._combined(mask, value)), mask

    def _heads(self, x: FixedPoint) -> FixedPoint:
        """`(batch, tokens, hidden)` -> `(batch, num_heads, tokens, dim)`."""
        tokens = -1 if x.shape[1] is None else x.shape[1]
        batch = tf.shape(x.values)[0] if x.shape[0] is None else x.shape[0]
        shape = (batch, tokens, self.num_heads, self.dim)
        return moved(x, lambda v: tf.transpose(tf.reshape(v, shape), (0, 2, 1, 3)))

    def _merged(self, x: FixedPoint) -> FixedPoint:
        """`(batch, num_heads, tokens, dim)` -> `(batch, tokens, hidden)`."""
        tokens = -1 if x.shape[2] is None else x.shape[2]
        batch = tf.shape(x.values)[0] if x.shape[0] is None else x.shape[0]
        shape = (batch, tokens, self.num_heads * self.dim)
        return moved(x, lambda v: tf.reshape(tf.transpose(v, (0, 2, 1, 3)), shape))

    def _combined(self, mask: FixedPoint, value: FixedPoint) -> FixedPoint:
        """`mask @ value`, with the value bits of the buffer.

        A row of the mask adds up to no more than the root of two, for any number of
        tokens, so float32 is often enough where the number of terms would not prove it.
        """
        limit = (isqrt(2 * mask.limit**2) + 1) * value.limit
        if limit > min(FLOAT32_LIMIT, 2**self.buffer_bits - 1):
            return matmul(mask.promote(self.buffer_bits), value)
        values = tf.matmul(mask.values, value.values)
        frac_bits = mask.frac_bits + value.frac_bits
        return FixedPoint(values, self.buffer_bits, frac_bits, limit=limit)
