"""Activations: which ONNX operations a Keras function or layer becomes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import activations as own
from larqlite.deploy._converter_tables import activation_converter, converter
from larqlite.deploy.converters._dispatch import activation
from larqlite.deploy.converters._elementwise import elementwise, unary, with_arrays
from larqlite.deploy.converters._identity import without_mask
from larqlite.from_keras import (
    keras3_leaky_relu,
    keras3_relu6,
)
from larqlite.layers import RPReLU, TwoSlopeReLU
from larqlite.onnx_graph import along, as_in_first_use, beside, refuse

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers, keras = tf_keras.layers, tf_keras.activations

# The functions that are one operation without attributes; TensorFlow's public names
# (`layer.symbol`) are those that operators go by.
ONE_OPERATION = {
    "Relu": ("nn.relu", keras.relu, tf.nn.relu),
    "Sigmoid": ("math.sigmoid", keras.sigmoid, tf.sigmoid),
    "Tanh": ("math.tanh", keras.tanh, tf.tanh),
    "Elu": ("nn.elu", keras.elu, tf.nn.elu),
    "Selu": ("nn.selu", keras.selu, tf.nn.selu),
    "Softplus": ("math.softplus", keras.softplus, tf.nn.softplus),
    "Softsign": ("nn.softsign", keras.softsign, tf.nn.softsign),
    "Exp": ("math.exp", keras.exponential, tf.exp),
}


@converter(layers.Activation)
def convert_activation_layer(graph: Writer, layer, value: Value) -> Value:
    """Its function."""
    return activation(graph, value, layer.activation, graph.path)


# Functions.


def _register_one_operation(op: str, functions: tuple) -> None:
    @activation_converter(*functions)
    def convert(graph: Writer, fn, value: Value) -> Value:
        return unary(graph, value, op)


for _op, (_, *_functions) in ONE_OPERATION.items():
    _register_one_operation(_op, tuple(_functions))


@activation_converter(keras.hard_sigmoid)
def convert_hard_sigmoid(graph: Writer, fn, value: Value) -> Value:
    """`clip(0.2 x + 0.5, 0, 1)`."""
    return unary(graph, value, "HardSigmoid", alpha=0.2, beta=0.5)


@activation_converter(keras.swish, tf.nn.silu)
def convert_swish(graph: Writer, fn, value: Value) -> Value:
    """`x sigmoid(x)`."""
    return elementwise(graph, fn, "Mul", [value, unary(graph, value, "Sigmoid")])


@activation_converter(keras.mish)
def convert_mish(graph: Writer, fn, value: Value) -> Value:
    """`x tanh(softplus(x))`."""
    softplus = unary(graph, value, "Softplus")
    return elementwise(graph, fn, "Mul", [value, unary(graph, softplus, "Tanh")])


@activation_converter(tf.nn.relu6, keras3_relu6)
def convert_relu6(graph: Writer, fn, value: Value) -> Value:
    """`clip(x, 0, 6)`."""
    return clipped(graph, value, 0, 6)


@activation_converter(tf.nn.leaky_relu, keras3_leaky_relu)
def convert_leaky_relu_function(graph: Writer, fn, value: Value) -> Value:
    """Slope 0.2 below zero."""
    return unary(graph, value, "LeakyRelu", alpha=0.2)


@activation_converter(keras.gelu, tf.nn.gelu)
def convert_gelu(graph: Writer, fn, value: Value, approximate: bool = False) -> Value:
    """`x (1 + erf(x / sqrt 2)) / 2`, or the approximation with tanh."""
    if approximate:
        cube = elementwise(graph, fn, "Mul", [value, value, value][:2])
        cube = elementwise(graph, fn, "Mul", [cube, value])
        inner = with_arrays(graph, cube, "Mul", 0.044715)
        inner = elementwise(graph, fn, "Add", [value, inner])
        bent = unary(
            graph, with_arrays(graph, inner, "Mul", math.sqrt(2 / math.pi)), "Tanh"
        )
    else:
        bent = unary(graph, with_arrays(graph, value, "Div", math.sqrt(2)), "Erf")
    half = with_arrays(graph, value, "Mul", 0.5)
    return elementwise(graph, fn, "Mul", [half, with_arrays(graph, bent, "Add", 1)])


@activation_converter(keras.softmax, tf.nn.softmax)
def convert_softmax_function(graph: Writer, fn, value: Value, axis: int = -1) -> Value:
    """Over the last axis of the Keras tensor."""
    return unary(graph, value, "Softmax", axis=value.stored_axis(axis))


@activation_converter(tf.nn.log_softmax, keras.get("log_softmax"))
def convert_log_softmax(graph: Writer, fn, value: Value, axis: int = -1) -> Value:
    """Over the last axis of the Keras tensor."""
    return unary(graph, value, "LogSoftmax", axis=value.stored_axis(axis))


@activation_converter(own.hard_tanh)
def convert_hard_tanh(graph: Writer, fn, value: Value) -> Value:
    """`clip(x, -1, 1)`."""
    return clipped(graph, value, -1, 1)


@activation_converter(own.hard_sigmoid6)
def convert_hard_sigmoid6(graph: Writer, fn, value: Value) -> Value:
    """`clip(x / 6 + 0.5, 0, 1)`."""
    return unary(graph, value, "HardSigmoid", alpha=1 / 6, beta=0.5)


@activation_converter(own.hard_swish)
def convert_hard_swish(graph: Writer, fn, value: Value) -> Value:
    """`x clip(x / 6 + 0.5, 0, 1)`."""
    return unary(graph, value, "HardSwish")


@activation_converter(own.leaky_tanh)
def convert_leaky_tanh(graph: Writer, fn, value: Value) -> Value:
    """The identity on [-1, 1], and slope 0.2 outside."""
    total = clipped(graph, value, -1, 1)
    for op, bound in (("Max", 1), ("Min", -1)):
        beyond = with_arrays(graph, with_arrays(graph, value, op, bound), "Sub", bound)
        leak = with_arrays(graph, beyond, "Mul", 0.2)
        total = elementwise(graph, fn, "Add", [total, leak])
    return total


def clipped(graph: Writer, value: Value, low: float, high: float) -> Value:
    """`min(max(x, low), high)` with numbers."""
    bounds = [graph.constant(np.float32(bound)) for bound in (low, high)]
    name = graph.node("Clip", [value.name, *bounds])
    return graph.value(name, value.shape, like=value)


# Layers.


@converter(layers.ReLU)
def convert_relu(graph: Writer, layer, value: Value) -> Value:
    """With a threshold, a slope below it, and a largest value."""
    slope, threshold = float(layer.negative_slope), float(layer.threshold)
    highest = layer.max_value
    if slope and not threshold and highest is None:
        return unary(graph, value, "LeakyRelu", alpha=slope)
    if threshold:
        above = _above(graph, value, threshold)
    else:
        above = unary(graph, value, "Relu") if highest is None else value
    if highest is not None:
        above = clipped(graph, above, 0, highest)
    if not slope:
        return above
    below = unary(graph, value, "Neg")
    if threshold:
        below = with_arrays(graph, below, "Add", threshold)
    below = with_arrays(graph, unary(graph, below, "Relu"), "Mul", slope)
    return elementwise(graph, layer, "Sub", [above, below])


@converter(layers.LeakyReLU)
def convert_leaky_relu(graph: Writer, layer, value: Value) -> Value:
    """Slope `alpha` below zero."""
    return unary(graph, value, "LeakyRelu", alpha=float(layer.alpha))


@converter(layers.ThresholdedReLU)
def convert_thresholded_relu(graph: Writer, layer, value: Value) -> Value:
    """`x` above `theta`, else 0."""
    return _above(graph, value, float(layer.theta))


@converter(layers.ELU)
def convert_elu(graph: Writer, layer, value: Value) -> Value:
    """`alpha (exp(x) - 1)` below zero."""
    return unary(graph, value, "Elu", alpha=float(layer.alpha))


@converter(layers.PReLU)
def convert_prelu(graph: Writer, layer, value: Value) -> Value:
    """`PRelu`, its slopes shared along some axes."""
    value = as_in_first_use(graph, value)
    slope = beside(value, layer.alpha)
    stored = graph.weight(graph.path, "alpha", slope, variable=layer.alpha)
    name = graph.node("PRelu", [value.name, stored], name=graph.path)
    return graph.value(name, value.shape, like=value)


@converter(layers.Softmax)
def convert_softmax(graph: Writer, layer, value: Value, mask=None) -> Value:
    """`Softmax` over one axis."""
    without_mask(graph, layer, mask)
    axes = np.ravel(layer.axis).tolist()
    if len(axes) > 1:
        raise refuse(
            layer,
            graph.path,
            f"axis={layer.axis!r}: it sums over several axes at once",
            "reshape these axes into one before, and use its number",
        )
    return convert_softmax_function(graph, layer, value, axes[0])


@converter(RPReLU)
def convert_rprelu(graph: Writer, layer, value: Value) -> Value:
    """`Sub`, `PRelu`, `Add`."""
    value = as_in_first_use(graph, value)
    for op, weight in (("Sub", "gamma"), ("PRelu", "beta"), ("Add", "zeta")):
        value = _with_channels(graph, layer, value, op, weight)
    return value


@converter(TwoSlopeReLU)
def convert_two_slope_relu(graph: Writer, layer, value: Value) -> Value:
    """A slope for each side of zero, and their sum."""
    value = as_in_first_use(graph, value)
    above = unary(graph, value, "Relu")
    below = with_arrays(graph, value, "Min", 0)
    above = _with_channels(graph, layer, above, "Mul", "positive")
    below = _with_channels(graph, layer, below, "Mul", "negative")
    return elementwise(graph, layer, "Add", [above, below])


def _above(graph: Writer, value: Value, threshold: float) -> Value:
    """`x` where it is greater than the threshold, else 0."""
    if threshold >= 0:
        return unary(graph, value, "ThresholdedRelu", alpha=threshold)
    is_greater = graph.node(
        "Greater", [value.name, graph.constant(np.float32(threshold))]
    )
    factor = graph.node("Cast", [is_greater], to=1)
    name = graph.node("Mul", [value.name, factor])
    return graph.value(name, value.shape, like=value)


def _with_channels(graph: Writer, layer, value: Value, op: str, weight: str) -> Value:
    """An operation on a value and a weight that has one number for each channel."""
    variable = getattr(layer, weight)
    array = along(value, variable, [layer.axis])
    stored = graph.weight(graph.path, weight, array, variable=variable)
    name = graph.node(op, [value.name, stored])
    return graph.value(name, value.shape, like=value)
