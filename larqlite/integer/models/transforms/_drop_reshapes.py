"""Of several reshapings in a row only the last one stays."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph, LayerUse
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    setting,
    shape_of,
    transformed,
)

__all__ = ["drop_reshapes"]

layers = tf_keras.layers


def drop_reshapes(model: tf_keras.Model) -> tf_keras.Model:
    """A model without Reshape and Flatten layers whose shape the next one changes again.

    A `Reshape` to the shape that is there goes too.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Reshape((2, 6), input_shape=(3, 4)),
        ...     tf_keras.layers.Flatten()])
        >>> new = lq.integer.models.transforms.drop_reshapes(model)
        >>> [type(layer).__name__ for layer in new.layers]
        ['Flatten']
    """
    return transformed(model, "drop_reshapes", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Drops what is undone right after it."""
    is_changed = False
    for use in list(graph.uses):
        if not _keeps_order(use):
            continue
        if _is_identity(use) or _is_undone(graph, surgery, use):
            graph.remove(use)
            is_changed = True
    return is_changed


def _keeps_order(use: LayerUse | None) -> bool:
    """Whether a layer does nothing but give its numbers a shape."""
    if use is None:
        return False
    if type(use.layer) is layers.Flatten:
        return setting(use.entry, "data_format") == "channels_last"
    return type(use.layer) is layers.Reshape


def _is_undone(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> bool:
    return _keeps_order(surgery.reads_alone(graph, use))


def _is_identity(use: LayerUse) -> bool:
    before = shape_of(use.inputs[0])
    return None not in before[1:] and before == shape_of(use.outputs[0])
