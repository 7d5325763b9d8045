"""A model as a graph of layers: that it is one, which layers read which, and where the
integers become few bits."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerCall, follow
from larqlite.integer.layers import OutputQuantizer


def consumers_of(model: tf_keras.Model) -> dict[str, list]:
    """The layers that read each layer's output; None among them is the model's output.

    A layer that is called more than once counts once for each call.
    """
    found: dict[str, list] = {}

    def apply(call: LayerCall) -> list[str]:
        for source in call.inputs:
            found.setdefault(source, []).append(call.layer)
        return [call.layer.name] * len(call.output_tensors)

    sources = [tensor.node.layer.name for tensor in model.inputs]
    # A model inside counts as one layer.
    for source in follow(model, sources, apply, lambda call, inside: apply(call)):
        found.setdefault(source, []).append(None)
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
