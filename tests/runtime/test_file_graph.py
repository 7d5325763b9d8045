"""Names, edges, order and declared shapes of a hostile graph."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from larqlite_runtime.reader import read
from tests.runtime.files import floats, model, node, relu_chain
from tests.runtime.refusals import refused


def test_nodes_out_of_order_are_sorted():
    names = ["y", "c", "a", "b"]
    edges = {"a": "x", "b": "a", "c": "b", "y": "c"}
    graph = read(
        relu_chain(*[node("Relu", edges[n], n) for n in names]).SerializeToString()
    )
    assert [item.outputs for item in graph.nodes] == [("a",), ("b",), ("c",), ("y",)]


def test_an_order_that_is_right_is_kept():
    nodes = [node("Relu", "x", n) for n in "dcba"] + [node("Sum", "a b c d", "y")]
    graph = read(relu_chain(*nodes).SerializeToString())
    assert [item.outputs[0] for item in graph.nodes] == list("dcbay")


def test_cycles_are_refused():
    refused(
        relu_chain(
            node("Add", "x b", "a"), node("Relu", "a", "b"), node("Abs", "a", "y")
        ),
        "node/a",
        "cycle",
    )
    refused(relu_chain(node("Relu", "y", "y")), "node/y", "cycle")


def test_a_long_chain_takes_little_time():
    nodes = [node("Relu", f"t{i}" if i else "x", f"t{i + 1}") for i in range(5000)]
    nodes.append(node("Abs", "t5000", "y"))
    assert len(read(relu_chain(*nodes[::-1]).SerializeToString()).nodes) == 5001


def test_too_many_nodes_are_refused():
    nodes = [helper.make_node("Relu", ["x"], ["y"])] * 20_001
    refused(relu_chain(*nodes), "20,001 nodes")


def test_tensors_that_nothing_makes_are_refused():
    refused(relu_chain(node("Relu", "z", "y")), 'reads the tensor "z"')
    refused(relu_chain(node("Relu", "x", "a")), 'output "y" is made by no node')


def test_names_that_occur_twice_are_refused():
    twice = [node("Relu", "x", "y"), node("Abs", "x", "y")]
    twice[1].name = "other"
    refused(relu_chain(*twice), '"y", which exists already')
    twice[1].output[0], twice[1].name = "z", "node/y"
    refused(relu_chain(*twice), 'two nodes have the name "node/y"')
    refused(relu_chain(node("Relu", "x", "x")), '"x", which exists already')
    changed = relu_chain()
    changed.graph.initializer.append(onnx.numpy_helper.from_array(floats(3), "x"))
    refused(changed, 'two tensors have the name "x"')
    changed = relu_chain()
    changed.graph.input.append(changed.graph.input[0])
    refused(changed, 'two tensors have the name "x"')
    changed = relu_chain()
    changed.graph.output.append(changed.graph.output[0])
    refused(changed, 'output "y" occurs twice')
    changed = relu_chain()
    changed.graph.initializer.append(onnx.numpy_helper.from_array(floats(3), "a"))
    refused(changed, '"a", which exists already')


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "x" * 1001])
def test_strange_names_are_refused(name):
    changed = relu_chain()
    changed.graph.node[0].output[0] = name
    refused(changed, "printable" if name else "no name")
    changed = relu_chain()
    changed.graph.input[0].name = name
    refused(changed)


def test_long_names_are_cut_in_messages():
    message = refused(relu_chain(node("Relu", "z" * 1_000_000, "y")), "zzz...")
    assert len(message) < 500


def test_an_output_that_is_an_input_or_a_constant_is_refused():
    changed = relu_chain()
    changed.graph.output[0].name = "x"
    refused(changed, 'output "x" is made by no node')
    refused(
        model(
            [node("Constant", "", "y", value_floats=[1.0, 2.0])],
            {"x": (3,)},
            {"y": None},
        ),
        'output "y" is made by no node',
    )
    changed = model(
        [node("Relu", "c", "y")], {"x": (3,)}, {"y": None}, {"c": floats(3)}
    )
    refused(changed, "(3,)", "batch first")


def test_an_output_that_is_no_float_is_refused():
    refused(
        model([node("Greater", "x x", "y")], {"x": (3,)}, {"y": None}),
        "bool (batch, 3); float32",
    )


def test_declared_shapes_must_be_true():
    refused(
        model([node("Relu", "x", "y")], {"x": (3,)}, {"y": (4,)}),
        "(batch, 4)",
        "(batch, 3)",
    )
    refused(
        model([node("Relu", "x", "y")], {"x": (3,)}, {"y": (3, 1)}), "(batch, 3, 1)"
    )
    for sizes, kind in ((["batch", 4], 1), (["batch", 3], 9), ([5, 3], 1), ([3], 1)):
        changed = relu_chain()
        changed.graph.value_info.append(helper.make_tensor_value_info("a", kind, sizes))
        refused(changed, 'tensor "a" is said to be', "but is float32 (batch, 3)")
    changed = relu_chain()
    info = helper.make_tensor_value_info("ghost", TensorProto.FLOAT, [1])
    changed.graph.value_info.append(info)
    refused(changed, '"ghost" is described, but does not exist')


def test_declared_shapes_may_be_partly_unknown():
    changed = relu_chain()
    changed.graph.output[0].type.tensor_type.shape.dim[1].Clear()
    changed.graph.value_info.append(onnx.ValueInfoProto(name="a"))
    assert read(changed.SerializeToString()).shapes["a"] == (None, 3)
