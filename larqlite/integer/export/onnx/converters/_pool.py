"""Pooling and upsampling: the largest, the sum, copies."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.converters import depthwise_kernel
from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import saturated, wide
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.export.onnx._products import with_kernel
from larqlite.integer.export.onnx.converters._simple import product_of
from larqlite.onnx_graph import spatial_shape, window_pads
from larqlite.primitives import float_type, int_type


@converts(layers.QuantizedMaxPool2D)
def convert_max_pool(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntMaxPool`, in a type that a runtime has and that holds the integers."""
    x = _with_zeros_kept(graph, graph.channels_first(x))
    through = x.kind
    if x.kind in ("int32", "int64"):
        through = float_type(np.max(x.most))
    name = graph.function(
        "IntMaxPool",
        [x.name],
        kernel_shape=list(layer.pool_size),
        strides=list(layer.strides),
        pads=_pads(layer, x),
        through=through,
        to=x.kind,
    )
    return graph.like(x, name, shape=_shape(layer, x))


@converts(layers.QuantizedGlobalAveragePooling2D)
def convert_global_average(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`ReduceSum` over space; the division is part of the scale."""
    count = x.shape[1] * x.shape[2]
    low, high = whole(x.low * count), whole(x.high * count)
    x = wide(graph, x, low, high)
    axes = graph.constant([2, 3] if x.is_moved else [1, 2])
    name = graph.node("ReduceSum", [x.name, axes], keepdims=int(layer.keepdims))
    return graph.integers(
        name, _shape(layer, x), x.kind, low, high, x.is_moved and layer.keepdims
    )


@converts(layers.QuantizedAveragePooling2D)
def convert_average_pool(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntConv` with ones, times a whole number at the borders."""
    x = graph.channels_first(x)
    channels = x.shape[-1]
    name, kind, low, high = with_kernel(
        graph,
        "IntConv",
        x,
        depthwise_kernel(np.ones((*layer.pool_size, channels, 1), np.int64)),
        np.zeros(channels, np.int64),
        inputs_of=lambda v: v[:, None, None, None],
        summed=(1, 2, 3),
        strides=list(layer.strides),
        dilations=[1, 1],
        pads=_pads(layer, x),
        group=channels,
    )
    y = graph.integers(name, _shape(layer, x), kind, low, high, True)
    y = saturated(graph, y, layer.quant_config["buffer_bitwidth"])
    factors, _ = layer._factors(x.shape)
    if factors is None:
        return y
    integers = np.moveaxis(factors, -1, 1).astype(np.int64)
    kind = int_type(np.max(y.most) * int(integers.max()))
    constant = graph.integers(
        graph.exact(integers, "factors", kind),
        factors.shape,
        kind,
        int(integers.min()),
        int(integers.max()),
        True,
    )
    return product_of(graph, y, constant)


@converts(layers.QuantizedUpSampling2D)
def convert_upsampling(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """Copies of rows and columns, by `Expand` and `Reshape`."""
    x = graph.channels_first(x)
    channels = x.shape[-1]
    height, width = spatial_shape(x)
    down, across = layer.size
    name = graph.node(
        "Reshape", [x.name, graph.constant([-1, channels, height, 1, width, 1])]
    )
    repeats = graph.constant([1, 1, 1, down, 1, across])
    name = graph.node("Expand", [name, repeats])
    sizes = graph.constant([-1, channels, height * down, width * across])
    name = graph.node("Reshape", [name, sizes])
    return graph.like(x, name, shape=(None, height * down, width * across, channels))


def _pads(layer, x: Integers) -> list[int]:
    return window_pads(
        spatial_shape(x), layer.pool_size, layer.strides, (1, 1), layer.padding
    )


def _shape(layer, x: Integers) -> tuple:
    return (None, *layer.compute_output_shape(x.shape)[1:])


def _with_zeros_kept(graph: IntegerWriter, x: Integers) -> Integers:
    """Zeros around an image, kept from optimizers that make them pads of the pooling.

    ONNX Runtime before 1.32 does so, and pads of a pooling are no zeros. Bounds that all
    values have already keep the two apart.
    """
    source = graph.upstream(x.name, ("Identity", "Cast", "Transpose", "Reshape"))[-1]
    node = graph.producer(source)
    if node is None or node.domain or node.op != "Pad":
        return x
    ends = {"lowest": np.min(x.low), "highest": np.max(x.high)}
    bounds = [graph.stored(np.array(end, x.kind), key) for key, end in ends.items()]
    return graph.like(x, graph.node("Clip", [x.name, *bounds]))
