"""Tokens of transformers: one more, numbers added to each, one of them taken."""

from __future__ import annotations

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, integers_of, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import aligned, wide
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.export.onnx.converters._shape import one_bound
from larqlite.integer.layers.internal import index_of


@converts(layers.QuantizedClassToken)
def convert_class_token(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Concat` of the token, repeated for each sample, and the input."""
    probe = layer.in_buffer(x.probe())
    token = whole(integers_of(layer.cls_quantizer(layer.cls, probe)))
    ends = np.min(token, axis=(0, 1)), np.max(token, axis=(0, 1))
    low, high = np.minimum(x.low, ends[0]), np.maximum(x.high, ends[1])
    x = graph.channels_last(x)
    if x.ends != (int(np.min(low)), int(np.max(high))):
        x = wide(graph, x, low, high)
    batch = graph.node("Shape", [x.name], start=0, end=1)
    sizes = graph.node("Concat", [batch, graph.constant([1, x.shape[-1]])], axis=0)
    first = graph.node("Expand", [graph.exact(token, "cls", x.kind), sizes])
    name = graph.node("Concat", [first, x.name], axis=1)
    shape = (None, x.shape[1] + 1, x.shape[2])
    return graph.like(x, name, shape=shape, low=whole(low), high=whole(high))


@converts(layers.QuantizedAddPositionEmbs)
def convert_position_embeddings(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Add` of one integer for each position and channel."""
    probe = layer.in_buffer(x.probe())
    offsets = whole(integers_of(layer.pe_quantizer(layer.pe, probe)))
    x = graph.channels_last(aligned(graph, x, layer.buffer_bits))
    low = whole(x.low + np.min(offsets, axis=(0, 1)))
    high = whole(x.high + np.max(offsets, axis=(0, 1)))
    x = wide(
        graph, x, np.minimum(low, np.min(offsets)), np.maximum(high, np.max(offsets))
    )
    name = graph.node("Add", [x.name, graph.exact(offsets, "pe", x.kind)])
    return graph.like(x, name, low=low, high=high)


@converts(layers.QuantizedExtractToken)
def convert_extract_token(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Gather` of one index."""
    x = graph.channels_last(x)
    axis = layer.axis % x.rank
    token = index_of(layer.token, layer.axis, x.probe())
    name = graph.node(
        "Gather", [x.name, graph.stored(np.int64(token), "token")], axis=axis
    )
    shape = tuple(size for i, size in enumerate(x.shape) if i != axis)
    changes = one_bound(x) if axis == x.rank - 1 else {}
    return graph.like(x, name, shape=shape, **changes)
