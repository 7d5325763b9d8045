"""Files that are damaged, hostile or no models at all: an error that says what to do."""

from __future__ import annotations

import os
import random

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from larqlite_runtime import _file
from larqlite_runtime._errors import (
    MissingModelFileError,
    ModelFileError,
    RuntimeModelError,
)
from larqlite_runtime._file import read
from tests.runtime import files
from tests.runtime.refusals import refused


def outcome(data: bytes) -> str:
    """What becomes of a file; any other error than ours fails the test."""
    try:
        read(data)
    except ModelFileError as error:
        return "refused" if "Fix: " in str(error) else f"no fix: {error}"
    return "read"


def varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


@pytest.mark.parametrize("name", files.SEEDS)
def test_a_model_is_read(name, tmp_path):
    model = files.SEEDS[name]()
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    graph = read(path)
    assert [node.op for node in graph.nodes] == [n.op_type for n in model.graph.node]
    assert list(graph.inputs) == [item.name for item in model.graph.input]
    for tensor in model.graph.initializer:
        expected = onnx.numpy_helper.to_array(tensor)
        np.testing.assert_array_equal(graph.constants[tensor.name], expected)
    assert read(str(path)).shapes == read(bytearray(path.read_bytes())).shapes


def test_attributes_come_with_their_defaults():
    graph = read(files.binary_block().SerializeToString())
    convolution = next(node for node in graph.nodes if node.op == "Conv")
    assert convolution.attributes["dilations"] == [1, 1]
    assert convolution.attributes["kernel_shape"] == [3, 3]
    assert convolution.attributes["auto_pad"] == "NOTSET"


def test_constants_are_read_only():
    graph = read(files.binary_block().SerializeToString())
    assert not any(array.flags.writeable for array in graph.constants.values())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file(.|\n)*Fix: ") as caught:
        read(tmp_path / "nothing.onnx")
    assert isinstance(caught.value, MissingModelFileError)
    assert isinstance(caught.value, RuntimeModelError)
    assert isinstance(caught.value, ValueError)
    assert "nothing.onnx" in str(caught.value)


def test_a_folder_is_named(tmp_path):
    with pytest.raises(ModelFileError, match=r"is a folder(.|\n)*Fix: "):
        read(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no such device here")
def test_a_device_is_not_read():
    with pytest.raises(ModelFileError, match="no regular file"):
        read("/dev/zero")


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_an_impossible_path_is_refused(path):
    with pytest.raises(ModelFileError, match="can't be read") as caught:
        read(path)
    assert len(str(caught.value)) < 6000


@pytest.mark.parametrize("value", [3, None, object()])
def test_what_is_neither_path_nor_bytes_is_named(value):
    with pytest.raises(ModelFileError, match=f"not {type(value).__name__}"):
        read(value)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"empty\.onnx: it is empty"):
        read(tmp_path / "empty.onnx")


def test_a_file_beyond_2_gb_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.onnx"
    with open(path, "wb") as file:
        file.truncate(1 << 31)  # sparse: no disk is used
    with pytest.raises(ModelFileError, match="2,147,483,648 bytes"):
        read(path, budget=1 << 40)


def test_a_file_beyond_the_budget_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "large.onnx"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelFileError, match=r"more than the budget(.|\n)*budget="):
        read(path, budget=1000)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n0000",
        b"PK\x03\x04" + b"a" * 100,
        b"\x89HDF\r\n\x1a\n" + b"\0" * 50,
        b"TFL3" * 10,
        b"hello",
        b"\0",
        b"\xff" * 50,
        b"{}",
        b"\n" * 1000,
    ],
)
def test_what_is_no_model_is_refused(content):
    refused(content, "the model (bytes)", "Fix: the file is damaged")


def test_every_truncation_is_noticed():
    data = files.ternary_block().SerializeToString()
    for length in range(1, len(data)):
        refused(data[:length])


