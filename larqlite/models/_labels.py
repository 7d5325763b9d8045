"""Which outputs of a model are classes, so that the largest value of each is a label."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import tf_keras

from larqlite.graph import LayerCall, facts_of, follow

K = tf_keras.layers
# Losses for one class out of several; of the rest, none makes labels of outputs.
_OF_ONE_CLASS = ("categorical", "kl_divergence", "kldivergence")
_SOFT = {"softmax", "softmax_v2", "log_softmax", "log_softmax_v2"}
_LINEAR = {"linear", "no_op"}
_BENDING_OPERATORS = frozenset(
    ("sigmoid", "tanh", "relu", "relu6", "elu", "selu", "silu", "swish", "gelu", "sqrt")
) | {"softplus", "exp", "abs", "square", "clip_by_value", "sign", "maximum", "minimum"}


def label_axes(model: tf_keras.Model) -> list[int | None]:
    """For each output the axis whose largest value is a label, None if there are none.

    There are labels where a softmax is taken, along its axis. Where nothing bends the
    values of an output `(samples, values)`, they count as the logits of classes, if they
    are not as many as those of an input, which they then restore. There are none behind
    other functions: sigmoids of several labels, pixels between -1 and 1. The loss that the
    model is compiled with decides before all but the softmax: a categorical cross-entropy
    makes labels of the last axis at any rank, another one, such as a mean squared error,
    does not.

    Args:
        model: a functional or Sequential model.
    """
    outputs = follow(model, [_STRAIGHT] * len(model.inputs), _apply)
    sizes = {_size(tensor) for tensor in model.inputs}
    axes = []
    for tensor, made, loss in zip(model.outputs, outputs, _losses(model), strict=True):
        axis = _axis(tensor, made, loss, sizes)
        rank = tensor.shape.rank
        has_several = axis is not None and -rank < axis < rank and axis % rank
        is_class = has_several and (tensor.shape[axis] or 0) > 1
        axes.append(axis % rank if is_class else None)
    return axes


def _axis(tensor: Any, made: _Made, loss: str | None, sizes: set[int]) -> int | None:
    if not tensor.dtype.is_floating:
        return None
    if made.kind == "softmax":
        return made.axis
    if loss is not None:
        is_class = any(part in loss for part in _OF_ONE_CLASS)
        return -1 if is_class and "binary" not in loss else None
    is_flat = tensor.shape.rank == 2 and _size(tensor) not in sizes
    return -1 if made.kind == "linear" and is_flat else None


def _size(tensor: Any) -> int:
    """How many values a sample has; -1 if that is open."""
    return math.prod(tensor.shape[1:]) if None not in tensor.shape[1:] else -1


@dataclasses.dataclass(frozen=True)
class _Made:
    """What the layers up to a tensor make of values: "softmax" along an axis, "linear" or
    "bent"."""

    kind: str
    axis: int | None = None


_BENT, _STRAIGHT = _Made("bent"), _Made("linear")


def _apply(call: LayerCall) -> list[_Made]:
    made = _of_layer(call.layer, call.kwargs)
    if made is None:
        made = call.inputs[0] if len(call.inputs) == 1 else _STRAIGHT
        facts = facts_of(_inside(call.layer))
        is_moved = facts.moves_values and not facts.does_nothing_in_inference
        made = _BENT if is_moved and made.kind == "softmax" else made
    return [made] * len(call.output_tensors)


def _of_layer(layer: Any, kwargs: dict) -> _Made | None:
    """What a layer makes of values; None if it passes them on."""
    layer = _inside(layer)
    if isinstance(layer, K.Softmax):
        axis = layer.axis
        return _Made("softmax", int(axis)) if np.ndim(axis) == 0 else _BENT
    symbol = getattr(layer, "symbol", None)
    if isinstance(symbol, str):
        name = symbol.rpartition(".")[2]
        if name in _SOFT:
            axis = kwargs.get("axis")
            return _Made("softmax", -1 if axis is None else int(axis))
        return _BENT if name in _BENDING_OPERATORS else _STRAIGHT
    if hasattr(layer, "activation"):
        # A quantization-aware activation holds the one that it rounds.
        function = getattr(layer.activation, "function", layer.activation)
        name = _name(function)
        if name in _SOFT:
            return _Made("softmax", -1)
        if function is not None and name not in _LINEAR:
            return _BENT
        return None if isinstance(layer, K.Activation) else _STRAIGHT
    facts = facts_of(layer)
    if facts.activation:
        return _BENT
    # What is only moved, or scaled and shifted, is what another layer made.
    is_passing = facts.moves_values and not facts.merge
    is_passing = is_passing or isinstance(layer, K.Rescaling)
    return None if is_passing else _STRAIGHT


def _inside(layer: Any) -> Any:
    """The layer in its wrappers."""
    while isinstance(layer, K.Wrapper):
        layer = layer.layer
    return layer


def _losses(model: tf_keras.Model) -> list[str | None]:
    """The name of each output's loss; None if there is none, or one of the user's own."""
    loss = getattr(model, "loss", None)
    names = model.output_names
    if isinstance(loss, dict):
        given = [loss.get(name) for name in names]
    elif isinstance(loss, (list, tuple)) and len(loss) == len(names):
        given = list(loss)
    else:
        given = [loss] * len(names)
    return [_loss_name(item) for item in given]


def _loss_name(loss: Any) -> str | None:
    if loss is None:
        return None
    if isinstance(loss, str):
        return loss.lower()
    known = type(loss).__module__.startswith("tf_keras.")
    if isinstance(loss, tf_keras.losses.Loss):
        return type(loss).__name__.lower() if known else None
    is_keras = getattr(loss, "__module__", "").startswith("tf_keras.")
    return _name(loss).lower() if is_keras else None


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or getattr(function, "name", "") or ""
