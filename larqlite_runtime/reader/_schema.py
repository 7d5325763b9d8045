"""The parts of the ONNX format that a packed model may use, as tables of fields.

Numbers and names are those of `onnx.proto` (https://github.com/onnx/onnx). A field that
is in no table does not exist for the runtime: a file that has it is refused.
"""

from __future__ import annotations

from typing import NamedTuple


class Field(NamedTuple):
    """One field of a message.

    `kind` is "int", "float", "text", "bytes" or the name of a message;
    "skipped": not read; "refused": a file that has it is refused.
    """

    name: str
    kind: str
    is_repeated: bool = False


# What the refused fields hold, for messages; others are known by their names.
REFUSED: dict[str, str] = {
    "configuration": "a configuration of several devices",
    "device_configurations": "a configuration of several devices",
    "g": "a graph inside a node (If, Loop, Scan)",
    "graphs": "graphs inside a node",
    "ref_attr_name": "a reference to an attribute of a function",
    "sparse_initializer": "sparse constants",
    "sparse_tensor": "a sparse tensor",
    "string_data": "a constant of text",
    "strings": "a list of texts",
    "sequence_type": "a sequence instead of a tensor",
    "map_type": "a map instead of a tensor",
    "optional_type": "an optional value instead of a tensor",
    "quantization_annotation": "quantization annotations",
    "training_info": "training information",
}


def _fields(*rows: tuple[int, str, str]) -> dict[int, Field]:
    return {
        number: Field(name, kind.removesuffix("*"), kind.endswith("*"))
        for number, name, kind in rows
    }


# A kind that ends in * is repeated.
SCHEMA: dict[str, dict[int, Field]] = {
    "Model": _fields(
        (1, "ir_version", "int"),
        (2, "producer_name", "text"),
        (3, "producer_version", "text"),
        (4, "domain", "text"),
        (5, "model_version", "int"),
        (6, "doc_string", "text"),
        (7, "graph", "Graph"),
        (8, "opset_import", "Opset*"),
        (14, "metadata_props", "Entry*"),
        (20, "training_info", "refused*"),
        (25, "functions", "Function*"),
        (26, "configuration", "refused*"),
    ),
    "Graph": _fields(
        (1, "node", "Node*"),
        (2, "name", "text"),
        (5, "initializer", "Tensor*"),
        (10, "doc_string", "text"),
        (11, "input", "Value*"),
        (12, "output", "Value*"),
        (13, "value_info", "Value*"),
        (14, "quantization_annotation", "refused*"),
        (15, "sparse_initializer", "refused*"),
        (16, "metadata_props", "skipped*"),
    ),
    "Node": _fields(
        (1, "input", "text*"),
        (2, "output", "text*"),
        (3, "name", "text"),
        (4, "op_type", "text"),
        (5, "attribute", "Attribute*"),
        (6, "doc_string", "text"),
        (7, "domain", "text"),
        (8, "overload", "text"),
        (9, "metadata_props", "skipped*"),
        (10, "device_configurations", "refused*"),
    ),
    "Attribute": _fields(
        (1, "name", "text"),
        (2, "f", "float"),
        (3, "i", "int"),
        (4, "s", "text"),
        (5, "t", "Tensor"),
        (6, "g", "refused"),
        (7, "floats", "float*"),
        (8, "ints", "int*"),
        (9, "strings", "refused*"),
        (10, "tensors", "refused*"),
        (11, "graphs", "refused*"),
        (13, "doc_string", "text"),
        (14, "tp", "refused"),
        (15, "type_protos", "refused*"),
        (20, "type", "int"),
        (21, "ref_attr_name", "refused"),
        (22, "sparse_tensor", "refused"),
        (23, "sparse_tensors", "refused*"),
    ),
    "Tensor": _fields(
        (1, "dims", "int*"),
        (2, "data_type", "int"),
        (3, "segment", "refused"),
        (4, "float_data", "float*"),
        (5, "int32_data", "int*"),
        (6, "string_data", "refused*"),
        (7, "int64_data", "int*"),
        (8, "name", "text"),
        (9, "raw_data", "bytes"),
        (10, "double_data", "refused*"),
        (11, "uint64_data", "refused*"),
        (12, "doc_string", "text"),
        (13, "external_data", "Entry*"),
        (14, "data_location", "int"),
        (16, "metadata_props", "skipped*"),
    ),
    "Value": _fields(
        (1, "name", "text"),
        (2, "type", "Type"),
        (3, "doc_string", "text"),
        (4, "metadata_props", "skipped*"),
    ),
    "Type": _fields(
        (1, "tensor_type", "TensorType"),
        (4, "sequence_type", "refused"),
        (5, "map_type", "refused"),
        (6, "denotation", "text"),
        (7, "opaque_type", "refused"),
        (8, "sparse_tensor_type", "refused"),
        (9, "optional_type", "refused"),
    ),
    "TensorType": _fields((1, "elem_type", "int"), (2, "shape", "TensorShape")),
    "TensorShape": _fields((1, "dim", "Dimension*")),
    "Dimension": _fields(
        (1, "dim_value", "int"), (2, "dim_param", "text"), (3, "denotation", "text")
    ),
    "Opset": _fields((1, "domain", "text"), (2, "version", "int")),
    "Entry": _fields((1, "key", "text"), (2, "value", "text")),
    # The runtime has its own meaning for each function: bodies are for other programs.
    "Function": _fields(
        (1, "name", "text"),
        (4, "input", "text*"),
        (5, "output", "text*"),
        (6, "attribute", "text*"),
        (7, "node", "skipped*"),
        (8, "doc_string", "skipped"),
        (9, "opset_import", "skipped*"),
        (10, "domain", "text"),
        (11, "attribute_proto", "skipped*"),
        (12, "value_info", "skipped*"),
        (13, "overload", "text"),
        (14, "metadata_props", "skipped*"),
    ),
}
