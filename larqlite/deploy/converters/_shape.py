"""Layers that only move numbers: flatten, reshape, permute, repeat, pad, crop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.onnx_graph import expanded, onnx_order, output_shape, permuted, reshaped
from larqlite_runtime.format import padded_type

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers


@converter(layers.Flatten)
def convert_flatten(graph: Writer, layer, value: Value) -> Value:
    """`Reshape`; channels go last first, as in Keras."""
    if layer.data_format == "channels_first" and value.rank > 2:
        value = permuted(graph, value, (0, *range(2, value.rank), 1))
    return reshaped(graph, value, (None, math.prod(value.shape[1:])))


@converter(layers.Reshape)
def convert_reshape(graph: Writer, layer, value: Value) -> Value:
    """`Reshape` of the numbers in Keras' order."""
    return reshaped(graph, value, output_shape(layer, value.shape))


@converter(layers.Permute)
def convert_permute(graph: Writer, layer, value: Value) -> Value:
    """`Transpose`, unless the file has the axes in that order already."""
    return permuted(graph, value, (0, *layer.dims))


@converter(layers.RepeatVector)
def convert_repeat_vector(graph: Writer, layer, value: Value) -> Value:
    """`(batch, features)` as `(batch, n, features)`."""
    return tiled(graph, expanded(graph, value, 1), {1: layer.n})


def tiled(graph: Writer, value: Value, repeats: dict[int, int]) -> Value:
    """A value repeated as a whole along axes of the Keras tensor."""
    counts, shape = [1] * value.rank, list(value.shape)
    for axis, count in repeats.items():
        counts[value.stored_axis(axis)] = count
        shape[axis] *= count
    name = graph.node("Tile", [value.name, graph.constant(counts)])
    return graph.value(name, tuple(shape), like=value, levels=value.levels)


@converter(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
def convert_zero_padding(graph: Writer, layer, value: Value) -> Value:
    """`Pad`."""
    return padded(graph, value, _of_space(layer, value, layer.padding))


@converter(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)
def convert_cropping(graph: Writer, layer, value: Value) -> Value:
    """`Slice`."""
    ranges = {
        axis: (before, value.shape[axis] - after, 1)
        for axis, (before, after) in _of_space(layer, value, layer.cropping).items()
    }
    return sliced(graph, value, ranges)


def padded(
    graph: Writer,
    value: Value,
    amounts: dict[int, tuple[int, int]],
    constant: float = 0.0,
    mode: str = "constant",
) -> Value:
    """A value with numbers around it.

    Args:
        graph: the graph.
        value: what is padded.
        amounts: for axes of the Keras tensor, how many before and after.
        constant: the number that is added.
        mode: "constant" or "reflect".
    """
    if not any(map(any, amounts.values())):
        return value
    pairs = [(0, 0)] * value.rank
    shape = list(value.shape)
    for axis, (before, after) in amounts.items():
        pairs[value.stored_axis(axis)] = (before, after)
        if before or after:
            shape[axis] += before + after
    inputs = [value.name, graph.constant(onnx_order(pairs))]
    if mode == "constant":
        inputs.append(graph.constant(np.float32(constant)))
    name = graph.node("Pad", inputs, mode=mode)
    levels = value.levels
    if mode == "constant":
        levels = padded_type(levels, constant)
    return graph.value(name, tuple(shape), like=value, levels=levels)


def sliced(
    graph: Writer, value: Value, ranges: dict[int, tuple[int, int, int]]
) -> Value:
    """A part of a value.

    Args:
        graph: the graph.
        value: what is cut.
        ranges: for axes of the Keras tensor, Python's `(start, stop, step)`, all of
            them within the axis (-1 as the stop of a negative step).
    """
    whole = {axis: (0, value.shape[axis], 1) for axis in ranges}
    ranges = {axis: part for axis, part in ranges.items() if part != whole[axis]}
    if not ranges:
        return value
    shape = list(value.shape)
    for axis, part in ranges.items():
        shape[axis] = len(range(*part))
    starts, stops, steps = zip(*ranges.values(), strict=True)
    # ONNX counts a negative stop from the end: one before the beginning lies further.
    ends = [
        stop if stop >= 0 else -value.shape[axis] - 1
        for axis, stop in zip(ranges, stops, strict=True)
    ]
    axes = [value.stored_axis(axis) for axis in ranges]
    names = [graph.constant(list(part)) for part in (starts, ends, axes, steps)]
    name = graph.node("Slice", [value.name, *names])
    return graph.value(name, tuple(shape), like=value, levels=value.levels)


def _of_space(layer, value: Value, amounts: Sequence) -> dict[int, tuple[int, int]]:
    """The amounts of a Keras layer by axis of its input."""
    pairs = np.reshape(amounts, (-1, 2)).tolist()
    first = 2 if getattr(layer, "data_format", None) == "channels_first" else 1
    return {first + i: (before, after) for i, (before, after) in enumerate(pairs)}
