"""Layers put into a model on purpose: a quantizer or dequantizer, a Rescaling in front."""

from __future__ import annotations

import tf_keras

from larqlite.errors import ArgumentError, near_matches
from larqlite.graph import Edge, LayerGraph
from larqlite.integer.models.transforms._surgery import Surgery, built, label, new

__all__ = ["insert_layer", "insert_rescaling"]


def insert_layer(
    model: tf_keras.Model, target_layer_name: str, new_layer: tf_keras.layers.Layer
) -> tf_keras.Model:
    """A model with a quantizer or dequantizer after one of its layers.

    Args:
        model: a built Sequential or functional model; it is not changed.
        target_layer_name: name of the layer after which it goes, in nested models too.
        new_layer: an `OutputQuantizer` or `Dequantizer`; it becomes part of the new model.

    Returns:
        A new model, in which all that read the layer's output read `new_layer`'s.

    Raises:
        ArgumentError: a `ValueError`: no layer has that name, `new_layer` is of another
            class, or its name is taken; or an OutputQuantizer after a layer with several
            outputs or readers.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.ReLU(input_shape=(2,), name="relu"),
        ...     tf_keras.layers.ReLU(name="again")])
        >>> new = lq.integer.models.transforms.insert_layer(
        ...     model, "relu", lq.integer.layers.Dequantizer(name="float"))
        >>> [layer.name for layer in new.layers]
        ['relu', 'float', 'again']
    """
    from larqlite.integer.layers import Dequantizer, OutputQuantizer

    surgery = Surgery(model, "insert_layer")
    if not isinstance(new_layer, (OutputQuantizer, Dequantizer)):
        raise ArgumentError(
            f"{surgery.where}: new_layer is a {type(new_layer).__name__}.\n"
            "  Fix: give an OutputQuantizer or a Dequantizer."
        )
    graph, edges = _find(surgery, target_layer_name)
    if isinstance(new_layer, OutputQuantizer) and (
        len(edges) != 1 or len(graph.consumers(edges[0])) > 1
    ):
        raise ArgumentError(
            f'{surgery.where}: "{target_layer_name}" has several outputs or readers, which '
            "one OutputQuantizer cannot serve.\n"
            "  Fix: give each reader a layer of its own before it, or insert a Dequantizer."
        )
    if new_layer.name in surgery.names():
        raise ArgumentError(
            f'{surgery.where}: "{model.name}" has a layer "{new_layer.name}" already.\n'
            f'  Fix: name="{surgery.new_name(new_layer.name)}".'
        )
    entry = new(new_layer)
    for edge in edges:
        graph.insert_after(edge, entry)
    return built(surgery)


def insert_rescaling(
    model: tf_keras.Model, scale: float, offset: float
) -> tf_keras.Model:
    """A model that first computes `scale * x + offset` of its input.

    Args:
        model: a built Sequential or functional model with one input; it is not changed.
        scale: factor, or one for each channel.
        offset: what is added after it, or one number for each channel.

    Returns:
        A new model.

    Raises:
        UnbuiltModelError: a `ValueError`: the model has no input layer yet.
        ArgumentError: a `ValueError`: it has several.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(2, 1))])
        >>> scaled = lq.integer.models.transforms.insert_rescaling(model, 0.5, -1.0)
        >>> scaled(tf.constant([[[2.0], [4.0]]])).numpy().tolist()
        [[0.0, 1.0]]
    """
    surgery = Surgery(model, "insert_rescaling")
    if len(surgery.root.inputs) != 1:
        names = ", ".join(layer.name for layer, _ in surgery.root.inputs)
        raise ArgumentError(
            f'{surgery.where}: the model "{model.name}" has several inputs: {names}.\n'
            "  Fix: put a tf_keras.layers.Rescaling after the one that needs it."
        )
    layer = tf_keras.layers.Rescaling(scale, offset, name=surgery.new_name("rescaling"))
    ((_, edge),) = surgery.root.inputs
    surgery.root.insert_after(edge, new(layer))
    return built(surgery)


def _find(surgery: Surgery, name: str) -> tuple[LayerGraph, list[Edge]]:
    """The graph with a layer, and the tensors it gives that someone reads."""
    for graph in surgery.root.graphs():
        for layer, edge in graph.inputs:
            if layer.name == name:
                return graph, [edge]
        uses = [use for use in graph.uses if label(use.entry) == name]
        if len(uses) > 1:
            raise ArgumentError(
                f'{surgery.where}: "{name}" is called {len(uses)} times.\n'
                "  Fix: insert after a layer that is called once."
            )
        if uses:
            return graph, [edge for edge in uses[0].outputs if graph.consumers(edge)]
    names = surgery.names()
    raise ArgumentError(
        f'{surgery.where}: "{surgery.root.model.name}" has no layer "{name}".'
        f"{near_matches(name, names)}\n  Fix: the layers are {', '.join(sorted(names))}."
    )
