"""`dump_config`: the quantization configuration of a model, as plain data."""

from __future__ import annotations

import copy

import tf_keras

from larqlite.integer.layers._base import QuantizedLayer

__all__ = ["dump_config"]


def dump_config(model: tf_keras.Model) -> dict:
    """The quantization configuration of each quantized layer that has one.

    Args:
        model: a quantized model.

    Returns:
        `{layer name: quant_config}` of plain dictionaries, which `json.dumps` takes, and
        `quantize(model, q_config=...)` too.

    Example:
        >>> model = tf_keras.Sequential(
        ...     [tf_keras.layers.Dense(2, input_shape=(3,), name="fc")]
        ... )
        >>> lq.integer.models.dump_config(lq.integer.models.quantize(model))
        {'fc': {'weight_quantizer': {'bitwidth': 8}, 'buffer_bitwidth': 28}}
    """
    return {
        layer.name: copy.deepcopy(layer.quant_config)
        for layer in model.layers
        if isinstance(layer, QuantizedLayer) and layer.quant_config
    }