def test_a_flipped_bit_gives_a_model_or_an_error():
    data = files.kbit_block().SerializeToString()
    rng = random.Random(0)
    outcomes = set()
    for _ in range(1500):
        changed = bytearray(data)
        place = rng.randrange(len(data) * 8)
        changed[place // 8] ^= 1 << place % 8
        outcomes.add(outcome(bytes(changed)))
    assert outcomes == {"read", "refused"}


def test_a_length_that_lies_is_refused():
    refused(varint(7 << 3 | 2) + varint(1 << 40) + b"abc", "only 3 follow")
    refused(b"\x3a" + b"\xff" * 11, "does not end")


def test_many_empty_fields_are_refused_before_they_cost_memory():
    nodes = field(1, b"") * 600_000
    refused(field(7, nodes), "more than 500000 fields")
    numbers = field(5, field(1, b"\1" * 600_000))
    refused(field(7, numbers), "more than 500000 fields")


def test_unknown_and_repeated_fields_are_refused():
    data = files.binary_block().SerializeToString()
    refused(data + field(99, b"x"), "field 99 of Model is not known")
    refused(data + field(7, b""), "graph twice")


def test_text_that_is_not_utf8_is_refused():
    refused(field(6, b"\xff\xfe"), "not UTF-8")


# Versions, domains, functions, and parts of the format that are not used.


@pytest.mark.parametrize(("domain", "version"), [("", 17), ("", 19), ("", 2**40)])
def test_another_version_of_the_operations_is_refused(domain, version):
    model = files.binary_block()
    model.opset_import[0].version = version
    refused(model, f"version {version}", '"ai.onnx"', "knows version 18")


def test_another_version_of_our_operations_is_refused():
    model = files.binary_block()
    model.opset_import[1].version = 2
    refused(
        model, 'version 2 of the operations "ai.larqlite"', "update larqlite_runtime"
    )


def test_unknown_domains_are_refused():
    model = files.binary_block()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    refused(model, '"com.microsoft"')
    model = files.binary_block()
    model.graph.node[2].domain = "com.microsoft"
    refused(model, '"com.microsoft"', '"node/relu"', "names no version")


def test_versions_that_are_missing_or_doubled_are_refused():
    model = files.binary_block()
    del model.opset_import[:]
    refused(model, "names no version")
    model = files.binary_block()
    model.opset_import.append(helper.make_opsetid("ai.onnx", 18))
    refused(model, '"ai.onnx" twice')


@pytest.mark.parametrize("version", [0, 3, 99, -1])
def test_other_format_versions_are_refused(version):
    model = files.binary_block()
    model.ir_version = version
    refused(model, f"(ir_version) {version}")


def test_a_model_without_graph_input_or_output_is_refused():
    model = files.binary_block()
    model.ClearField("graph")
    refused(model, "no graph")
    model = files.binary_block()
    del model.graph.output[:]
    refused(model, "no output")
    model = files.binary_block()
    del model.graph.input[:]
    refused(model, "no input")


def function(name: str, domain: str = files.PACKED) -> onnx.FunctionProto:
    body = [helper.make_node("Identity", ["x"], ["y"])]
    opset = [helper.make_opsetid("", 18)]
    return helper.make_function(domain, name, ["x"], ["y"], body, opset)


def test_bodies_of_known_functions_are_not_looked_at():
    model = files.binary_block()
    model.functions.append(function("Sign"))
    model.functions[0].node[0].op_type = "SystemCall"
    assert read(model.SerializeToString()).nodes[3].op == "Sign"


@pytest.mark.parametrize(
    ("name", "domain"), [("Run", files.PACKED), ("Relu", ""), ("Sign", "other")]
)
def test_functions_of_other_names_are_refused(name, domain):
    model = files.binary_block()
    model.functions.append(function(name, domain))
    refused(model, "defines the function", f'"{name}"')


def test_a_function_defined_twice_is_refused():
    model = files.binary_block()
    model.functions.extend([function("Sign"), function("Sign")])
    refused(model, '"Sign" twice')


def test_training_sparse_and_quantization_parts_are_refused():
    model = files.binary_block()
    model.training_info.add()
    refused(model, "training information")
    model = files.binary_block()
    model.graph.sparse_initializer.add()
    refused(model, "sparse constants")
    model = files.binary_block()
    model.graph.quantization_annotation.add().tensor_name = "relu"
    refused(model, "quantization annotations")


def test_metadata_is_text_by_name():
    model = files.binary_block()
    helper.set_model_props(model, {"larqlite.version": "0.1", "a": "ü"})
    assert read(model.SerializeToString()).metadata == {
        "larqlite.version": "0.1",
        "a": "ü",
    }
    model.metadata_props.append(model.metadata_props[0])
    refused(model, '"larqlite.version" twice')


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", "null", "[" * 100_000])
def test_descriptions_of_layers_must_be_json(text):
    model = files.binary_block()
    helper.set_model_props(model, {"larqlite.layers": text})
    refused(model, '"larqlite.layers" is no list')


@pytest.mark.parametrize(
    "op", ["If", "Loop", "Scan", "NonZero", "Einsum", "BConv4D", ""]
)
def test_operations_that_are_not_in_the_table_are_refused(op):
    model = files.binary_block()
    model.graph.node[2].op_type = op
    refused(model, f'operation "{op}"', "not supported", '"node/relu"')


def test_a_near_miss_is_named():
    model = files.binary_block()
    model.graph.node[2].op_type = "Relus"
    refused(model, 'Did you mean "Relu"?')


def test_graphs_inside_nodes_are_refused():
    model = files.binary_block()
    branch = helper.make_graph([], "branch", [], [])
    model.graph.node[2].attribute.append(helper.make_attribute("then_branch", branch))
    refused(model, "a graph inside a node")


def test_deep_nesting_is_refused():
    graph = b""
    for _ in range(2000):  # Graph.node, Node.attribute, Attribute.g
        graph = field(1, field(5, field(6, graph)))
    refused(field(1, b"") + field(7, graph))
    refused(varint(1 << 3) + b"\x09" + field(7, graph), "a graph inside a node")


def test_inputs_need_fixed_sizes_of_float32():
    def changed(change) -> onnx.ModelProto:
        model = files.binary_block()
        change(model.graph.input[0].type)
        return model

    def shape(*sizes):
        tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, sizes)
        return lambda kind: kind.CopyFrom(tensor)

    fix = "fixed input shape"
    refused(changed(shape("batch", None, 12, 3)), "(batch, ?, 12, 3)", fix)
    refused(changed(shape("batch", "height", 12, 3)), fix)
    refused(changed(shape(1, 12, 12, 3)), fix)
    refused(changed(shape()), fix)
    refused(changed(shape(*["batch"] * 9)), "9 axes")
    refused(changed(lambda kind: kind.tensor_type.ClearField("shape")), "no shape")
    refused(changed(shape("batch", -1, 12, 3)), "size -1 at axis 1")
    refused(changed(shape("batch", 2**31, 12, 3)), "size 2147483648 at axis 1")
    refused(changed(lambda kind: kind.Clear()), "no type, not float32")
    integer = helper.make_tensor_type_proto(TensorProto.INT64, ["batch", 3])
    refused(changed(lambda kind: kind.CopyFrom(integer)), "int64, not float32")
    text = helper.make_tensor_type_proto(TensorProto.STRING, ["batch", 3])
    refused(changed(lambda kind: kind.CopyFrom(text)), "data type string")
    sequence = helper.make_sequence_type_proto(integer)
    refused(changed(lambda kind: kind.CopyFrom(sequence)), "a sequence")
    optional = helper.make_optional_type_proto(integer)
    refused(changed(lambda kind: kind.CopyFrom(optional)), "an optional value")


def test_nothing_is_read_that_could_be_checked_before(monkeypatch):
    """A file of a wrong version is refused before its tensors are turned into arrays."""
    monkeypatch.setattr(_file, "build", lambda *args: pytest.fail("was built"))
    model = files.binary_block()
    model.opset_import[0].version = 17
    refused(model, "version 17")
