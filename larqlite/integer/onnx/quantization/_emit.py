"""The quantized ONNX model of a partition and its layers."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from larqlite import onnx_graph
from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import Dequantizer, OnnxLayer
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._patterns import OnnxPartition
from larqlite.integer.onnx.quantization._prepare import FUNCTION
from larqlite.onnx_graph import OnnxNode

__all__ = ["emitted"]


class _IntegerGraph(onnx_graph.OnnxGraph):
    """Nodes and weights of layers, and one function for each type of operation."""

    def __init__(self, opset: int):
        super().__init__()
        self.opset = opset
        self.functions: dict[str, onnx.FunctionProto] = {}
        self.imports: dict[str, int] = {}

    def add(
        self, layer: OnnxLayer, inputs: list[str], output: str, origin: str = ""
    ) -> None:
        function = layer.make_function(self.opset)
        known = self.functions.setdefault(layer.op_type, function)
        if known != function:
            raise UnsupportedModelError(
                f'{FUNCTION}: two unlike layers have the op_type "{layer.op_type}".\n'
                "  Fix: give one of them another base_name, or a suffix in op_type for "
                "what differs."
            )
        for item in layer.opset_imports:
            self.imports.setdefault(item.domain, item.version)
        node = layer.make_node(inputs, [output], known)
        node.doc_string = origin
        self.insert(onnx_graph.node_of(node))
        for name, values in layer.quantized_weights.items():
            self.constants[layer.weight_name(name)] = values


def emitted(
    graph: FloatGraph, partition: OnnxPartition, layers: dict[str, OnnxLayer]
) -> onnx.ModelProto:
    """The model: moved inputs, quantizers, integer layers, dequantizers, the float rest.

    The `doc_string` of an integer node names the operations that it was made of, that of
    a float one says why it is.

    Raises:
        UnsupportedModelError: layers of one's own that make no valid model.
    """
    imports = {item.domain: item.version for item in graph.model.opset_import}
    out = _IntegerGraph(imports[""])
    for node in partition.moves:
        out.insert(node)
    integers = {tensor: f"{layer.name}_integers" for tensor, layer in layers.items()}
    for start in partition.starts:
        out.add(layers[start], [start], integers[start])
    done = set(partition.moves)
    for block in partition.blocks:
        inputs = [integers[tensor] for tensor in block.inputs]
        origin = ", ".join(node.op for node in block.nodes)
        out.add(block.layer, inputs, integers[block.output], origin)
        done.update(block.nodes)
    rest = _needed(graph, [node for node in graph.nodes if node not in done])
    needed = {tensor for node in rest for tensor in node.taken} | graph.outputs
    for tensor in [
        block.output for block in partition.blocks if block.output in needed
    ]:
        layer = Dequantizer(name=f"{layers[tensor].name}_dequantizer")
        layer.build(layers[tensor].output)
        layer.quantize(layers[tensor], out_tensor_range=None)
        out.add(layer, [integers[tensor]], tensor)
    reasons = dict(partition.stops)
    for node in rest:
        out.insert(_explained(graph, node, reasons.get(node), set(integers)))
    kept = [i for i in graph.model.graph.initializer if i.name in needed]
    return _checked(graph, out, kept)


def _needed(graph: FloatGraph, nodes: list[OnnxNode]) -> list[OnnxNode]:
    """Those of the nodes that stay float whose outputs somebody takes."""
    needed, found = set(graph.outputs), []
    for node in reversed(nodes):
        if needed & set(node.given):
            found.insert(0, node)
            needed.update(node.taken)
    return found


def _explained(
    graph: FloatGraph, node: OnnxNode, reason: str | None, integers: set[str]
) -> OnnxNode:
    """A node that stays float, with the reason as its `doc_string`."""
    if reason is None:
        floats = [
            tensor
            for tensor in node.taken
            if tensor not in integers and not graph.is_constant(tensor)
        ]
        reason = "nothing after it is quantized"
        if floats:
            reason = f'"{floats[0]}", which it takes, stays float'
    source = onnx.NodeProto()
    source.CopyFrom(node.source)
    source.doc_string = reason
    return onnx_graph.node_of(source)


def _checked(
    graph: FloatGraph,
    out: _IntegerGraph,
    kept: list[onnx.TensorProto],
) -> onnx.ModelProto:
    imports = {item.domain: item.version for item in graph.model.opset_import}
    imports |= {k: v for k, v in out.imports.items() if k not in imports}
    imports[onnx_graph.DOMAIN] = onnx_graph.DOMAIN_VERSION
    used = {n.op_type for f in out.functions.values() for n in f.node} & set(
        onnx_graph.function_names()
    )
    ids = [helper.make_opsetid(*item) for item in sorted(imports.items())]
    model = onnx_graph.assembled(
        helper.make_graph(
            [node.source for node in out.nodes],
            graph.model.graph.name,
            graph.inputs,
            list(graph.model.graph.output),
            kept
            + [numpy_helper.from_array(a, key) for key, a in out.constants.items()],
        ),
        dict(sorted(imports.items())),
        [*onnx_graph.functions_used_by(used), *out.functions.values()],
        max(
            onnx_graph.IR_VERSION,
            helper.find_min_ir_version_for(ids, ignore_unknown=True),
        ),
    )
    fault = onnx_graph.fault_of(model)
    if fault is not None:
        raise UnsupportedModelError(
            f"{FUNCTION}: the quantized model is no valid ONNX: {fault}\n"
            "  Fix: see that build_subgraph of each layer of your own returns valid "
            "nodes, and __build__ the right sizes."
        ) from fault
    return model
