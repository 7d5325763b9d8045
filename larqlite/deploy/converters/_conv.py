"""Convolutions with float kernels: plain, grouped, depthwise, separable, transposed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._dispatch import activation
from larqlite.onnx_graph import (
    conv_pads,
    output_shape,
    refuse,
    spatial_shape,
    transposed_dilation,
    transposed_pads,
)

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers


@converter(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def convert_convolution(graph: Writer, layer, value: Value) -> Value:
    """`Conv`; causal padding becomes pads before the axis."""
    kernel = graph.weight(
        graph.path, "kernel", conv_kernel(layer.kernel), variable=layer.kernel
    )
    outputs = convolved(graph, layer, value, kernel, group=layer.groups, bias=True)
    return activation(graph, outputs, layer.activation, graph.path)


@converter(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def convert_depthwise(graph: Writer, layer, value: Value) -> Value:
    """`Conv` with one group for each channel."""
    kernel = graph.weight(
        graph.path,
        "depthwise_kernel",
        depthwise_kernel(layer.depthwise_kernel),
        variable=layer.depthwise_kernel,
    )
    channels = layer.depthwise_kernel.shape[-2]
    outputs = convolved(graph, layer, value, kernel, group=channels, bias=True)
    return activation(graph, outputs, layer.activation, graph.path)


@converter(layers.SeparableConv1D, layers.SeparableConv2D)
def convert_separable(graph: Writer, layer, value: Value) -> Value:
    """A depthwise `Conv`, then a pointwise one."""
    depthwise, pointwise = (
        graph.weight(graph.path, name, array, variable=getattr(layer, name))
        for name, array in (
            ("depthwise_kernel", depthwise_kernel(layer.depthwise_kernel)),
            ("pointwise_kernel", conv_kernel(layer.pointwise_kernel)),
        )
    )
    *_, channels, multiplier = layer.depthwise_kernel.shape
    inner = convolved(
        graph, layer, value, depthwise, group=channels, filters=channels * multiplier
    )
    inputs = [inner.name, pointwise, *bias_names(graph, layer)]
    name = graph.node("Conv", inputs, name=graph.path)
    shape = output_shape(layer, value.shape)
    outputs = graph.value(name, shape, like=inner)
    return activation(graph, outputs, layer.activation, graph.path)


@converter(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def convert_transposed(graph: Writer, layer, value: Value) -> Value:
    """`ConvTranspose`, cropped as TensorFlow does it."""
    if layer.groups != 1:
        raise refuse(
            layer,
            graph.path,
            f"groups={layer.groups}, which Keras does not compute for this layer",
            "groups=1",
        )
    kernel = graph.weight(
        graph.path, "kernel", transposed_kernel(layer.kernel), variable=layer.kernel
    )
    outputs = transposed_convolved(graph, layer, value, kernel)
    return activation(graph, outputs, layer.activation, graph.path)


def convolved(
    graph: Writer,
    layer,
    value: Value,
    kernel: str,
    group: int = 1,
    filters: int | None = None,
    bias: bool = False,
) -> Value:
    """A `Conv` with the strides, dilation and padding of a Keras layer.

    Args:
        graph: the graph.
        layer: a convolution, depthwise or separable too.
        value: its input.
        kernel: name of a tensor `(filters, channels / group, *kernel_size)`.
        group: the number of groups.
        filters: how many channels come out; those of the layer's output by default.
        bias: whether to add the layer's bias.
    """
    value = image(graph, layer, value)
    inputs = [value.name, kernel, *(bias_names(graph, layer) if bias else ())]
    name = graph.node(
        "Conv",
        inputs,
        name=graph.path if filters is None else None,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        dilations=list(layer.dilation_rate),
        pads=conv_pads(layer, spatial_shape(value)),
        group=group,
    )
    shape = list(output_shape(layer, value.shape))
    if filters is not None:
        shape[-1 if layer.data_format == "channels_last" else 1] = filters
    return graph.value(name, tuple(shape), like=value)


def transposed_convolved(graph: Writer, layer, value: Value, kernel: str) -> Value:
    """A `ConvTranspose` with the geometry and bias of a transposed Keras layer.

    Args:
        graph: the graph.
        layer: a transposed convolution.
        value: its input.
        kernel: name of a tensor `(channels, filters, *kernel_size)`.
    """
    value = image(graph, layer, value)
    pads, output_padding = transposed_pads(layer, spatial_shape(value))
    name = graph.node(
        "ConvTranspose",
        [value.name, kernel, *bias_names(graph, layer)],
        name=graph.path,
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.strides),
        dilations=list(transposed_dilation(layer)),
        pads=pads,
        output_padding=output_padding,
    )
    return graph.value(name, output_shape(layer, value.shape), like=value)


def image(graph: Writer, layer, value: Value) -> Value:
    """The input of a convolution, stored channels first.

    Raises:
        UnsupportedLayerError: it has more axes than batch, space and channels.
    """
    if value.rank != layer.rank + 2:
        raise refuse(
            layer,
            graph.path,
            f"its input of the shape {value.shape} has {value.rank} axes",
            f"reshape it to {layer.rank + 2} axes: batch, space and channels",
        )
    return graph.image(value, layer.data_format)


def bias_names(graph: Writer, layer) -> list[str]:
    """The name of a layer's bias, or nothing if it has none."""
    if not layer.use_bias:
        return []
    bias = np.asarray(layer.bias)
    return [graph.weight(graph.path, "bias", bias, variable=layer.bias)]


def conv_kernel(kernel) -> np.ndarray:
    """`(*size, channels, filters)` as `(filters, channels, *size)`."""
    kernel = np.asarray(kernel)
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def depthwise_kernel(kernel) -> np.ndarray:
    """`(*size, channels, multiplier)` as `(channels * multiplier, 1, *size)`."""
    kernel = np.asarray(kernel)
    merged = kernel.reshape((*kernel.shape[:-2], 1, -1))
    return conv_kernel(merged)


def transposed_kernel(kernel) -> np.ndarray:
    """`(*size, filters, channels)` as `(channels, filters, *size)`."""
    return conv_kernel(kernel)
