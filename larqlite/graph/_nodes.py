"""How a Keras model hangs together: its nodes in order, its ends, the layers inside."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from larqlite._copies import is_end

Layer = tf_keras.layers.Layer


def nodes_of(model: tf_keras.Model, tensors: Sequence | None = None) -> list:
    """The nodes that compute a functional model's outputs, each after its parents.

    Args:
        model: the model.
        tensors: Keras tensors of the model to compute in place of its outputs.
    """
    ordered, seen = [], set()
    given = {id(tensor) for tensor in model.inputs}
    wanted = model.outputs if tensors is None else tensors
    pending = [(t.node, False) for t in reversed(wanted) if id(t) not in given]
    while pending:
        node, parents_done = pending.pop()
        if parents_done:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            pending.append((node, True))
            pending.extend(
                (tensor.node, False)
                for tensor in reversed(node.keras_inputs)
                if id(tensor) not in given
            )
    return ordered


def ends_of(model: tf_keras.Model) -> list[tuple]:
    """The losses and metrics that were added to a model, with the tensors they read."""
    ends = []
    for layer in filter(is_end, model.layers):
        for node in layer.inbound_nodes:
            (tensor,) = tf.nest.flatten(node.call_args[:1])
            sources = [before.layer for before in nodes_of(model, [tensor])]
            # The same layer may have been called in another model too.
            if not any(isinstance(s, tf_keras.layers.InputLayer) for s in sources):
                ends.append((layer, tensor))
                break
    return ends


def inner_layers(layer: Layer) -> list[Layer]:
    """The layers directly inside a model or layer, without metrics."""
    if isinstance(layer, tf_keras.Model):
        inside = layer.layers
    elif isinstance(layer, tf_keras.layers.Wrapper):
        inside = [layer.layer]
    else:
        inside = [part for part in layer.submodules if isinstance(part, Layer)]
        deeper = {id(below) for part in inside for below in part.submodules}
        inside = [part for part in inside if id(part) not in deeper]
    return [part for part in inside if not isinstance(part, tf_keras.metrics.Metric)]


def is_restored(layer) -> bool:
    """Whether Keras knows no class of a layer and restored what it computes only."""
    module = type(layer).__module__
    return isinstance(layer, Layer) and module.endswith("saved_model.load")
