"""A ReLU before a max pooling goes after it, where it has less to do."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    pooling_of,
    transformed,
)

__all__ = ["invert_relu_maxpool"]

layers = tf_keras.layers


def invert_relu_maxpool(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model in which max poolings stand before ReLUs.

    $\max(relu(x)) = relu(\max(x))$, number for number, as a ReLU never falls.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.ReLU(input_shape=(4, 4, 1)),
        ...     tf_keras.layers.MaxPooling2D()])
        >>> inverted = lq.integer.models.transforms.invert_relu_maxpool(model)
        >>> [type(layer).__name__ for layer in inverted.layers]
        ['MaxPooling2D', 'ReLU']
    """
    return transformed(model, "invert_relu_maxpool", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Inverts until no ReLU stands before a pooling."""
    is_changed = False
    pending = list(graph.uses)
    while pending:
        use = pending.pop(0)
        if type(use.layer) is not layers.ReLU or len(use.args) != 1:
            continue
        pooling = surgery.reads_alone(graph, use)
        if pooling is not None and pooling_of(pooling.layer) == "max":
            graph.swap(use, pooling)
            is_changed = True
            pending = list(graph.uses)
    return is_changed
