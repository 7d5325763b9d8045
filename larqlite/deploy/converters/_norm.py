"""Normalizations, by statistics of the training data or those of the input, and rescaling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite._channels import normalization_factors
from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._elementwise import elementwise, unary, with_arrays
from larqlite.deploy.converters._identity import without_mask
from larqlite.onnx_graph import along, as_in_first_use, beside, refuse, stored_axes

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers


@converter(layers.BatchNormalization, layers.experimental.SyncBatchNormalization)
def convert_batch_normalization(graph: Writer, layer, value: Value, mask=None) -> Value:
    """`Mul` and `Add`."""
    without_mask(graph, layer, mask)
    scale, offset = _factors(graph, layer)
    axes = np.ravel(layer.axis).tolist()
    value = as_in_first_use(graph, value)
    if len(axes) == 1:
        return graph.normalize(value, layer, scale, offset, axis=axes[0])
    axes = [axis for axis in range(value.rank) if axis in axes]
    shape = [value.shape[axis] for axis in axes]
    return _affine(graph, value, axes, scale.reshape(shape), offset.reshape(shape))


def _factors(graph: Writer, layer) -> tuple[np.ndarray, np.ndarray]:
    """What it multiplies by and adds, which float32 has to hold."""
    with np.errstate(all="ignore"):
        scale, offset = normalization_factors(layer)
        is_infinite = ~np.isfinite(
            [scale.astype(np.float32), offset.astype(np.float32)]
        )
    count = int(is_infinite.any(axis=0).sum())
    if not count:
        return scale, offset
    least = float(np.min(layer.moving_variance)) + layer.epsilon
    why = "it holds NaN or infinite numbers"
    fix = "load weights of before the training diverged"
    if least <= np.finfo(np.float32).tiny:
        why = (
            f"{count} of its {scale.size} channels are divided by sqrt(variance + "
            f"epsilon) = {max(least, 0) ** 0.5:.3g}, so its factors are infinite"
        )
        fix = f"an epsilon above 0, e.g. epsilon=1e-3 (it is {layer.epsilon:g})"
    raise refuse(layer, graph.path, why, fix)


@converter(layers.LayerNormalization)
def convert_layer_normalization(graph: Writer, layer, value: Value) -> Value:
    """Mean and variance over some axes of each sample."""
    value = as_in_first_use(graph, value)
    axes = np.ravel(layer.axis).tolist()
    value = _standardized(graph, layer, value, axes)
    return _learned_affine(graph, layer, value, axes)


@converter(layers.GroupNormalization)
def convert_group_normalization(graph: Writer, layer, value: Value, mask=None) -> Value:
    """Mean and variance over each group of channels of a sample."""
    without_mask(graph, layer, mask)
    axis = layer.axis % value.rank
    data_format = "channels_last" if axis == value.rank - 1 else "channels_first"
    value = graph.image(value, data_format)
    if value.stored_axis(axis) != 1:
        raise refuse(
            layer,
            graph.path,
            f"axis={layer.axis} is neither the first after the batch nor the last",
            "axis=-1 for channels last, axis=1 for channels first",
        )
    channels = value.shape[axis]
    groups = channels if layer.groups == -1 else layer.groups
    size = int(np.prod(value.shape[1:])) // groups
    split = graph.node("Reshape", [value.name, graph.constant([0, groups, size])])
    inner = graph.value(split, (None, groups, size))
    inner = _standardized(graph, layer, inner, [2])
    sizes = graph.constant([0, *value.stored_shape[1:]])
    name = graph.node("Reshape", [inner.name, sizes])
    value = graph.value(name, value.shape, like=value)
    return _learned_affine(graph, layer, value, [axis])


@converter(layers.UnitNormalization)
def convert_unit_normalization(graph: Writer, layer, value: Value) -> Value:
    """`x / sqrt(max(sum(x^2), 1e-12))`."""
    return l2_normalized(graph, layer, value, np.ravel(layer.axis).tolist(), 1e-12)


@converter(layers.Normalization)
def convert_normalization(graph: Writer, layer, value: Value) -> Value:
    """`(x - mean) / sqrt(variance)`, or its inverse."""
    value = as_in_first_use(graph, value)
    mean, deviation = _mean_and_deviation(graph, layer, value)
    first, second = (
        (("Mul", deviation), ("Add", mean))
        if layer.invert
        else (("Sub", mean), ("Div", deviation))
    )
    for op, operand in (first, second):
        name = graph.node(op, [value.name, operand])
        value = graph.value(name, value.shape, like=value)
    return value


def l2_normalized(
    graph: Writer, layer, value: Value, axes: list[int], epsilon: float
) -> Value:
    """A value divided by the root of its sum of squares over some axes."""
    total = _reduced(
        graph, "ReduceSum", elementwise(graph, layer, "Mul", [value] * 2), axes
    )
    root = unary(graph, with_arrays(graph, total, "Max", epsilon), "Sqrt")
    return elementwise(graph, layer, "Div", [value, root])


def _standardized(graph: Writer, layer, value: Value, axes: list[int]) -> Value:
    """`(x - mean) / sqrt(variance + epsilon)` over some axes."""
    centred = elementwise(
        graph, layer, "Sub", [value, _reduced(graph, "ReduceMean", value, axes)]
    )
    squares = elementwise(graph, layer, "Mul", [centred, centred])
    variance = _reduced(graph, "ReduceMean", squares, axes)
    deviation = unary(graph, with_arrays(graph, variance, "Add", layer.epsilon), "Sqrt")
    return elementwise(graph, layer, "Div", [centred, deviation])


def _reduced(graph: Writer, op: str, value: Value, axes: list[int]) -> Value:
    """A sum, mean ... over some axes, which stay with one element each."""
    stored = graph.constant(stored_axes(value, axes))
    name = graph.node(op, [value.name, stored], keepdims=1)
    kept = [axis % value.rank for axis in axes]
    shape = tuple(1 if i in kept else size for i, size in enumerate(value.shape))
    return graph.value(name, shape, like=value)


def _learned_affine(graph: Writer, layer, value: Value, axes: list[int]) -> Value:
    """`x * gamma + beta`, as far as the layer has them."""
    for op, weight, is_used in (
        ("Mul", "gamma", layer.scale),
        ("Add", "beta", layer.center),
    ):
        if not is_used:
            continue
        variable = getattr(layer, weight)
        array = along(value, variable, axes)
        stored = graph.weight(graph.path, weight, array, variable=variable)
        name = graph.node(op, [value.name, stored])
        value = graph.value(name, value.shape, like=value)
    return value


def _affine(graph: Writer, value: Value, axes, scale, offset) -> Value:
    for op, name, array in (("Mul", "scale", scale), ("Add", "offset", offset)):
        stored = graph.weight(graph.path, name, along(value, array, axes))
        value = graph.value(
            graph.node(op, [value.name, stored]), value.shape, like=value
        )
    return value


def _mean_and_deviation(graph: Writer, layer, value: Value) -> tuple[str, str]:
    mean = beside(value, layer.mean)
    variance = np.asarray(layer.variance, np.float64)
    floor = tf_keras.backend.epsilon()
    deviation = beside(value, np.maximum(np.sqrt(variance), floor).astype(np.float32))
    if layer.input_mean is not None:
        return graph.constant(mean), graph.constant(deviation)
    return (
        graph.weight(graph.path, "mean", mean),
        graph.weight(graph.path, "deviation", deviation),
    )


@converter(tf_keras.layers.Rescaling)
def convert_rescaling(graph: Writer, layer, value: Value) -> Value:
    """`x * scale + offset`."""
    for op, operand, neutral in (("Mul", layer.scale, 1), ("Add", layer.offset, 0)):
        operand = np.asarray(operand, np.float32)
        if (operand != neutral).any():
            value = elementwise(graph, layer, op, [value, operand])
    return value
