"""A layer and the layers in it, and which of the weights are whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tf_keras

Layer = tf_keras.layers.Layer


def children(layer: Layer) -> list[Layer]:
    """The layers directly under a layer, in an order that its copies share."""
    if isinstance(layer, tf_keras.Model) and layer.layers:
        return list(layer.layers)
    below = [m for m in layer.submodules if _is_part(m)]
    nested = {id(m) for child in below for m in child.submodules}
    return [child for child in below if id(child) not in nested]


def parts(
    layer: Layer, below: Callable[[Layer], list[Layer]] = children
) -> Iterator[Layer]:
    """A layer and all layers in it, each once, in order.

    Args:
        layer: a layer or model.
        below: which layers are directly under one.
    """
    seen = set()

    def walk(part):
        if id(part) in seen:
            return
        seen.add(id(part))
        yield part
        for child in below(part):
            yield from walk(child)

    return walk(layer)


def variables_of(layer: Layer) -> list:
    """The weights of a layer that belong to no layer under it.

    Lookup layers have handlers among them that stand for a table.
    """
    below = {
        id(variable)
        for child in layer.submodules
        if _is_part(child)
        for variable in child.weights
    }
    return [variable for variable in layer.weights if id(variable) not in below]


def is_table(weight) -> bool:
    """Whether one of `layer.weights` stands for a table, as an adapted vocabulary.

    It is no variable: it has no shape and no `trainable`.
    """
    return hasattr(weight, "get_tensors")


def is_functional(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is a model whose nodes say what it computes.

    A model that brings a `call` of its own computes that instead.
    """
    if not isinstance(layer, tf_keras.Model):
        return False
    tensors = [*(layer.inputs or ()), *(layer.outputs or ())]
    return (
        bool(tensors)
        and all(map(tf_keras.backend.is_keras_tensor, tensors))
        and type(layer).call.__module__.startswith("tf_keras.")
    )


def _is_part(module) -> bool:
    # Metrics come and go with compiling and training.
    return isinstance(module, Layer) and not isinstance(module, tf_keras.metrics.Metric)
