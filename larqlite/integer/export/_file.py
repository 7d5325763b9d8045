"""The finished integer graph as an ONNX model."""

from __future__ import annotations

import json
from collections.abc import Mapping

import onnx
from onnx import helper, numpy_helper

from larqlite import onnx_graph
from larqlite.integer.export._functions import used_by
from larqlite.integer.export._integers import Integers
from larqlite.integer.export._writer import IntegerWriter, onnx_kind
from larqlite.onnx_graph import Value, assembled, node_proto, tensor_info

LAYERS = "larqlite.integer.layers"


def onnx_model(
    graph: IntegerWriter,
    name: str,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
) -> onnx.ModelProto:
    """The ONNX model of a graph; its metadata says which tensor which layer gives out.

    Args:
        graph: nodes and constants.
        name: of the model.
        inputs, outputs: by name.
    """
    renamed = {value.name: key for key, value in outputs.items()}
    operations = {n.op for n in graph.nodes if n.domain == onnx_graph.DOMAIN}
    imports = {"": onnx_graph.OPSET}
    if operations:
        imports[onnx_graph.DOMAIN] = onnx_graph.DOMAIN_VERSION
    given = {value.name for value in inputs.values()}
    inner = {t for node in graph.nodes for t in node.outputs} - set(renamed) - given
    model = assembled(
        helper.make_graph(
            [node_proto(node, renamed) for node in graph.nodes],
            name,
            [_info(graph, value, key) for key, value in inputs.items()],
            [_info(graph, value, key) for key, value in outputs.items()],
            [numpy_helper.from_array(a, key) for key, a in graph.constants.items()],
            value_info=[
                _stated(key, graph.kinds.get(key, "float32"), graph.shapes[key])
                for key in sorted(inner & set(graph.shapes))
            ],
        ),
        imports,
        used_by(operations),
    )
    layers = {
        path: [
            {"tensor": renamed.get(v.name, v.name), "channels_first": v.is_moved}
            for v in values
        ]
        for path, values in graph.layers.items()
    }
    helper.set_model_props(model, {LAYERS: json.dumps(layers)})
    return model


def _info(graph: IntegerWriter, value: Value, name: str) -> onnx.ValueInfoProto:
    kind = value.kind if isinstance(value, Integers) else "float32"
    return _stated(name, kind, value.stored_shape)


def _stated(name: str, kind: str, shape) -> onnx.ValueInfoProto:
    return tensor_info(name, shape, onnx_kind(kind))
