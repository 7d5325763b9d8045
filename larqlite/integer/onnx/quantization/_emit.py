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

__all__ = ["emitted"]


class _IntegerGraph(onnx_graph.OnnxGraph):
    """Nodes and weights of layers, and one function for each type of operation."""

    def __init__(self, opset: int):
        super().__init__()
        self.opset = opset
        self.functions: dict[str, onnx.FunctionProto] = {}
        self.imports: dict[str, int] = {}

    def add(self, layer: OnnxLayer, inputs: list[str], output: str) -> None:
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
        self.insert(onnx_graph.node_of(layer.make_node(inputs, [output], known)))
        for name, values in layer.quantized_weights.items():
            self.constants[layer.weight_name(name)] = values


def emitted(
    graph: FloatGraph, partition: OnnxPartition, layers: dict[str, OnnxLayer]
) -> onnx.ModelProto:
    """The model: moved input, quantizer, integer layers, dequantizers, the float rest.

    Raises:
        UnsupportedModelError: layers of one's own that make no valid model.
    """
    imports = {item.domain: item.version for item in graph.model.opset_import}
    out = _IntegerGraph(imports[""])
    for node in partition.moves:
        out.insert(node)
    integers = {tensor: f"{layer.name}_integers" for tensor, layer in layers.items()}
    out.add(layers[partition.start], [partition.start], integers[partition.start])
    done = set(partition.moves)
    for block in partition.blocks:
        inputs = [integers[tensor] for tensor in block.inputs]
        out.add(block.layer, inputs, integers[block.output])
        done.update(block.nodes)
    rest = [node for node in graph.nodes if node not in done]
    needed = {tensor for node in rest for tensor in node.taken} | graph.outputs
    for tensor in [
        block.output for block in partition.blocks if block.output in needed
    ]:
        layer = Dequantizer(name=f"{layers[tensor].name}_dequantizer")
        layer.build(layers[tensor].output)
        layer.quantize(layers[tensor], out_tensor_range=None)
        out.add(layer, [integers[tensor]], tensor)
    for node in rest:
        out.insert(node)
    kept = [i for i in graph.model.graph.initializer if i.name in needed]
    return _checked(graph, out, kept)


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
            [graph.input],
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
