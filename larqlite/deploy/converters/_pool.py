"""Pooling: over windows, and over all of space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._identity import without_mask
from larqlite.onnx_graph import spatial_shape, window_pads, without_axes

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers


@converter(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
def convert_max_pooling(graph: Writer, layer, value: Value) -> Value:
    """`MaxPool`."""
    return _of_layer(graph, layer, value, "MaxPool")


@converter(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
def convert_average_pooling(graph: Writer, layer, value: Value) -> Value:
    """`AveragePool`; what is padded is left out of the mean."""
    return _of_layer(graph, layer, value, "AveragePool")


@converter(
    layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D
)
def convert_global_max_pooling(graph: Writer, layer, value: Value) -> Value:
    """`ReduceMax` over space."""
    return _over_space(graph, layer, value, "ReduceMax").with_levels(value.levels)


@converter(
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
)
def convert_global_average_pooling(
    graph: Writer, layer, value: Value, mask=None
) -> Value:
    """`ReduceMean` over space."""
    without_mask(graph, layer, mask)
    return _over_space(graph, layer, value, "ReduceMean")


def pooled(
    graph: Writer,
    value: Value,
    op: str,
    size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    data_format: str,
) -> Value:
    """A value pooled over windows.

    Args:
        graph: the graph.
        value: of the Keras layout `data_format`.
        op: "MaxPool" or "AveragePool".
        size, strides: of the window, one number for each axis of space.
        padding: "same" or "valid", in any case.
        data_format: "channels_last" or "channels_first".
    """
    value = graph.image(value, data_format)
    space = spatial_shape(value)
    pads = window_pads(space, size, strides, [1] * len(size), padding)
    half = len(pads) // 2
    lengths = [
        (length + before + after - kernel) // stride + 1
        for length, before, after, kernel, stride in zip(
            space, pads[:half], pads[half:], size, strides, strict=True
        )
    ]
    name = graph.node(
        op,
        [value.name],
        kernel_shape=list(size),
        strides=list(strides),
        pads=pads,
    )
    stored = (*value.stored_shape[:2], *lengths)
    shape = (stored[0], *lengths, stored[1]) if value.is_moved else stored
    levels = value.levels if op == "MaxPool" else None
    return graph.value(name, shape, like=value, levels=levels)


def _of_layer(graph: Writer, layer, value: Value, op: str) -> Value:
    size, strides = (
        np.ravel(numbers).tolist() for numbers in (layer.pool_size, layer.strides)
    )
    return pooled(graph, value, op, size, strides, layer.padding, layer.data_format)


def _over_space(graph: Writer, layer, value: Value, op: str) -> Value:
    value = graph.image(value, layer.data_format)
    space = graph.constant(list(range(2, value.rank)))
    name = graph.node(op, [value.name, space], keepdims=int(layer.keepdims))
    first = 1 if value.is_moved else 2
    axes = range(first, first + value.rank - 2)
    if not layer.keepdims:
        return without_axes(graph, name, value, axes)
    shape = tuple(1 if i in axes else size for i, size in enumerate(value.shape))
    return graph.value(name, shape, like=value)
