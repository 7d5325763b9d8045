"""Functions as layers become the Keras layers that compute the same."""

from __future__ import annotations

import functools

import tf_keras

from larqlite.graph import LayerGraph, LayerUse
from larqlite.integer.models.transforms import _tracing
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    label,
    new,
    transformed,
)
from larqlite.qat.wrapper import name_of

__all__ = ["replace_lambda"]

layers = tf_keras.layers


def replace_lambda(model: tf_keras.Model) -> tf_keras.Model:
    """A model in which functions are layers that say what they compute.

    | function | layer |
    |---|---|
    | `tf.nn.relu`, `tf.nn.relu6`, `tf.maximum(x, 0)`, `Activation("relu")` | `ReLU` |
    | `tf.transpose` | `Permute` |
    | `tf.reshape`, `tf.squeeze`, `tf.expand_dims` | `Reshape` |
    | `a + b`, `tf.add`, `tf.add_n` of equal shapes | `Add` |
    | `a * b`, `tf.multiply` of as many axes | `Multiply` |
    | `tf.sigmoid`, `tf.tanh`, `tf.nn.softplus`, `tf.nn.softsign` | `Activation` |
    | `tf.nn.elu`, `tf.nn.selu`; `tf.nn.silu`, `tf.nn.gelu` outside of a `Lambda` | `Activation` |
    | `tf.nn.leaky_relu` | `LeakyReLU` |

    The function may stand in a `Lambda`, or be used on a Keras tensor as it is. It is
    traced, and its operations and constants are read: a function of one's own that calls
    these, also one after the other, is recognised as well. What cannot be replaced
    exactly stays: a function with other operations or with variables, an addition that
    broadcasts, a transposition of the batch.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> x = tf_keras.Input((2, 3))
        >>> y = tf.transpose(tf.nn.relu(x), (0, 2, 1))
        >>> new = lq.integer.models.transforms.replace_lambda(tf_keras.Model(x, y))
        >>> [type(layer).__name__ for layer in new.layers]
        ['InputLayer', 'ReLU', 'Permute']
    """
    return transformed(model, "replace_lambda", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Replaces each use of a function that is recognised."""
    is_changed = False
    named: set[str] = set()
    for use in list(graph.uses):
        found = _layers_of(use)
        if found is None:
            continue
        edges, makers = found
        # The last layer keeps the name; of a shared function, the first use does.
        name = label(use.entry)
        name = surgery.new_name(name) if name in named else name
        named.add(name)
        _replace(graph, surgery, use, edges, makers, name)
        is_changed = True
    if is_changed:
        graph.drop_unused()
    return is_changed


def _layers_of(use: LayerUse) -> _tracing.Chain | None:
    if type(use.layer) is layers.Activation:
        kind = name_of(use.layer.activation)
        if kind not in ("relu", "relu6"):
            return None
        return use.inputs, [_tracing.relu(6.0 if kind == "relu6" else None)]
    if not _tracing.is_function(use.layer):
        return None
    function = _OF_SEVERAL_OPERATIONS.get(getattr(use.layer, "symbol", None))
    if function is not None and _has_no_options(use):
        return use.inputs, [functools.partial(layers.Activation, function)]
    return _tracing.recognised(use)


# By the public names of TensorFlow's functions.
_OF_SEVERAL_OPERATIONS = {"nn.silu": "swish", "nn.gelu": "gelu"}


def _has_no_options(use: LayerUse) -> bool:
    options = [value for key, value in use.kwargs.items() if key != "name"]
    return len(use.args) == 1 and not options


def _replace(
    graph: LayerGraph, surgery: Surgery, use: LayerUse, edges, makers, name: str
) -> None:
    dtype = use.layer.get_config()["dtype"]
    names = [surgery.new_name(f"{name}_{i}") for i in range(len(makers) - 1)] + [name]
    if not makers:
        graph.rewire(use, use.entry, edges[0])
        graph.remove(use)
        return
    first, *others = (
        new(maker(name=n, dtype=dtype)) for maker, n in zip(makers, names, strict=True)
    )
    graph.rewire(use, first, edges[0] if len(edges) == 1 else list(edges))
    (edge,) = use.outputs
    for entry in others:
        tensor, edge.tensor = edge.tensor, None
        edge = graph.insert_after(edge, entry).outputs[0]
        edge.tensor = tensor
