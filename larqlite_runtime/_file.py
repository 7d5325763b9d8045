"""Reads a packed model: bytes of a file into a checked `Graph`."""

from __future__ import annotations

import os

import numpy as np
import onnx
from onnx import numpy_helper

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime._graph import Graph, Node

DEFAULT_BUDGET = 2 << 30


def read(
    path_or_bytes: str | os.PathLike | bytes,
    budget: int = DEFAULT_BUDGET,
    batch: int = 1,
) -> Graph:
    """The model in a file, without any of the checks yet."""
    data = path_or_bytes
    if not isinstance(data, bytes):
        with open(path_or_bytes, "rb") as file:
            data = file.read()
    model = onnx.ModelProto.FromString(data)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    graph = Graph(
        metadata={item.key: item.value for item in model.metadata_props},
        constants={
            item.name: numpy_helper.to_array(item) for item in model.graph.initializer
        },
    )
    for number, node in enumerate(model.graph.node):
        attributes = {item.name: _value(item) for item in node.attribute}
        if node.op_type == "Constant":
            graph.constants[node.output[0]] = np.asarray(attributes["value"])
            continue
        name = node.name or f"{node.op_type}:{number}"
        graph.nodes.append(
            Node(
                node.op_type,
                node.domain,
                name,
                tuple(node.input),
                tuple(node.output),
                attributes,
            )
        )
    for item in [*inferred.value_info, *inferred.input, *inferred.output]:
        kind = item.type.tensor_type
        graph.shapes[item.name] = tuple(
            None if dim.dim_param else dim.dim_value for dim in kind.shape.dim
        )
        graph.dtypes[item.name] = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    for name, array in graph.constants.items():
        graph.shapes[name] = array.shape
        graph.dtypes[name] = array.dtype
    graph.inputs = {item.name: graph.shapes[item.name] for item in inferred.input}
    graph.outputs = {item.name: graph.shapes[item.name] for item in inferred.output}
    missing = [
        name
        for node in graph.nodes
        for name in node.outputs
        if name not in graph.shapes
    ]
    if missing:
        raise ModelFileError(f"no shape is known for the tensor {missing[0]!r}")
    return graph


def _value(attribute: onnx.AttributeProto):
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value if isinstance(value, (int, float)) else list(value)
