"""Operations of `keras.ops` in a Keras 3 model: layers of tf_keras where these compute the
same, so that the rest of larqlite knows them, and `KerasOperation` for the others."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tf_keras

from larqlite.errors import UnsupportedLayerError
from larqlite.from_keras import _walk
from larqlite.from_keras._operation_layers import FUNCTIONS, KerasOperation, encoded
from larqlite.graph import names

L = tf_keras.layers


def applied(call: _walk.RecordedCall, name: str, where: str) -> Callable:
    """What computes a call of an operation: takes what it takes.

    Args:
        call: of an operation that is no layer.
        name: of the layer that is made.
        where: for messages.

    Raises:
        UnsupportedLayerError: the operation is not known here.
    """
    kind = type(call.operation).__name__
    native = NATIVE.get(kind)
    if native is not None and _all_float(call):
        layer = native(call, name)
        if layer is not None:
            return _on_tensors(layer)
    if kind not in FUNCTIONS:
        raise UnsupportedLayerError(
            f'{where}: operation {kind} "{call.operation.name}": there is no rule for it.\n'
            "  Fix: compute it in a layer class of your own, and register how that is "
            "converted: @lq.models.keras3_converter."
        )
    return _on_tensors(_operation(call, kind, name))


def _on_tensors(layer: tf_keras.layers.Layer) -> Callable:
    """Calls a layer with the tensors among the arguments, one or a list."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        flat = keras.tree.flatten((args, kwargs))
        tensors = [
            x for x in flat if hasattr(x, "dtype") and not isinstance(x, np.ndarray)
        ]
        return layer(tensors if len(tensors) > 1 else tensors[0])

    apply.layer = layer
    return apply


def settings_of(operation: Any) -> dict:
    """What an operation was made with, by the names of its arguments."""
    names = inspect.signature(type(operation).__init__).parameters
    return {
        name: getattr(operation, name)
        for name in names
        if name not in ("self", "name", "args", "kwargs") and hasattr(operation, name)
    }


def _operation(call: _walk.RecordedCall, kind: str, name: str) -> KerasOperation:
    count = iter(range(len(call.inputs)))
    args, kwargs = _walk.filled(call, lambda t: {"tensor": next(count)})
    kwargs = {k: v for k, v in kwargs.items() if v is not None}
    result = keras.backend.standardize_dtype(call.outputs[0].dtype)
    return KerasOperation(
        kind,
        [encoded(list(args)), encoded(kwargs)],
        encoded(settings_of(call.operation)),
        result,
        _common(call, kind, result),
        name=name,
    )


TOGETHER = names(
    """
    Add Subtract Multiply Divide TrueDivide FloorDivide Mod Power Maximum Minimum Arctan2
    Equal NotEqual Greater GreaterEqual Less LessEqual Matmul Einsum Concatenate Stack
    Exp Expm1 Log Log1p Sin Cos Tan Sinh Cosh Tanh Sqrt Rsqrt Sum Prod
    """
)


def _common(call: _walk.RecordedCall, kind: str, result: str) -> str | None:
    """The dtype in which Keras 3 puts the arguments of an operation together."""
    if kind not in TOGETHER:
        return None
    if result != "bool":
        return result
    flat = keras.tree.flatten((call.args, call.kwargs))
    kinds = [getattr(x, "dtype", type(x)) for x in flat if x is not None]
    return keras.backend.result_type(*kinds)


def _all_float(call: _walk.RecordedCall) -> bool:
    return all(t.dtype == "float32" for t in [*call.inputs, *call.outputs])


def _operands(call: _walk.RecordedCall) -> tuple:
    """The two operands of a call, however they were given."""
    given = [*call.args, *call.kwargs.values()]
    return (given[0], given[1]) if len(given) == 2 else (None, None)


