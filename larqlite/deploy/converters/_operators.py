"""TensorFlow functions that compute, used as layers: `x + y`, `tf.nn.relu(x)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from larqlite.deploy.converters import _activations
from larqlite.deploy.converters._elementwise import elementwise, unary, with_arrays
from larqlite.deploy.converters._merge import KEEPING_LEVELS, merged
from larqlite.deploy.converters._operator import (
    first,
    operand,
    operands,
    tensorflow,
)
from larqlite.onnx_graph import Value, refuse
from larqlite_runtime.format import heaviside, ternary, united_type

if TYPE_CHECKING:
    from larqlite.onnx_graph import Writer

UNARY = {
    "math.abs": "Abs",
    "math.negative": "Neg",
    "math.sqrt": "Sqrt",
    "math.reciprocal": "Reciprocal",
    "math.log": "Log",
    "math.erf": "Erf",
    "math.floor": "Floor",
    "math.ceil": "Ceil",
    "math.round": "Round",
    "math.sign": "Sign",
} | {symbol: op for op, (symbol, *_) in _activations.ONE_OPERATION.items()}

BINARY = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Sub",
    "math.multiply": "Mul",
    "compat.v1.math.scalar_mul": "Mul",
    "math.scalar_mul": "Mul",
    "math.truediv": "Div",
    "math.divide": "Div",
    "math.maximum": "Max",
    "math.minimum": "Min",
}

FLOAT, BOOL = 1, 9  # onnx.TensorProto

COMPARISONS = {
    "math.greater": "Greater",
    "math.greater_equal": "GreaterOrEqual",
    "math.less": "Less",
    "math.less_equal": "LessOrEqual",
}

# Number by number.


def _register_unary(symbol: str, op: str) -> None:
    @tensorflow(symbol)
    def convert(graph: Writer, layer, call) -> Value:
        value = unary(graph, first(call), op)
        return value.with_levels(ternary() if op == "Sign" else None)


for _symbol, _op in UNARY.items():
    _register_unary(_symbol, _op)


def _register_binary(symbol: str, op: str) -> None:
    @tensorflow(symbol)
    def convert(graph: Writer, layer, call) -> Value:
        both = operands(call)
        value = elementwise(graph, layer, op, both)
        if op in KEEPING_LEVELS and all(isinstance(x, Value) for x in both):
            value = value.with_levels(united_type(*(x.levels for x in both)))
        return value


for _symbol, _op in BINARY.items():
    _register_binary(_symbol, _op)


def _register_comparison(symbol: str, op: str) -> None:
    @tensorflow(symbol)
    def convert(graph: Writer, layer, call) -> Value:
        compared = elementwise(graph, layer, op, operands(call), tensor=_of_booleans)
        return unary(graph, compared, "Cast", to=FLOAT).with_levels(heaviside())


for _symbol, _op in COMPARISONS.items():
    _register_comparison(_symbol, _op)


@tensorflow("math.rsqrt")
def convert_rsqrt(graph: Writer, layer, call) -> Value:
    """`1 / sqrt(x)`."""
    return unary(graph, unary(graph, call.x, "Sqrt"), "Reciprocal")


@tensorflow("math.square")
def convert_square(graph: Writer, layer, call) -> Value:
    """`x * x`."""
    return elementwise(graph, layer, "Mul", [call.x, call.x])


@tensorflow("math.squared_difference")
def convert_squared_difference(graph: Writer, layer, call) -> Value:
    """`(x - y)^2`."""
    difference = elementwise(graph, layer, "Sub", operands(call))
    return elementwise(graph, layer, "Mul", [difference, difference])


@tensorflow("math.pow")
def convert_power(graph: Writer, layer, call) -> Value:
    """A square as a product, else `Pow`."""
    base, exponent = operands(call)
    if not isinstance(exponent, Value) and np.array_equal(exponent, 2):
        return elementwise(graph, layer, "Mul", [base, base])
    return elementwise(graph, layer, "Pow", [base, exponent])


@tensorflow("compat.v1.floor_div", "math.floordiv")
def convert_floor_division(graph: Writer, layer, call) -> Value:
    """`floor(x / y)`."""
    return unary(graph, elementwise(graph, layer, "Div", operands(call)), "Floor")


@tensorflow("math.add_n")
def convert_sum(graph: Writer, layer, call) -> Value:
    """One `Add` after the other."""
    return merged(graph, layer, "Add", call.inputs)


@tensorflow("clip_by_value")
def convert_clip(graph: Writer, layer, call) -> Value:
    """The smaller of `x` and the upper bound, then the larger one."""
    value = call.t
    for op, bound in (("Min", call.clip_value_max), ("Max", call.clip_value_min)):
        value = elementwise(graph, layer, op, [value, operand(bound)])
    return value


@tensorflow("where")
def convert_where(graph: Writer, layer, call) -> Value:
    """`Where`."""
    if call.x is None or call.y is None:
        raise refuse(
            layer,
            graph.path,
            "tf.where without `x` and `y` gives a tensor of open size",
            "give both: tf.where(condition, x, y)",
        )
    condition = operand(call.condition)
    if isinstance(condition, Value):
        name = graph.node("Cast", [condition.name], to=BOOL)
        condition = _of_booleans(name, condition.shape, condition)
    given = [operand(x) for x in (call.x, call.y)]
    return elementwise(graph, layer, "Where", [condition, *given])


@tensorflow("cast")
def convert_cast(graph: Writer, layer, call) -> Value:
    """The value itself: truth values are 0 and 1 in the file, as numbers cast to them."""
    if tf.as_dtype(call.dtype) == tf.bool:
        truth = graph.node("Cast", [call.x.name], to=BOOL)
        truth = _of_booleans(truth, call.x.shape, call.x)
        return unary(graph, truth, "Cast", to=FLOAT).with_levels(heaviside())
    if tf.as_dtype(call.dtype) != tf.float32:
        raise refuse(
            layer,
            graph.path,
            f"it casts to {tf.as_dtype(call.dtype).name}, and values are float32 in the "
            "file",
            "cast to tf.float32, or leave the cast out",
        )
    return call.x


# Activations.


@tensorflow("nn.relu6")
def convert_relu6(graph: Writer, layer, call) -> Value:
    """`clip(x, 0, 6)`."""
    return _activations.convert_relu6(graph, layer, call.features)


@tensorflow("nn.leaky_relu")
def convert_leaky_relu(graph: Writer, layer, call) -> Value:
    """Slope `alpha` below zero."""
    return unary(graph, call.features, "LeakyRelu", alpha=float(call.alpha))


@tensorflow("nn.silu", "nn.swish")
def convert_swish(graph: Writer, layer, call) -> Value:
    """`x sigmoid(beta x)`."""
    value = call.features
    inner = value if call.beta == 1 else with_arrays(graph, value, "Mul", call.beta)
    return elementwise(graph, layer, "Mul", [value, unary(graph, inner, "Sigmoid")])


@tensorflow("nn.gelu")
def convert_gelu(graph: Writer, layer, call) -> Value:
    """Exact, or with tanh."""
    return _activations.convert_gelu(graph, layer, call.features, call.approximate)


@tensorflow("nn.softmax")
def convert_softmax(graph: Writer, layer, call) -> Value:
    """`Softmax` over an axis."""
    axis = -1 if call.axis is None else int(call.axis)
    return _activations.convert_softmax_function(graph, layer, call.logits, axis)


@tensorflow("nn.log_softmax")
def convert_log_softmax(graph: Writer, layer, call) -> Value:
    """`LogSoftmax` over an axis."""
    axis = -1 if call.axis is None else int(call.axis)
    return _activations.convert_log_softmax(graph, layer, call.logits, axis)


def _of_booleans(name: str, shape: tuple, like: Value) -> Value:
    """A value inside of a converter whose dtype is left to ONNX."""
    return Value(name, shape, like.is_moved)
