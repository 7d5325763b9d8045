"""Versions, domains, functions, and parts of the format that a packed model has not."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from larqlite_runtime.reader import _file, read
from tests.runtime import files
from tests.runtime.refusals import refused


@pytest.mark.parametrize(("domain", "version"), [("", 17), ("", 19), ("", 2**40)])
def test_another_version_of_the_operations_is_refused(domain, version):
    model = files.binary_block()
    model.opset_import[0].version = version
    refused(model, f"version {version}", '"ai.onnx"', "knows version 18")


def test_another_version_of_our_operations_is_refused():
    model = files.binary_block()
    model.opset_import[1].version = 4
    refused(
        model,
        'version 4 of the operations "ai.larqlite"',
        "knows version 1, 2 and 3",
        "update larqlite_runtime",
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


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", "null", "[" * 9999])
def test_descriptions_of_layers_must_be_json(text):
    model = files.binary_block()
    helper.set_model_props(model, {"larqlite.layers": text})
    refused(model, '"larqlite.layers" is no list')


def test_descriptions_of_layers_have_a_largest_size():
    model = files.binary_block()
    helper.set_model_props(model, {"larqlite.layers": "[" + " " * 4_000_000 + "]"})
    refused(model, "at most 4,000,000 characters")


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
