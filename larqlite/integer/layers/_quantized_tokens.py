"""Integer layers that vision transformers need beside attention."""

from __future__ import annotations

import tensorflow as tf

from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import ALIGNED, OUTPUT
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._tokens import (
    AddPositionEmbs,
    ClassToken,
    ExtractToken,
    index_of,
)
from larqlite.integer.tensors import FixedPoint, QFloat
from larqlite.integer.tensors.internal import dtype_for, gather

__all__ = ["QuantizedAddPositionEmbs", "QuantizedClassToken", "QuantizedExtractToken"]


@quantizes(ClassToken)
class QuantizedClassToken(QuantizedLayer, ClassToken):
    """Puts a learned token, aligned on the input, before all others.

    The weight `cls`, shape `(1, 1, hidden)`, takes the scales and fractional bits of the
    input in the buffer, where there is room for a token beyond the range of the input.

    Input: QFloat or FixedPoint `(batch, tokens, hidden)`. Output: the same type,
    `(batch, 1 + tokens, hidden)`, with the value bits of the buffer; FixedPoint with an
    output quantizer.

    Args:
        initializer: how the token starts; None for Keras' default.
        quant_config: dictionary with `cls_quantizer`, the arguments of an
            AlignedWeightQuantizer; `output_quantizer`, those of an OutputQuantizer; and
            `buffer_bitwidth` (32).
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: an input of another rank.

    Example:
        >>> x = lq.integer.tensors.FixedPoint(np.zeros((1, 1, 2)), value_bits=7, frac_bits=4)
        >>> layer = lq.integer.layers.QuantizedClassToken(initializer="ones")
        >>> layer(x).values.numpy().tolist()
        [[[16.0, 16.0], [0.0, 0.0]]]

    References:
        https://arxiv.org/abs/2010.11929, eq. 1.
    """

    quantizer_slots = {"cls_quantizer": ALIGNED, "output_quantizer": OUTPUT}
    slots_of_weights = {"cls": "cls_quantizer"}
    buffer_cap = 53
    requires_aligned_inputs = False
    keeps_per_axis = True
    accepts = (FixedPoint, QFloat)

    def __init__(self, initializer=None, quant_config: dict | None = None, **kwargs):
        super().__init__(initializer=initializer, quant_config=quant_config, **kwargs)

    def compute(self, inputs):
        """The token and the inputs."""
        inputs = self.in_buffer(inputs)
        x = getattr(inputs, "fp", inputs)
        token = self.cls_quantizer(self.cls, inputs)
        token = getattr(token, "fp", token)
        limit = max(token.limit, x.limit)
        dtype = dtype_for(limit)
        batch = tf.shape(x.values)[0]
        first = tf.broadcast_to(tf.cast(token.values, dtype), (batch, 1, x.shape[-1]))
        values = tf.concat([first, tf.cast(x.values, dtype)], axis=1)
        y = FixedPoint(values, x.value_bits, x.frac_bits, limit=limit)
        return QFloat(y, inputs.scales) if isinstance(inputs, QFloat) else y


@quantizes(AddPositionEmbs)
class QuantizedAddPositionEmbs(QuantizedLayer, AddPositionEmbs):
    """Adds learned numbers, aligned on the input, to each position and channel.

    The weight `pe`, shape `(1, tokens, hidden)`, takes the scales and fractional bits of
    the input in the buffer.

    Input: QFloat or FixedPoint `(batch, tokens, hidden)`. Output: the same type; FixedPoint
    with an output quantizer.

    Args:
        initializer: how the numbers start; None for Keras' default.
        quant_config: dictionary with `pe_quantizer`, the arguments of an
            AlignedWeightQuantizer; `output_quantizer`, those of an OutputQuantizer; and
            `buffer_bitwidth` (32).
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: an input of another rank, or of an unknown number of tokens.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[[3, -4]]], value_bits=7, frac_bits=4)
        >>> layer = lq.integer.layers.QuantizedAddPositionEmbs(initializer="ones")
        >>> layer(x).values.numpy().tolist()
        [[[19.0, 12.0]]]

    References:
        https://arxiv.org/abs/2010.11929, eq. 1.
    """

    quantizer_slots = {"pe_quantizer": ALIGNED, "output_quantizer": OUTPUT}
    slots_of_weights = {"pe": "pe_quantizer"}
    buffer_cap = 53
    requires_aligned_inputs = False
    accepts = (FixedPoint, QFloat)

    def __init__(self, initializer=None, quant_config: dict | None = None, **kwargs):
        super().__init__(initializer=initializer, quant_config=quant_config, **kwargs)

    def compute(self, inputs):
        """The sum in the buffer."""
        x = self.in_buffer(inputs)
        return x + self.pe_quantizer(self.pe, x)


@quantizes(ExtractToken)
class QuantizedExtractToken(QuantizedLayer, ExtractToken):
    """Takes one token out of a quantized input.

    Input: FixedPoint, per-tensor or per-axis; output: the same without `axis`.

    Args:
        token: its index; counted from the end if negative.
        axis: the axis of the tokens.
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: no such axis or token.
        QuantizedTensorError: (a `ValueError`) when a per-axis input loses its last axis.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[[1, 2], [3, 4]]], value_bits=7, frac_bits=0)
        >>> lq.integer.layers.QuantizedExtractToken(token=1)(x).values.numpy().tolist()
        [[3.0, 4.0]]
    """

    accepts = (FixedPoint,)

    def __init__(self, token: int, axis: int = 1, **kwargs):
        super().__init__(token=token, axis=axis, **kwargs)

    def compute(self, inputs):
        """The token."""
        token = index_of(self.token, self.axis, inputs)
        return gather(inputs, token, axis=self.axis)
