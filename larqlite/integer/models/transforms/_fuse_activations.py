"""Activation functions that are written as several layers become one Activation."""

from __future__ import annotations

import tf_keras

from larqlite import activations
from larqlite.graph import Edge, LayerEntry, LayerGraph, LayerUse
from larqlite.integer.models.transforms._fold_preprocessing import affine_of
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    label,
    new,
    transformed,
)

__all__ = ["fuse_activations"]

layers = tf_keras.layers

# What the product of a number and this function of it is.
_TIMES_INPUT = {
    activations.hard_sigmoid6: activations.hard_swish,
    tf_keras.activations.sigmoid: tf_keras.activations.swish,
}
_CLOSE = 1e-6


def fuse_activations(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model in which activations that are spelled out are Activation layers.

    | layers or operators | `Activation` |
    |---|---|
    | $\mathrm{relu6}(x + 3) \cdot 1/6$ | `lq.activations.hard_sigmoid6` |
    | $x$ times this | `lq.activations.hard_swish` |
    | $x \cdot \mathrm{relu6}(x + 3)$, then $\cdot\, 1/6$ | `lq.activations.hard_swish` |
    | $x$ times `Activation("sigmoid")` of $x$ | `"swish"` |

    The sums and products with numbers may be operators, functions, or `Rescaling` layers,
    as in Keras' MobileNetV3.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> x = tf_keras.Input((4, 4, 2))
        >>> gate = tf_keras.layers.ReLU(6.0)(x + 3.0) * (1 / 6)
        >>> model = tf_keras.Model(x, tf_keras.layers.Multiply(name="act")([x, gate]))
        >>> fused = lq.integer.models.transforms.fuse_activations(model)
        >>> [layer.name for layer in fused.layers[1:]], fused.layers[1].activation.__name__
        (['act'], 'hard_swish')
    """
    return transformed(model, "fuse_activations", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Fuses the gates, then the products with what they are gates of."""
    found = [_fused_gate(graph, surgery, use) for use in list(graph.uses)]
    found += [_fused_product(graph, surgery, use) for use in list(graph.uses)]
    if any(found):
        graph.drop_unused()
    return any(found)


def _fused_gate(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> bool:
    x = _shifted(use)
    sixth = x is not None and _sixth_of(graph, use)
    if not sixth:
        return False
    _replace(graph, surgery, sixth, activations.hard_sigmoid6, x)
    return True


def _fused_product(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> bool:
    if type(use.layer) is not layers.Multiply or len(use.inputs) != 2:
        return False
    for x, gate in (use.inputs, use.inputs[::-1]):
        function = _function_of(gate.source, x)
        if function is not None:
            _replace(graph, surgery, use, _TIMES_INPUT[function], x)
            return True
        sixth = gate.source is not None and _shifted(gate.source) is x
        sixth = sixth and _sixth_of(graph, use)
        if sixth:
            _replace(graph, surgery, sixth, activations.hard_swish, x)
            return True
    return False


def _shifted(use: LayerUse) -> Edge | None:
    """What a use makes `relu6(x + 3)` of; None if it computes anything else."""
    layer = use.layer
    if type(layer) is not layers.ReLU or layer.max_value != 6:
        return None
    source = use.inputs[0].source
    if layer.negative_slope or layer.threshold or source is None:
        return None
    return source.inputs[0] if _is_affine(source, 1.0, 3.0) else None


def _sixth_of(graph: LayerGraph, use: LayerUse) -> LayerUse | None:
    """The use that alone reads another one, and makes a sixth of it."""
    reader = graph.only_consumer(use)
    return reader if reader is not None and _is_affine(reader, 1 / 6, 0.0) else None


def _is_affine(use: LayerUse, scale: float, offset: float) -> bool:
    if len(use.inputs) != 1 or len(use.outputs) != 1:
        return False
    found = affine_of(use, None)
    return (
        found is not None
        and abs(found.scale / scale - 1) < _CLOSE
        and abs(found.offset - offset) < _CLOSE
    )


def _function_of(use: LayerUse | None, x: Edge):
    """The function of an Activation of `x` that a product with `x` makes another one of."""
    if use is None or type(use.layer) is not layers.Activation:
        return None
    function = use.layer.activation
    if use.inputs[0] is not x:
        return None
    return next((known for known in _TIMES_INPUT if function is known), None)


def _replace(
    graph: LayerGraph, surgery: Surgery, use: LayerUse, function, x: Edge
) -> None:
    name = label(use.entry)
    name = surgery.new_name(name) if surgery.is_shared(use.entry) else name
    dtype = use.layer.get_config()["dtype"]
    entry: LayerEntry = new(layers.Activation(function, name=name, dtype=dtype))
    graph.rewire(use, entry, x)
