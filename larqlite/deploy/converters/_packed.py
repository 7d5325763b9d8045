"""Layers with packed kernels: convolutions and densely connected ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from larqlite import layers
from larqlite.deploy._converter_tables import converter, refused
from larqlite.deploy.converters._accumulators import (
    Accumulators,
    PackedOperation,
    Term,
    accumulated,
)
from larqlite.deploy.converters._conv import image
from larqlite.deploy.converters._kernels import kernel_of
from larqlite.deploy.converters._packed_layer import (
    finished,
    input_type,
    packed_layer,
    quantized_input,
    scaled_accumulators,
)
from larqlite.onnx_graph import (
    conv_pads,
    output_shape,
    refuse,
    spatial_shape,
    transposed_dilation,
    transposed_pads,
)
from larqlite_runtime.format import ValueType, sums

if TYPE_CHECKING:
    from larqlite.onnx_graph import Shape, Value, Writer


@converter(layers.QuantConv1D, layers.QuantConv2D, layers.QuantConv3D)
def convert_convolution(graph: Writer, layer, value: Value) -> Value:
    """One packed node."""
    kernel = kernel_of(layer, graph.path, "kernel", channels_out_first)
    source = image(graph, layer, value)
    operation = _convolution(layer, source, graph.path, layer.groups)
    return packed_layer(graph, layer, source, kernel, operation)


@converter(layers.QuantDepthwiseConv1D, layers.QuantDepthwiseConv2D)
def convert_depthwise(graph: Writer, layer, value: Value) -> Value:
    """One packed node with a group for each channel."""
    kernel = kernel_of(layer, graph.path, "depthwise_kernel", one_group_a_channel)
    source = image(graph, layer, value)
    channels = layer.depthwise_kernel.shape[-2]
    operation = _convolution(layer, source, graph.path, channels)
    return packed_layer(graph, layer, source, kernel, operation)


@converter(layers.QuantSeparableConv1D, layers.QuantSeparableConv2D)
def convert_separable(graph: Writer, layer, value: Value) -> Value:
    """Two packed nodes: the sums of the depthwise part are what the pointwise part takes."""
    depthwise = kernel_of(layer, graph.path, "depthwise_kernel", one_group_a_channel)
    pointwise = kernel_of(layer, graph.path, "pointwise_kernel", channels_out_first)
    source = image(graph, layer, value)
    quantized = quantized_input(graph, layer, source)
    *_, channels, multiplier = layer.depthwise_kernel.shape
    name = f"{graph.path}/depthwise"
    shape = list(output_shape(layer, value.shape))
    shape[_channel_axis(layer)] = channels * multiplier
    operation = _convolution(layer, quantized, name, channels, tuple(shape))
    inner = accumulated(graph, quantized, input_type(quantized), depthwise, operation)
    operation = _pointwise(layer, value, graph.path)
    is_uneven = inner.scale is not None and inner.scale.size > 1
    if is_uneven or inner.terms or inner.offset is not None:
        scaled = scaled_accumulators(graph, inner, "depthwise_scale", f"{name}/scaled")
        result = accumulated(graph, scaled, None, pointwise, operation)
    else:
        value_type = _type_of_accumulators(inner)
        result = accumulated(graph, inner.value, value_type, pointwise, operation)
        result = _times(result, inner.scale)
    return finished(
        graph, layer, source, quantized, result, [depthwise, pointwise], inner
    )


@converter(
    layers.QuantConv1DTranspose,
    layers.QuantConv2DTranspose,
    layers.QuantConv3DTranspose,
)
def convert_transposed(graph: Writer, layer, value: Value) -> Value:
    """One packed node, cropped as TensorFlow does it."""
    if layer.groups != 1:
        raise refuse(
            layer,
            graph.path,
            f"groups={layer.groups}, which Keras does not compute for this layer",
            "groups=1",
        )
    # Quantizers scale along the last axis, which here is that of the channels in.
    kernel = kernel_of(
        layer, graph.path, "kernel", transposed_channels_out_first, (0, -1)
    )
    source = image(graph, layer, value)
    pads, output_padding = transposed_pads(layer, spatial_shape(source))
    operation = PackedOperation(
        "ConvTranspose",
        graph.path,
        output_shape(layer, value.shape),
        {
            "strides": list(layer.strides),
            "dilations": list(transposed_dilation(layer)),
            "group": 1,
            "pads": pads,
            "output_padding": output_padding,
        },
    )
    return packed_layer(graph, layer, source, kernel, operation)


for _cls in (layers.QuantLocallyConnected1D, layers.QuantLocallyConnected2D):
    refused(
        _cls,
        "locally connected layers have a kernel for each position, for which there is "
        "no packed operation",
        "use a QuantConv layer, which shares its kernel between positions",
    )


def channels_out_first(kernel: np.ndarray) -> np.ndarray:
    """`(*size, channels_in, channels_out)` as `(channels_out, *size, channels_in)`."""
    return np.moveaxis(kernel, -1, 0)


def one_group_a_channel(kernel: np.ndarray) -> np.ndarray:
    """`(*size, channels, multiplier)` as `(channels * multiplier, *size, 1)`."""
    return channels_out_first(kernel.reshape((*kernel.shape[:-2], 1, -1)))


def transposed_channels_out_first(kernel: np.ndarray) -> np.ndarray:
    """`(*size, channels_out, channels_in)` as `(channels_out, *size, channels_in)`."""
    return np.moveaxis(kernel, -2, 0)


def _convolution(
    layer, value: Value, name: str, group: int, shape: Shape | None = None
) -> PackedOperation:
    return PackedOperation(
        "Conv",
        name,
        output_shape(layer, value.shape) if shape is None else shape,
        {
            "strides": list(layer.strides),
            "dilations": list(layer.dilation_rate),
            "group": group,
            "pads": conv_pads(layer, spatial_shape(value)),
        },
        _pad_value(layer),
    )


def _pad_value(layer) -> float:
    """What the pads are filled with; Keras pads with zeros unless it is "same"."""
    return float(layer.pad_values) if layer.padding == "same" else 0.0


def _pointwise(layer, value: Value, name: str) -> PackedOperation:
    ones, zeros = [1] * layer.rank, [0] * layer.rank
    return PackedOperation(
        "Conv",
        name,
        output_shape(layer, value.shape),
        {"strides": ones, "dilations": ones, "group": 1, "pads": zeros * 2},
    )


def _type_of_accumulators(inner: Accumulators) -> ValueType | None:
    """The accumulators of the depthwise part as the levels of an input."""
    if inner.largest is None:
        return None
    largest = int(inner.largest.max())
    return sums(largest)


def _times(result: Accumulators, scale: np.ndarray | None) -> Accumulators:
    """Sums of accumulators that are themselves still to be scaled by one number."""
    if scale is None:
        return result

    def scaled(own: np.ndarray | None) -> np.ndarray:
        return (np.ones(1) if own is None else own) * scale

    terms = tuple(Term(term.value, scaled(term.scale)) for term in result.terms)
    return dataclasses.replace(result, scale=scaled(result.scale), terms=terms)


def _channel_axis(layer) -> int:
    return -1 if layer.data_format == "channels_last" else 1


@converter(layers.QuantDense)
def convert_dense(graph: Writer, layer, value: Value) -> Value:
    """One packed node over the last axis."""
    kernel = kernel_of(layer, graph.path, "kernel", np.transpose)
    source = graph.channels_last(value)
    shape = (*value.shape[:-1], layer.units)
    operation = PackedOperation("Dense", graph.path, shape)
    return packed_layer(graph, layer, source, kernel, operation)
