"""Convolutions: plain, grouped, depthwise, separable, transposed; and dense layers."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.converters import conv_kernel, depthwise_kernel, transposed_kernel
from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, bias_of, integers_of, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import aligned, plus, saturated
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.export.onnx._products import dense, reach, with_kernel
from larqlite.onnx_graph import (
    conv_pads,
    onnx_order,
    same_pads,
    spatial_shape,
    transposed_pads,
)


@converts(layers.QuantizedConv1D, layers.QuantizedConv2D)
def convert_convolution(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntConv` of what is aligned; a padding with values stands before it."""
    kernel = integers_of(layer.quantized_kernel())
    probe = layer.in_buffer(x.probe())
    if getattr(layer, "padding_value", None) is not None:
        x = _padded(graph, layer, x)
        probe = layer._padded(probe)
    x = graph.channels_first(aligned(graph, x, layer.buffer_bits))
    return _convolved(
        graph,
        layer,
        x,
        "IntConv",
        conv_kernel(kernel),
        probe,
        inputs_of=lambda v: _of_groups(v, kernel, layer.groups),
        pads=_pads(layer, x),
        group=layer.groups,
    )


@converts(layers.QuantizedDepthwiseConv2D)
def convert_depthwise(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntConv` with one group for each channel."""
    kernel = integers_of(layer.quantized_kernel())
    return _convolved(
        graph,
        layer,
        graph.channels_first(x),
        "IntConv",
        depthwise_kernel(kernel),
        layer.in_buffer(x.probe()),
        inputs_of=lambda v: np.repeat(v, kernel.shape[-1])[:, None, None, None],
        pads=_pads(layer, x),
        group=kernel.shape[-2],
    )


@converts(layers.QuantizedConv2DTranspose)
def convert_transposed(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntConvTranspose`; a dilated kernel has its zeros written out."""
    kernel = transposed_kernel(integers_of(layer.quantized_kernel()))
    probe = layer.in_buffer(x.probe())
    x = graph.channels_first(aligned(graph, x, layer.buffer_bits))
    pads, output_padding = transposed_pads(layer, spatial_shape(x))
    return _convolved(
        graph,
        layer,
        x,
        "IntConvTranspose",
        kernel,
        probe,
        inputs_of=lambda v: v[:, None, None, None],
        summed=(0, 2, 3),
        dilations=[1, 1],
        pads=pads,
        output_padding=output_padding,
        group=1,
    )


@converts(layers.QuantizedDepthwiseConv2DTranspose)
def convert_depthwise_transposed(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntConvTranspose` with one group for each channel."""
    kernel = integers_of(layer.quantized_kernel())
    channels = kernel.shape[2]
    probe = layer.in_buffer(x.probe())
    x = graph.channels_first(x)
    pads, output_padding = transposed_pads(layer, spatial_shape(x))
    return _convolved(
        graph,
        layer,
        x,
        "IntConvTranspose",
        np.transpose(kernel, (2, 3, 0, 1)),
        probe,
        inputs_of=lambda v: v[:, None, None, None],
        summed=(2, 3),
        dilations=[1, 1],
        pads=pads,
        output_padding=output_padding,
        group=channels,
    )


@converts(layers.QuantizedDense)
def convert_dense(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntMatMul`, plus the bias."""
    kernel = integers_of(layer.quantized_kernel())
    probe = layer.in_buffer(x.probe())
    x = graph.channels_last(aligned(graph, x, layer.buffer_bits))
    wide = whole(kernel)
    low, high = (_column(v) for v in (x.low, x.high))
    up, down = np.maximum(wide, 0), np.minimum(wide, 0)
    most = int(np.max(np.sum(abs(wide) * _column(x.most), axis=0)))
    name, kind = dense(graph, x, graph.exact(kernel, "kernel"), most)
    y = graph.integers(
        name,
        (*x.shape[:-1], kernel.shape[-1]),
        kind,
        np.sum(up * low + down * high, axis=0),
        np.sum(up * high + down * low, axis=0),
        False,
    )
    if not layer.use_bias:
        return y
    product = layer.product(probe, layer.quantized_kernel())
    y = saturated(graph, y, getattr(product, "fp", product).value_bits)
    return plus(graph, y, bias_of(layer.bias_quantizer, layer.bias, product), "bias")


def _convolved(
    graph: IntegerWriter,
    layer,
    x: Integers,
    op: str,
    kernel: np.ndarray,
    probe,
    inputs_of,
    summed: tuple[int, ...] | None = None,
    **attributes,
) -> Integers:
    """A convolution with its bias, which is inside of the sums if these cannot saturate."""
    product = layer.product(probe, layer.quantized_kernel())
    value_bits = getattr(product, "fp", product).value_bits
    summed = tuple(range(1, kernel.ndim)) if summed is None else summed
    bias = whole([0] * product.shape[-1])
    is_inside = np.max(reach(x, kernel, inputs_of, summed)) < 2**value_bits
    if layer.use_bias:
        bias = bias_of(layer.bias_quantizer, layer.bias, product)
    settings = {"strides": list(layer.strides), "dilations": list(layer.dilation_rate)}
    name, kind, low, high = with_kernel(
        graph,
        op,
        x,
        kernel,
        bias if is_inside else 0 * bias,
        inputs_of,
        summed,
        **{**settings, **attributes},
    )
    y = graph.integers(name, (None, *product.shape[1:]), kind, low, high, True)
    if is_inside:
        return y
    return plus(graph, saturated(graph, y, value_bits), bias, "bias")


def _pads(layer, x: Integers) -> list[int]:
    if getattr(layer, "padding_value", None) is not None:
        return [0] * 4
    return conv_pads(layer, spatial_shape(x))


def _of_groups(vector, kernel: np.ndarray, groups: int):
    """A vector for the input channels, for a kernel `(filters, in / groups, ...)`."""
    rows = np.repeat(vector.reshape(groups, -1), kernel.shape[-1] // groups, axis=0)
    return rows.reshape(*rows.shape, *[1] * (kernel.ndim - 2))


def _column(vector):
    return vector[:, None] if vector.ndim else vector


def _padded(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """The input with the layer's padding values around it."""
    padded = integers_of(layer._padded(layer.in_buffer(x.probe())))
    # Its probe is of zeros, and the last cell is one of those around it, if any is.
    around = whole(padded[0, -1, -1])
    if padded.shape[1:3] == tuple(x.shape[1:3]):
        return x
    geometry = (layer.kernel_size, layer.strides, layer.dilation_rate)
    pairs = [
        same_pads(*numbers) for numbers in zip(x.shape[1:3], *geometry, strict=True)
    ]
    inner = plus(graph, graph.channels_first(x), -around, "minus_padding")
    amounts = graph.constant(onnx_order([(0, 0), (0, 0), *pairs]))
    name = graph.node("Pad", [inner.name, amounts])
    low, high = np.minimum(inner.low, 0), np.maximum(inner.high, 0)
    shape = (None, *padded.shape[1:])
    outer = graph.like(inner, name, shape=shape, low=whole(low), high=whole(high))
    outer = plus(graph, outer, around, "padding")
    return graph.like(
        outer,
        outer.name,
        low=np.minimum(x.low, around),
        high=np.maximum(x.high, around),
        qparams=x.qparams,
    )
