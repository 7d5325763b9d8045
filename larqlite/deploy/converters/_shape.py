"""Layers that only move numbers: flatten, reshape, permute, repeat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tf_keras

from larqlite.deploy._registry import converter
from larqlite.onnx_graph import expanded, output_shape, permuted, reshaped

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
