"""The graph of a float ONNX model: sizes, constants, and what patterns call its nodes."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from larqlite.onnx_graph import OnnxGraph, OnnxNode, node_of

__all__ = ["FloatGraph"]


class FloatGraph(OnnxGraph):
    """A model's graph.

    Args:
        model: of inputs of which one at least is no initializer.
        activation_bits: of the integers between layers, 8 or 16.

    Attributes:
        model: the same.
        inputs: those that are no initializers.
        outputs: names of the graph's outputs.
        opset: of the standard operations.
    """

    def __init__(self, model: onnx.ModelProto, activation_bits: int = 8):
        super().__init__(map(node_of, model.graph.node))
        self.model = model
        self.activation_bits = activation_bits
        versions = {item.domain: item.version for item in model.opset_import}
        self.opset = versions.get("", versions.get("ai.onnx", 0))
        self.outputs = {output.name for output in model.graph.output}
        self._initializers = {i.name: i for i in model.graph.initializer}
        self.inputs = [i for i in model.graph.input if i.name not in self._initializers]
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        for info in (*inferred.input, *inferred.value_info, *inferred.output):
            if info.type.tensor_type.HasField("shape"):
                self.shapes[info.name] = tuple(
                    size.dim_value if size.HasField("dim_value") else None
                    for size in info.type.tensor_type.shape.dim
                )
        self.shapes |= {name: tuple(i.dims) for name, i in self._initializers.items()}

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor does not depend on the input."""
        return self.constant(tensor) is not None

    def constant(self, tensor: str) -> np.ndarray | None:
        """The values of an initializer or a `Constant` node."""
        if tensor in self._initializers:
            return numpy_helper.to_array(self._initializers[tensor])
        node = self.producer(tensor)
        if node is None or node.op != "Constant":
            return None
        value = next(iter(node.attributes.values()))
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        return np.asarray(value)

    def add_constant(self, initializers, name: str) -> None:
        """Knows an initializer that the model got."""
        stored = next(i for i in initializers if i.name == name)
        self._initializers[name] = stored
        self.shapes[name] = tuple(stored.dims)

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """Sizes of a tensor, None for open ones; None if the rank is unknown."""
        return self.shapes.get(tensor)

    def rank(self, tensor: str) -> int | None:
        """The number of axes of a tensor, None if unknown."""
        shape = self.shape(tensor)
        return None if shape is None else len(shape)

    def names_of(self, node: OnnxNode) -> set[str]:
        """What patterns call a node: its type, or what it does."""
        name = node.op
        if node.domain not in ("", "ai.onnx"):
            return {name}
        if name == "Conv":
            shape = self.shape(node.inputs[1])
            groups = node.attributes.get("group", 1)
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

    def _lower_bound(self, node: OnnxNode) -> float | None:
        bound = self.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        return None if bound is None else float(bound.reshape(-1)[0])

    def _has_matrix(self, node: OnnxNode) -> bool:
        weights = self.constant(node.inputs[1])
        is_matrix = weights is not None and weights.ndim == 2
        return is_matrix and (self.rank(node.inputs[0]) or 0) >= 2

    def _is_over_image(self, node: OnnxNode) -> bool:
        axes = self.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        if axes is None or self.rank(node.inputs[0]) != 4:
            return False
        return sorted(int(axis) % 4 for axis in axes) == [2, 3]

    def _flattens(self, node: OnnxNode) -> bool:
        before, after = self.shape(node.inputs[0]), self.shape(node.outputs[0])
        if not before or not after or len(after) != 2 or None in before[1:]:
            return False
        return math.prod(before[1:]) == after[1] and before[0] == after[0]
