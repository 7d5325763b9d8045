"""Layers that move integers: reshapes, permutations, concatenations."""

from __future__ import annotations

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.onnx_graph import in_one_order, onnx_order


@converts(layers.QuantizedFlatten, layers.QuantizedReshape)
def convert_reshape(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Reshape`."""
    x = graph.channels_last(x)
    shape = (None, *layer.compute_output_shape(x.shape)[1:])
    if isinstance(layer, layers.QuantizedFlatten):
        shape = (None, int(np.prod(x.shape[1:])))
    name = graph.node("Reshape", [x.name, graph.constant([-1, *shape[1:]])])
    return graph.like(x, name, shape=shape, **_ends(x, shape[-1], x.shape[-1]))


@converts(layers.QuantizedPermute)
def convert_permute(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Transpose`."""
    x = graph.channels_last(x)
    order = [0, *layer.dims]
    name = graph.node("Transpose", [x.name], perm=order)
    shape = tuple(x.shape[axis] for axis in order)
    keeps = order[-1] == x.rank - 1
    return graph.like(x, name, shape=shape, **({} if keeps else one_bound(x)))


@converts(layers.QuantizedZeroPadding2D)
def convert_zero_padding(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Pad`."""
    x = graph.channels_first(x)
    amounts = graph.constant(onnx_order([(0, 0), (0, 0), *layer.padding]))
    name = graph.node("Pad", [x.name, amounts])
    shape = (None, *layer.compute_output_shape(x.shape)[1:])
    low, high = whole(np.minimum(x.low, 0)), whole(np.maximum(x.high, 0))
    return graph.like(x, name, shape=shape, low=low, high=high)


@converts(layers.QuantizedConcatenate)
def convert_concatenate(
    graph: IntegerWriter, layer, values: list[Integers]
) -> Integers:
    """`Concat` in the smallest type that holds all inputs."""
    values = in_one_order(graph, values)
    axis = layer.axis % values[0].rank
    kinds = {x.kind for x in values}
    kind = values[0].kind
    if len(kinds) > 1:
        kind = "int64" if "int64" in kinds else "int32"
        values = [graph.as_kind(x, kind) for x in values]
    shape = list(values[0].shape)
    shape[axis] = sum(x.shape[axis] for x in values)
    name = graph.node(
        "Concat", [x.name for x in values], axis=values[0].stored_axis(axis)
    )
    if axis == values[0].rank - 1:
        low, high = (
            np.concatenate([np.broadcast_to(end(x), (x.shape[-1],)) for x in values])
            for end in (lambda x: x.low, lambda x: x.high)
        )
    else:
        low = min(x.ends[0] for x in values)
        high = max(x.ends[1] for x in values)
    return graph.integers(name, tuple(shape), kind, low, high, values[0].is_moved)


def one_bound(x: Integers) -> dict:
    """The bounds of `x` as one for all channels."""
    low, high = x.ends
    return {"low": whole(low), "high": whole(high)}


def _ends(x: Integers, last: int, channels: int) -> dict:
    """Bounds after the last axis became `last` long."""
    if last == channels:
        return {}
    if last % channels:
        return one_bound(x)
    return {
        key: whole(np.tile(end, last // channels)) if end.ndim else end
        for key, end in (("low", x.low), ("high", x.high))
    }