def _merge(cls: type) -> Callable:
    """A merge layer for two tensors of one rank."""

    def make(call: _walk.RecordedCall, name: str) -> Any:
        a, b = _operands(call)
        if len(call.inputs) != 2 or len(a.shape) != len(b.shape):
            return _scalar(call, name)
        return cls(name=name)

    return make


def _scalar(call: _walk.RecordedCall, name: str) -> Any:
    """A `Rescaling` for a tensor and a number."""
    a, b = _operands(call)
    kind = type(call.operation).__name__
    if isinstance(b, int | float) and not isinstance(b, bool):
        if kind == "Divide" and b == 0:
            return None
        scale, offset = {
            "Add": (1.0, b), "Subtract": (1.0, -b), "Multiply": (b, 0.0),
            "Divide": (1 / (b or 1), 0.0),
        }.get(kind, (None, None))  # fmt: skip
    elif isinstance(a, int | float) and not isinstance(a, bool):
        scale, offset = {
            "Add": (1.0, a),
            "Subtract": (-1.0, a),
            "Multiply": (a, 0.0),
        }.get(kind, (None, None))
    else:
        return None
    return None if scale is None else L.Rescaling(scale, offset, name=name)


def _activation(function: str) -> Callable:
    return lambda call, name: L.Activation(function, name=name)


def _softmax(call: _walk.RecordedCall, name: str) -> Any:
    axis = call.operation.axis
    return L.Softmax(axis, name=name) if isinstance(axis, int) else None


def _reshape(call: _walk.RecordedCall, name: str) -> Any:
    shape, given = call.operation.newshape, call.inputs[0].shape
    rest, before = list(shape[1:]), given[1:]
    if None in before or None in rest or -1 in rest:
        return None
    whole = math.prod(rest) == math.prod(before) and given[0] is None
    return L.Reshape(rest, name=name) if whole and shape[0] in (-1, None) else None


def _transpose(call: _walk.RecordedCall, name: str) -> Any:
    axes = call.operation.axes
    return L.Permute(axes[1:], name=name) if axes and axes[0] == 0 else None


def _concatenate(call: _walk.RecordedCall, name: str) -> Any:
    axis = call.operation.axis
    rank = len(call.inputs[0].shape)
    whole = isinstance(axis, int) and axis % rank > 0 and len(call.inputs) > 1
    return L.Concatenate(axis, name=name) if whole else None


def _spatial(cls: type) -> Callable:
    """A global pooling for a mean or maximum over rows and columns."""

    def make(call: _walk.RecordedCall, name: str) -> Any:
        axis = call.operation.axis
        if not isinstance(axis, list | tuple) or len(call.inputs[0].shape) != 4:
            return None
        if sorted(a % 4 for a in axis) != [1, 2]:
            return None
        if getattr(call.operation, "initial", None) is not None:
            return None
        return cls(keepdims=bool(call.operation.keepdims), name=name)

    return make


NATIVE: dict[str, Callable] = {
    "Add": _merge(L.Add),
    "Subtract": _merge(L.Subtract),
    "Multiply": _merge(L.Multiply),
    "Maximum": _merge(L.Maximum),
    "Minimum": _merge(L.Minimum),
    "Divide": _scalar,
    "TrueDivide": _scalar,
    "Relu": lambda call, name: L.ReLU(name=name),
    "Relu6": lambda call, name: L.ReLU(6.0, name=name),
    "LeakyRelu": lambda call, name: L.LeakyReLU(call.operation.negative_slope, name=name),
    "Softmax": _softmax,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Concatenate": _concatenate,
    "Mean": _spatial(L.GlobalAveragePooling2D),
    "Max": _spatial(L.GlobalMaxPooling2D),
    **{
        name: _activation(function)
        for name, function in {
            "Sigmoid": "sigmoid", "Tanh": "tanh", "Silu": "swish", "Selu": "selu",
            "Softplus": "softplus", "Softsign": "softsign",
        }.items()
    },
}  # fmt: skip
