"""Separable convolutions: a depthwise one, a rounding shift, a pointwise one."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.converters import conv_kernel, depthwise_kernel
from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, bias_of, integers_of, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import plus, rounded, saturated
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.export.onnx._products import with_kernel
from larqlite.integer.layers.internal import kernel_sums
from larqlite.integer.tensors.internal import MAX_VALUE_BITS, depthwise_convolution
from larqlite.onnx_graph import conv_pads, spatial_shape


@converts(layers.QuantizedSeparableConv2D)
def convert_separable(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntConv` by channels, `IntRequantize` by the shift between, `IntConv` of 1x1."""
    probe = layer.in_buffer(x.probe())
    depthwise = layer.dw_weight_quantizer(layer.depthwise_kernel)
    pointwise = layer.pw_weight_quantizer(layer.pointwise_kernel)
    between = depthwise_convolution(
        probe, depthwise, layer.strides, layer.padding, layer.dilation_rate
    )
    fp, limit = getattr(between, "fp", between), getattr(probe, "fp", probe).limit
    frac_bits = layer._frac_bits_between(
        fp.frac_bits,
        limit * kernel_sums(depthwise, (0, 1)),
        kernel_sums(pointwise, (0, 1, 2)),
    )
    shift = whole(frac_bits.numpy()) - whole(fp.frac_bits.numpy())
    y = _depthwise(
        graph, layer, graph.channels_first(x), integers_of(depthwise), between.shape
    )
    y = saturated(graph, y, fp.value_bits)
    if np.any(shift):
        y = rounded(graph, y, whole(1), shift, MAX_VALUE_BITS)
    kernel = integers_of(pointwise)
    filters = kernel.shape[-1]
    name, kind, low, high = with_kernel(
        graph,
        "IntConv",
        y,
        conv_kernel(kernel),
        np.zeros(filters, np.int64),
        inputs_of=lambda v: v[None, :, None, None],
        summed=(1, 2, 3),
        strides=[1, 1],
        dilations=[1, 1],
        pads=[0] * 4,
        group=1,
    )
    z = graph.integers(name, (*y.shape[:-1], filters), kind, low, high, True)
    if not layer.use_bias:
        return z
    product = layer._pointwise(between, limit, depthwise, pointwise)
    z = saturated(graph, z, fp.value_bits)
    return plus(graph, z, bias_of(layer.bias_quantizer, layer.bias, product), "bias")


def _depthwise(graph, layer, x: Integers, kernel: np.ndarray, shape) -> Integers:
    channels, multiplier = kernel.shape[2:]
    name, kind, low, high = with_kernel(
        graph,
        "IntConv",
        x,
        depthwise_kernel(kernel),
        np.zeros(channels * multiplier, np.int64),
        inputs_of=lambda v: np.repeat(v, multiplier)[:, None, None, None],
        summed=(1, 2, 3),
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        pads=conv_pads(layer, spatial_shape(x)),
        group=channels,
    )
    return graph.integers(name, (None, *shape[1:]), kind, low, high, True)
