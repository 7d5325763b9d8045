"""The activation function of a layer with a kernel becomes a layer after it."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerEntry, LayerGraph
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    is_linear,
    label,
    named_weights,
    new,
    outputs_of,
    transformed,
)
from larqlite.layers import QuantLayer
from larqlite.qat.wrapper import name_of

__all__ = ["split_activations"]

layers = tf_keras.layers


def split_activations(model: tf_keras.Model) -> tf_keras.Model:
    """A model in which activation functions are layers of their own.

    `activation="relu"` of a convolution or dense layer becomes a `ReLU` layer after it,
    any other function an `Activation` layer, and a layer object that layer. `Activation`
    layers that do nothing go.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(2, activation="relu", name="fc", input_shape=(3,))])
        >>> split = lq.integer.models.transforms.split_activations(model)
        >>> [layer.name for layer in split.layers]
        ['fc', 'fc_relu']
    """
    return transformed(model, "split_activations", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Splits, whatever calls a layer."""
    is_changed = False
    followers: dict[int, object] = {}
    for use in list(graph.uses):
        entry = use.entry
        if type(use.layer) is layers.Activation and is_linear(entry):
            graph.remove(use)
            is_changed = True
            continue
        if id(entry) not in followers:
            if not _has_activation(entry) or not _without_activation(entry):
                continue
            followers[id(entry)] = use.layer.activation
        function = followers[id(entry)]
        if not isinstance(function, LayerEntry):
            follower = _follower(function, entry, surgery)
            if not follower.is_new:
                # A layer with weights stays one, however often it is called.
                followers[id(entry)] = follower
            function = follower
        graph.insert_after(use.outputs[0], function)
        is_changed = True
    return is_changed


def relu(maximum: float | None, **config) -> LayerEntry:
    """A new ReLU layer."""
    return new(layers.ReLU(maximum, **config))


def _has_activation(entry: LayerEntry) -> bool:
    layer = entry.layer
    is_kernel = outputs_of(layer) is not None or isinstance(layer, QuantLayer)
    return is_kernel and hasattr(layer, "activation") and not is_linear(entry)


def _without_activation(entry: LayerEntry) -> bool:
    """Takes the activation out; False if the weights cannot be told apart from its own."""
    activation = entry.layer.activation
    if isinstance(activation, tf_keras.layers.Layer) and activation.weights:
        inner = [id(weight) for weight in activation.weights]
        weights = [w for w in entry.layer.weights if id(w) not in inner]
        named = named_weights(entry.layer, weights)
        if named is None:
            return False
        entry.copies = tuple(named.items())
    entry.changes = {**entry.changes, "activation": None}
    return True


def _follower(function, entry: LayerEntry, surgery: Surgery) -> LayerEntry:
    if isinstance(function, tf_keras.layers.Layer):
        return LayerEntry(function, changes={"name": surgery.new_name(function.name)})
    kind = name_of(function)
    config = {
        "name": surgery.new_name(f"{label(entry)}_{kind}"),
        "dtype": entry.layer.get_config()["dtype"],
    }
    if entry.layer.activity_regularizer is not None:
        # It is of what comes out of the activation.
        config["activity_regularizer"] = entry.layer.activity_regularizer
        entry.changes = {**entry.changes, "activity_regularizer": None}
    if kind in ("relu", "relu6"):
        return relu(6.0 if kind == "relu6" else None, **config)
    return new(layers.Activation(function, **config))
