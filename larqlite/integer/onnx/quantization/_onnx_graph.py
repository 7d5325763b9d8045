"""An ONNX graph looked up by name: who gives and takes a tensor, sizes, constants."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["OnnxGraph", "attributes_of", "tensors_taken"]


def attributes_of(node: onnx.NodeProto) -> dict:
    """The attributes of a node as Python values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


class OnnxGraph:
    """A model's graph.

    Attributes:
        model: the model.
        nodes: in the order in which they run.
        outputs: names of the graph's outputs.
        input: the one input that is no initializer.
    """

    def __init__(self, model: onnx.ModelProto):
        self.model = model
        self.nodes = list(model.graph.node)
        self.outputs = {output.name for output in model.graph.output}
        self._initializers = {i.name: i for i in model.graph.initializer}
        given = [i for i in model.graph.input if i.name not in self._initializers]
        self.input = given[0]
        self._consumers: dict[str, list[int]] = {}
        self._producers: dict[str, int] = {}
        for index, node in enumerate(self.nodes):
            for tensor in dict.fromkeys(tensors_taken(node)):
                self._consumers.setdefault(tensor, []).append(index)
            self._producers.update(dict.fromkeys(node.output, index))
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        known = [*inferred.input, *inferred.value_info, *inferred.output]
        self._types = {info.name: info.type.tensor_type for info in known}

    def consumers(self, tensor: str) -> list[int]:
        """Numbers of the nodes that take a tensor, also inside their subgraphs."""
        return self._consumers.get(tensor, [])

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor does not depend on the input."""
        return self.constant(tensor) is not None

    def constant(self, tensor: str) -> np.ndarray | None:
        """The values of an initializer or a `Constant` node."""
        if tensor in self._initializers:
            return numpy_helper.to_array(self._initializers[tensor])
        index = self._producers.get(tensor)
        if index is None or self.nodes[index].op_type != "Constant":
            return None
        value = helper.get_attribute_value(self.nodes[index].attribute[0])
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        return np.asarray(value)

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """Sizes of a tensor, None for open ones; None if the rank is unknown."""
        constant = self._initializers.get(tensor)
        if constant is not None:
            return tuple(constant.dims)
        kind = self._types.get(tensor)
        if kind is None or not kind.HasField("shape"):
            return None
        dims = kind.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)

    def rank(self, tensor: str) -> int | None:
        """The number of axes of a tensor, None if unknown."""
        shape = self.shape(tensor)
        return None if shape is None else len(shape)

    def names_of(self, node: onnx.NodeProto) -> set[str]:
        """What patterns call a node: its type, or what it does."""
        name = node.op_type
        if node.domain not in ("", "ai.onnx"):
            return {name}
        if name == "Conv":
            shape = self.shape(node.input[1])
            groups = attributes_of(node).get("group", 1)
            is_depthwise = groups > 1 and shape is not None and shape[1] == 1
            return {"DepthwiseConv"} if is_depthwise else {"Conv"}
        if name == "Clip" and self._lower_bound(node) == 0:
            return {"Clip", "Relu"}
        if name == "MatMul" and self._has_matrix(node):
            return {"MatMul", "Gemm"}
        if name == "ReduceMean" and self._is_over_image(node):
            return {"ReduceMean", "GlobalAveragePool"}
        if name in ("Reshape", "Squeeze") and self._flattens(node):
            return {name, "Flatten"}
        return {name}

    def _lower_bound(self, node: onnx.NodeProto) -> float | None:
        bound = self.constant(node.input[1]) if len(node.input) > 1 else None
        return None if bound is None else float(bound.reshape(-1)[0])

    def _has_matrix(self, node: onnx.NodeProto) -> bool:
        weights = self.constant(node.input[1])
        is_matrix = weights is not None and weights.ndim == 2
        return is_matrix and self.rank(node.input[0]) == 2

    def _is_over_image(self, node: onnx.NodeProto) -> bool:
        axes = self.constant(node.input[1]) if len(node.input) > 1 else None
        if axes is None or self.rank(node.input[0]) != 4:
            return False
        return sorted(int(axis) % 4 for axis in axes) == [2, 3]

    def _flattens(self, node: onnx.NodeProto) -> bool:
        before, after = self.shape(node.input[0]), self.shape(node.output[0])
        if not before or not after or len(after) != 2 or None in before[1:]:
            return False
        return math.prod(before[1:]) == after[1] and before[0] == after[0]


def tensors_taken(node: onnx.NodeProto) -> list[str]:
    """Tensors that a node takes, and those that its subgraphs take from around it."""
    taken = [tensor for tensor in node.input if tensor]
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                taken += tensors_taken(inner)
            taken += [output.name for output in graph.output]
    return taken
