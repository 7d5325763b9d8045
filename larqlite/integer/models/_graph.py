"""Which layers of a model read which."""

from __future__ import annotations

import tf_keras

from larqlite.graph import nodes_of


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
