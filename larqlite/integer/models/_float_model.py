"""The float model that a quantized model stands for."""

from __future__ import annotations

import tf_keras

from larqlite.errors import UnsupportedLayerError
from larqlite.graph import Builder, LayerGraph
from larqlite.integer.layers import Dequantizer, OutputQuantizer
from larqlite.integer.layers.internal import QuantizedLayer, float_class
from larqlite.integer.models import _equalize, _weights

__all__ = ["float_model_of"]


def float_model_of(model: tf_keras.Model) -> tf_keras.Model:
    """The model with float layers, the quantizers gone and kernels not equalized.

    Args:
        model: a quantized model; not changed.

    Raises:
        UnsupportedLayerError: (a `RuntimeError`) a quantized layer that no float layer
            becomes.
    """
    rates = _equalize.rates_of(model)
    graph = LayerGraph.of(model)
    pairs = []
    for use in list(graph.uses):
        if isinstance(use.layer, (Dequantizer, OutputQuantizer)):
            graph.remove(use)
    for entry in list(graph.entries()):
        if isinstance(entry.layer, QuantizedLayer):
            source, entry.layer = entry.layer, _float_twin(entry.layer)
            entry.is_new = True
            pairs.append((source, entry.layer))
    float_model = Builder("lq.integer.quantize").model(graph)
    for source, target in pairs:
        _weights.copy_by_name(source, target)
    for name, (variable, rate) in rates.items():
        layer = float_model.get_layer(name)
        values = {_weights.short_name(weight): weight for weight in layer.weights}
        target = values[variable]
        target.assign(target * rate)
    return float_model


def _float_twin(layer: QuantizedLayer) -> tf_keras.layers.Layer:
    cls = float_class(layer)
    if cls is None:
        raise UnsupportedLayerError(
            f"lq.integer.quantize: {layer.where} has no float form, so it cannot be "
            "calibrated again.\n  Fix: quantize the float model instead."
        )
    config = layer.get_config()
    config.pop("quant_config")
    config.pop("calibrated_inputs", None)
    if getattr(layer, "padding_value", None) is None:
        config.pop("padding_value", None)
    elif hasattr(layer, "padding_value"):
        from larqlite.integer.layers import PaddedConv2D

        cls = PaddedConv2D
    return cls.from_config(config)
