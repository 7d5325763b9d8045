"""A model as a graph of layers: that it is one, which layers read which, and where the
integers become few bits."""

from __future__ import annotations

import tf_keras

from larqlite.graph import nodes_of
from larqlite.integer.layers import OutputQuantizer


def consumers_of(model: tf_keras.Model) -> dict[str, list]:
    """The layers that read each layer's output; None among them is the model's output.

    A layer that is called more than once counts once for each call.
    """
    found: dict[str, list] = {}
    for node in nodes_of(model):
        for tensor in node.keras_inputs:
            found.setdefault(tensor.node.layer.name, []).append(node.layer)
    for tensor in model.outputs:
        found.setdefault(tensor.node.layer.name, []).append(None)
    return found


def output_quantizers_of(model: tf_keras.Model) -> dict[str, OutputQuantizer]:
    """The output quantizers of a model, by the name of their layer."""
    found = {}
    for layer in model.layers:
        quantizer = getattr(layer, "out_quantizer", None)
        quantizer = layer if isinstance(layer, OutputQuantizer) else quantizer
        if quantizer is not None:
            found[layer.name] = quantizer
    return found
