"""A quantizer or dequantizer after a layer of a model."""

from __future__ import annotations

import tf_keras

from larqlite.errors import ArgumentError, near_matches
from larqlite.integer.models.transforms._surgery import Surgery, built, label, new
from larqlite.qat.graph import Edge, LayerGraph

__all__ = ["insert_layer"]


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
