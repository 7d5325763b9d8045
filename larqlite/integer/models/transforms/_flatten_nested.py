"""The layers of nested models become layers of the model around them."""

from __future__ import annotations

import inspect

import tensorflow as tf
import tf_keras

from larqlite.errors import UnsupportedModelError
from larqlite.graph import Edge, LayerGraph, LayerUse, cut_inputs, in_order
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    dtype_of,
    label,
    transformed,
)

__all__ = ["flatten_nested"]


def flatten_nested(model: tf_keras.Model) -> tf_keras.Model:
    """A model without models in it: their layers are its own.

    Layers keep their names; one whose name is taken gets that of its model before it. A
    model that is called with `training=False` hands that to its layers.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if nothing is nested.

    Raises:
        UnsupportedModelError: a nested model is called with a mask, with a tensor as
            `training`, or with numbers that the dtype of its input does not hold.

    Example:
        >>> inner = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> flat = lq.integer.models.transforms.flatten_nested(
        ...     tf_keras.Sequential([inner, tf_keras.layers.ReLU()]))
        >>> [type(layer).__name__ for layer in flat.layers]
        ['Dense', 'ReLU']
    """
    return transformed(model, "flatten_nested", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Unfolds the models inside the whole model, whatever their depth."""
    is_changed = False
    while graph is surgery.root and (nested := _first_nested(graph)) is not None:
        _rename(graph, nested, surgery)
        _unfold(graph, nested, surgery)
        is_changed = True
    return is_changed


def _first_nested(graph: LayerGraph) -> LayerUse | None:
    return next((use for use in graph.uses if use.entry.graph is not None), None)


def _rename(graph: LayerGraph, nested: LayerUse, surgery: Surgery) -> None:
    """Gives a layer of a nested model a new name where the model around it has it."""
    own = {id(entry): entry for entry in nested.entry.graph.entries()}
    taken = {layer.name for layer, _ in graph.inputs}
    taken.update(label(entry) for entry in graph.entries() if id(entry) not in own)
    for entry in own.values():
        if label(entry) in taken:
            name = surgery.new_name(f"{nested.layer.name}_{label(entry)}")
            entry.changes = {**entry.changes, "name": name}


def _unfold(graph: LayerGraph, nested: LayerUse, surgery: Surgery) -> None:
    inner = nested.entry.graph
    training = _training(nested, surgery)
    given = in_order(nested.layer, nested.args[0])
    edges = {
        id(edge): source for (_, edge), source in zip(inner.inputs, given, strict=True)
    }
    dtypes = [dtype_of(x) if isinstance(x, Edge) else x.dtype for x in given]
    for tensor in cut_inputs(nested.layer, dtypes):
        raise UnsupportedModelError(
            f'{surgery.where}: the nested model "{nested.layer.name}" casts what it is '
            f"called with to the {tensor.dtype.name} of its input "
            f'"{tensor.node.layer.name}", which does not hold it.\n'
            "  Fix: build it on an input of the dtype that it is called with."
        )
    unfolded = []
    for use in inner.calls():
        args, kwargs = tf.nest.map_structure(
            lambda leaf: edges.get(id(leaf), leaf), (use.args, use.kwargs)
        )
        copy = LayerUse(use.entry, args, dict(kwargs), [], use.structure)
        if training is not None and _takes_training(use.layer):
            copy.kwargs.setdefault("training", training)
            if copy.kwargs["training"] is None:
                copy.kwargs["training"] = training
        for edge in use.outputs:
            edges[id(edge)] = Edge(copy, _if_known(edge.tensor))
            copy.outputs.append(edges[id(edge)])
        unfolded.append(copy)
    # A loss inside that reads the model's outputs reads them here too.
    graph.ends += [(layer, edges[id(edge)]) for layer, edge in inner.ends]
    count = len(inner.uses)
    graph.beside += unfolded[count:]
    position = graph.uses.index(nested)
    graph.uses[position : position + 1] = unfolded[:count]
    for old, output in zip(nested.outputs, inner.outputs, strict=True):
        graph.redirect(old, edges[id(output)])


def _training(nested: LayerUse, surgery: Surgery) -> bool | None:
    kwargs = {k: v for k, v in nested.kwargs.items() if v is not None}
    training = kwargs.pop("training", None)
    if kwargs or len(nested.args) != 1 or isinstance(training, Edge):
        raise UnsupportedModelError(
            f'{surgery.where}: the nested model "{nested.layer.name}" is called with '
            f"{', '.join([*kwargs, 'training'])} beside its inputs.\n"
            "  Fix: call it with tensors alone, and training=True, False or None."
        )
    return training


def _takes_training(layer) -> bool:
    return "training" in inspect.signature(layer.call).parameters


def _if_known(tensor):
    """A tensor of a nested model, unless sizes are open that may be known outside."""
    return None if tensor is None or None in tuple(tensor.shape)[1:] else tensor
