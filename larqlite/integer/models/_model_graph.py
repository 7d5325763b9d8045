"""A model as a graph of layers: that it is one, which layers read which, and where the
integers become few bits."""

from __future__ import annotations

import tf_keras

from larqlite.errors import (
    QuantizedTypeError,
    UnsupportedModelError,
    require_model_of_tf_keras,
)
from larqlite.graph import is_functional, nodes_of
from larqlite.integer.layers import OutputQuantizer


def require_model(model, where: str) -> None:
    """Asserts that `model` is a built Sequential or functional model."""
    require_model_of_tf_keras(model, where)
    if not isinstance(model, tf_keras.Model):
        raise QuantizedTypeError(
            f"{where}: {model!r} is a {type(model).__name__}, not a model.\n"
            "  Fix: pass a tf_keras.Model or an onnx.ModelProto."
        )
    if not is_functional(model):
        raise UnsupportedModelError(
            f'{where}: "{model.name}" ({type(model).__name__}) is not a built Sequential '
            "or functional model, so that its layers cannot be replaced.\n"
            "  Fix: build it on tf_keras.Input (for a Sequential model, give the first "
            "layer input_shape=...)."
        )


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
