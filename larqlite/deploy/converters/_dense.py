"""Fully connected layers with float kernels, and embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._conv import bias_names, conv_kernel
from larqlite.deploy.converters._dispatch import activation
from larqlite.onnx_graph import as_in_first_use, refuse

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers


@converter(layers.Dense)
def convert_dense(graph: Writer, layer, value: Value) -> Value:
    """`Gemm` on two axes, `Conv` on a tensor stored channels first, else `MatMul`."""
    value = as_in_first_use(graph, value)
    kernel = np.asarray(layer.kernel)
    if value.is_moved:
        ones = (1,) * (value.rank - 2)
        kernel = conv_kernel(kernel.reshape((*ones, *kernel.shape)))
    weight = graph.weight(graph.path, "kernel", kernel, variable=layer.kernel)
    bias = bias_names(graph, layer)
    shape = (*value.shape[:-1], layer.units)
    if value.rank == 2 or value.is_moved:
        op = "Gemm" if value.rank == 2 else "Conv"
        name = graph.node(op, [value.name, weight, *bias], name=graph.path)
    else:
        name = graph.node("MatMul", [value.name, weight])
        if bias:
            graph.value(name, shape, like=value)
            name = graph.node("Add", [name, *bias], name=graph.path)
    outputs = graph.value(name, shape, like=value)
    return activation(graph, outputs, layer.activation, graph.path)


@converter(layers.Embedding)
def convert_embedding(graph: Writer, layer, value: Value) -> Value:
    """`Gather`; the indices are cast to integers as Keras does it."""
    if layer.mask_zero:
        raise refuse(
            layer,
            graph.path,
            "mask_zero=True hides time steps from the layers after it",
            "build it with mask_zero=False",
        )
    value = graph.channels_last(value)
    table = graph.weight(
        graph.path,
        "embeddings",
        np.asarray(layer.embeddings),
        variable=layer.embeddings,
    )
    indices = graph.node("Cast", [value.name], to=7)
    name = graph.node("Gather", [table, indices], name=graph.path, axis=0)
    return graph.value(name, (*value.shape, layer.output_dim))
