"""A finished graph as FINN takes it.

FINN makes a `MultiThreshold` of each quantizer of activations. It counts a number on a
threshold as above it where QONNX rounds halves to even, and takes every quantizer of one bit
for one of -1 and +1; so nothing lies on thresholds here, and 0 and 1 are made of signs.

References:
    FINN, https://arxiv.org/abs/1612.07119
"""

from __future__ import annotations

from typing import Any

import onnx

from larqlite.deploy.qonnx._levels import ExactLevels, exact_levels
from larqlite.deploy.qonnx._nodes import Rewriter, rewrite
from larqlite.onnx_graph import FinishedGraph, OnnxNode, Writer
from larqlite_runtime.format import QonnxNode

_NARROW = (2, True, True)


def for_finn(finished: FinishedGraph) -> FinishedGraph:
    """The graph in the form that FINN takes; it is changed in place."""
    graph = finished.graph
    outputs = [value.name for value in finished.outputs.values()]
    exact = exact_levels(graph, outputs)
    for node in [n for n in graph.nodes if n.op == "BatchNormalization"]:
        _as_two_nodes(graph, node)
    rewrite(graph, outputs, _FinnRewriter(graph, exact))
    return finished


def _as_two_nodes(graph: Writer, node: OnnxNode) -> None:
    """A product and a sum, as FINN's own first step would make of it."""
    source, scale, offset, *_ = node.inputs
    rank = len(graph.shapes[source])
    shape = [1] * rank
    shape[rank - 1 if node.domain else 1] = -1
    arrays = (graph.constants[name].reshape(shape) for name in (scale, offset))
    stored = [
        graph.constant(array, name)
        for array, name in zip(arrays, ("scale", "offset"), strict=True)
    ]
    inner = graph.tensor_name(f"{node.name}/scaled:0")
    graph.shapes[inner] = graph.shapes[source]
    scaled = OnnxNode("Mul", (source, stored[0]), (inner,), f"{node.name}/scaled")
    graph.replace(
        node, scaled, OnnxNode("Add", (inner, stored[1]), node.outputs, node.name)
    )


class _FinnRewriter(Rewriter):
    """Writes what FINN takes."""

    def __init__(self, graph: Writer, exact: ExactLevels):
        super().__init__(graph)
        self._exact = exact

    def replace(self, node: OnnxNode) -> None:
        """Adds what a node becomes."""
        if node.name not in self._exact.quantizers or node.op in ("Integers", "Sign"):
            super().replace(node)
            return
        (source,), (output,) = node.inputs, node.outputs
        if node.op == "Ternary":
            self.integer(source, node.name, *_NARROW, output=output)
        elif node.op == "Heaviside":
            self._zero_or_one(source, node.name, output=output)
        else:
            self._steps(QonnxNode(node.name, source, output, node.attributes))

    def _steps(self, node: QonnxNode) -> None:
        bits = node.attributes["bits"]
        like = {"like": node.output}
        made = self.integer(node.source, f"{node.name}/integers", bits, False, **like)
        self.add("Div", [made, self.number(2**bits - 1)], node.name, node.output)
        self.integers[node.output] = made, float(2**bits - 1)

    def integer(
        self, tensor: str, name: str, bits: int, signed: bool, *more, **where
    ) -> str:
        """Integers of some bits; one bit without a sign only of kernels."""
        if bits == 1 and not signed and tensor not in self._graph.constants:
            return self._zero_or_one(tensor, name, **where)
        return super().integer(tensor, name, bits, signed, *more, **where)

    def _zero_or_one(self, tensor: str, name: str, **where: Any) -> str:
        """1 above a half, else 0; a half is no value of what comes here, or becomes 0."""
        like = {"like": where.get("like") or where.get("output")}
        made = tensor
        for op, number in (("Mul", -1), ("Add", 0.5)):
            operands = [made, self.number(number)]
            made = self.add(op, operands, f"{name}/{op.lower()}", **like)
        made = self.bipolar(made, f"{name}/sign", **like)
        made = self.add("Mul", [made, self.number(-0.5)], f"{name}/half", **like)
        return self.add("Add", [made, self.number(0.5)], name, **where)


def state_layouts(model: onnx.ModelProto) -> None:
    """Says where inputs have their channels, which FINN guesses otherwise."""
    for item in model.graph.input:
        rank = len(item.type.tensor_type.shape.dim)
        layout = _layout(model.graph, item.name, rank)
        if layout:
            said = onnx.StringStringEntryProto(
                key="tensor_layout", value=str(list(layout))
            )
            model.graph.quantization_annotation.append(
                onnx.TensorAnnotation(
                    tensor_name=item.name, quant_parameter_tensor_names=[said]
                )
            )


def _layout(graph: onnx.GraphProto, tensor: str, rank: int) -> str:
    """The layout of an image, from the first node that moves or reads its channels."""
    last, first = {3: ("NWC", "NCW"), 4: ("NHWC", "NCHW")}.get(rank, ("", ""))
    pending = [tensor]
    for node in graph.node:
        if not set(pending) & set(node.input):
            continue
        if node.op_type == "Transpose":
            perm = list(node.attribute[0].ints)
            return last if perm == [0, rank - 1, *range(1, rank - 1)] else ""
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            return first
        pending += node.output
    return last
