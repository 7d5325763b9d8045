"""TensorFlow functions that sum, used as layers: `tf.reduce_mean(x)`, `x @ w`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.deploy.converters._elementwise import elementwise, unary
from larqlite.deploy.converters._norm import l2_normalized
from larqlite.deploy.converters._operator import operand, reduced_axes, tensorflow
from larqlite.onnx_graph import Value, permuted, refuse, stored_axes, without_axes

if TYPE_CHECKING:
    from larqlite.onnx_graph import Writer

REDUCTIONS = {
    "math.reduce_mean": "ReduceMean",
    "math.reduce_sum": "ReduceSum",
    "math.reduce_max": "ReduceMax",
    "math.reduce_min": "ReduceMin",
    "math.reduce_prod": "ReduceProd",
}


def _register_reduction(symbol: str, op: str) -> None:
    @tensorflow(symbol)
    def convert(graph: Writer, layer, call) -> Value:
        value = call.input_tensor
        reduced = _reduced(graph, layer, op, value, call.axis, call.keepdims)
        is_one_of_them = op in ("ReduceMax", "ReduceMin")
        return reduced.with_levels(value.levels if is_one_of_them else None)


for _symbol, _op in REDUCTIONS.items():
    _register_reduction(_symbol, _op)


@tensorflow("math.reduce_variance", "math.reduce_std")
def convert_variance(graph: Writer, layer, call) -> Value:
    """The mean of squares around the mean, and its root."""
    value = call.input_tensor
    mean = _reduced(graph, layer, "ReduceMean", value, call.axis, True)
    centred = elementwise(graph, layer, "Sub", [value, mean])
    squares = elementwise(graph, layer, "Mul", [centred, centred])
    variance = _reduced(graph, layer, "ReduceMean", squares, call.axis, call.keepdims)
    is_root = layer.symbol.endswith("std")
    return unary(graph, variance, "Sqrt") if is_root else variance


@tensorflow("math.l2_normalize")
def convert_l2_normalize(graph: Writer, layer, call) -> Value:
    """Divided by the root of the sum of squares."""
    axes = reduced_axes(graph, layer, call.x, call.axis)
    return l2_normalized(graph, layer, call.x, axes, float(call.epsilon))


@tensorflow("linalg.matmul")
def convert_matmul(graph: Writer, layer, call) -> Value:
    """`MatMul` of a tensor in Keras' order with a matrix, or of two samples' matrices."""
    flags = ("adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse")
    left, right = operand(call.a), operand(call.b)
    is_matrix = not isinstance(right, Value) and right.ndim == 2
    fits = isinstance(left, Value) and left.rank > (1 if is_matrix else 2)
    if not is_matrix:
        fits = fits and isinstance(right, Value) and right.rank == left.rank
    if any(getattr(call, flag, False) for flag in flags) or not fits:
        raise refuse(
            layer,
            graph.path,
            "it is not the product of a tensor and a matrix, nor of two tensors with as "
            "many axes, three or more",
            "reshape the tensors, or use tf_keras.layers.Dense or Dot",
        )
    if call.transpose_a:
        left = _turned(graph, layer, left)
    left = graph.channels_last(left)
    if is_matrix:
        right = right.T if call.transpose_b else right
        names = [left.name, graph.constant(np.float32(right))]
        shape = (*left.shape[:-1], right.shape[1])
    else:
        right = _turned(graph, layer, right) if call.transpose_b else right
        right = graph.channels_last(right)
        names = [left.name, right.name]
        between = np.broadcast_shapes(left.shape[1:-2], right.shape[1:-2])
        shape = (None, *between, left.shape[-2], right.shape[-1])
    return graph.value(graph.node("MatMul", names), shape)


def _turned(graph: Writer, layer, value: Value) -> Value:
    """The matrices of each sample transposed."""
    if value.rank < 3:
        raise refuse(
            layer, graph.path, "it transposes the batch", "transpose the other matrix"
        )
    axes = list(range(value.rank))
    axes[-2:] = axes[:-3:-1]
    return permuted(graph, value, axes)


def _reduced(
    graph: Writer, layer, op: str, value: Value, axis: Any, keepdims: Any
) -> Value:
    axes = reduced_axes(graph, layer, value, axis)
    stored = graph.constant(stored_axes(value, axes))
    name = graph.node(op, [value.name, stored], keepdims=int(bool(keepdims)))
    if not keepdims:
        return without_axes(graph, name, value, axes)
    shape = tuple(1 if i in axes else size for i, size in enumerate(value.shape))
    return graph.value(name, shape, like=value)
