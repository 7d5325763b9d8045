"""Densely connected layers with packed kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from larqlite import layers
from larqlite.deploy._registry import converter
from larqlite.deploy.converters._accumulators import PackedOperation, accumulated
from larqlite.deploy.converters._kernels import kernel_of
from larqlite.deploy.converters._packed_layer import (
    finished,
    input_dtype,
    quantized_input,
)

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer


@converter(layers.QuantDense)
def convert_dense(graph: Writer, layer, value: Value) -> Value:
    """One packed node over the last axis."""
    kernel = kernel_of(layer, graph.path, "kernel", np.transpose)
    source = graph.channels_last(value)
    quantized = quantized_input(graph, layer, source)
    shape = (*value.shape[:-1], layer.units)
    operation = PackedOperation("Dense", graph.path, shape)
    result = accumulated(graph, quantized, input_dtype(quantized), kernel, operation)
    return finished(graph, layer, source, quantized, result, [kernel])
