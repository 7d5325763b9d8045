"""An ONNX model as text: a line for each node, initializer, input, and entry of metadata."""

import json
from collections.abc import Iterator

import onnx
from onnx import AttributeProto, numpy_helper

from .texts import array


def fields(model: onnx.ModelProto, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Pairs of a field and its lines, as an entry yields them."""
    graph = model.graph
    yield f"{prefix}model", list(_head(model))
    yield f"{prefix}nodes", list(_nodes(graph.node))
    yield f"{prefix}initializers", [_tensor(item) for item in graph.initializer]
    yield f"{prefix}values", [_value(item) for item in graph.value_info]
    yield f"{prefix}functions", list(_functions(model))


def _head(model: onnx.ModelProto) -> Iterator[str]:
    graph = model.graph
    yield f"ir_version {model.ir_version}"
    yield f"producer {model.producer_name} {model.producer_version}"
    yield f"domain {model.domain!r} model_version {model.model_version}"
    yield f"doc {model.doc_string!r} {graph.doc_string!r}"
    yield f"graph {graph.name}"
    yield from (f"opset {item.domain!r} {item.version}" for item in model.opset_import)
    yield from (f"input {_value(item)}" for item in graph.input)
    yield from (f"output {_value(item)}" for item in graph.output)
    for item in [*model.metadata_props, *graph.metadata_props]:
        yield from _metadata(item.key, item.value)
    for item in graph.quantization_annotation:
        yield f"quantization {item}"


def _metadata(key: str, value: str) -> Iterator[str]:
    """JSON, which is most of it, on a line for each number and word."""
    if value.startswith(("[", "{")):
        value = json.dumps(json.loads(value), indent=1)
    yield from (f"metadata {key} {line}" for line in value.split("\n"))


def _nodes(nodes, indent: str = "") -> Iterator[str]:
    for node in nodes:
        kind = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        given, made = ", ".join(node.input), ", ".join(node.output)
        line = f"{indent}{kind}({given}) -> {made} name={node.name!r}"
        if node.doc_string:
            line += f" doc={node.doc_string!r}"
        graphs = []
        for item in node.attribute:
            if item.type == AttributeProto.GRAPH:
                graphs.append(item)
            else:
                line += f" {item.name}={_attribute(item)}"
        yield line
        for item in graphs:
            yield f"{indent}  {item.name}: {', '.join(v.name for v in item.g.output)}"
            yield from (f"{indent}    {_tensor(t)}" for t in item.g.initializer)
            yield from _nodes(item.g.node, f"{indent}    ")


def _attribute(item: AttributeProto) -> str:
    if item.ref_attr_name:
        return f"@{item.ref_attr_name}"
    kind = AttributeProto.AttributeType.Name(item.type).lower()
    if item.type == AttributeProto.TENSOR:
        return f"tensor:{array(numpy_helper.to_array(item.t))}"
    return f"{kind}:{onnx.helper.get_attribute_value(item)!r}"


def _tensor(item: onnx.TensorProto) -> str:
    return f"{item.name}: {array(numpy_helper.to_array(item))}"


def _value(item: onnx.ValueInfoProto) -> str:
    kind = item.type.tensor_type
    sizes = [
        size.dim_param if size.HasField("dim_param") else str(size.dim_value)
        for size in kind.shape.dim
    ]
    name = onnx.TensorProto.DataType.Name(kind.elem_type)
    return f"{item.name}: {name}[{', '.join(sizes)}]"


def _functions(model: onnx.ModelProto) -> Iterator[str]:
    for item in model.functions:
        given, made = ", ".join(item.input), ", ".join(item.output)
        yield f"{item.domain}.{item.name}({given}) -> {made}"
        yield f"  attributes {', '.join(item.attribute)}"
        yield from (f"  default {a.name}={_attribute(a)}" for a in item.attribute_proto)
        yield from (f"  opset {o.domain!r} {o.version}" for o in item.opset_import)
        yield from _nodes(item.node, "  ")
