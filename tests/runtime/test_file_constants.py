"""Constants of a hostile file: where their values lie, how many, of what kind."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.files import floats, integers, model, node, packed, relu_chain
from tests.runtime.refusals import refused


def scaled(array=None, change=None) -> onnx.ModelProto:
    constant = floats(3) if array is None else array
    result = model([node("Mul", "x c", "y")], {"x": (3,)}, {"y": None}, {"c": constant})
    if change:
        change(result.graph.initializer[0])
    return result


@pytest.mark.parametrize(
    "location",
    [
        "weights.bin",
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\x",
        "*/_ORT_MEM_ADDR_/*",
    ],
)
def test_values_in_other_files_are_never_read(location, tmp_path):
    def outside(tensor):
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "12")):
            tensor.external_data.add(key=key, value=value)

    (tmp_path / "weights.bin").write_bytes(bytes(12))
    path = tmp_path / "model.onnx"
    path.write_bytes(scaled(change=outside).SerializeToString())
    shown = repr(location)
    refused(path.read_bytes(), 'constant "c"', "in another file", shown, "save_model")
    refused(scaled(change=lambda t: t.external_data.add(key="a")), "in another file")

    def marked(tensor):
        tensor.data_location = TensorProto.EXTERNAL

    refused(scaled(change=marked), "in another file")


def test_fewer_or_more_bytes_than_the_sizes_say_are_refused():
    def longer(tensor):
        tensor.raw_data += b"\0"

    def shorter(tensor):
        tensor.raw_data = tensor.raw_data[:-1]

    def wider(tensor):
        tensor.dims[0] = 4

    refused(scaled(change=longer), 'constant "c" has 13 bytes of values, but 12')
    refused(scaled(change=shorter), "has 11 bytes")
    refused(scaled(change=wider), "16 by its sizes 4")


@pytest.mark.parametrize(
    "dims", [[-3], [0], [3, 0], [1] * 9, [2**63 - 1, 2**63 - 1, 4]]
)
def test_sizes_that_make_no_sense_are_refused(dims):
    def change(tensor):
        tensor.dims[:] = dims

    refused(scaled(change=change), 'constant "c" has the sizes')


def test_a_size_that_would_overflow_64_bits_is_refused():
    def change(tensor):
        tensor.dims[:] = [2**32, 2**32]  # 2^64 values: 0 in 64 bits
        tensor.raw_data = b""

    refused(scaled(change=change), "more than the budget")


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "0"), (8, "string"), (10, "float16"), (16, "bfloat16"), (99, "99")],
)
def test_other_data_types_are_refused(number, name):
    def change(tensor):
        tensor.data_type = number

    refused(scaled(change=change), f"data type {name}")


def test_values_may_lie_in_typed_fields():
    for kind, values, dtype in (
        (TensorProto.FLOAT, [1.5, -2.0, 3.0], np.float32),
        (TensorProto.INT32, [1, -2, 3], np.int32),
        (TensorProto.INT64, [1, -(2**60), 3], np.int64),
        (TensorProto.UINT8, [1, 0, 255], np.uint8),
        (TensorProto.BOOL, [1, 0, 1], np.bool_),
    ):
        changed = relu_chain()
        changed.graph.initializer.append(helper.make_tensor("c", kind, [3], values))
        found = read(changed.SerializeToString()).constants["c"]
        np.testing.assert_array_equal(found, np.array(values, dtype))
        assert found.dtype == dtype


def test_typed_fields_that_are_wrong_are_refused():
    def with_values(**values):
        def change(tensor):
            tensor.ClearField("raw_data")
            for name, value in values.items():
                if isinstance(value, list):
                    getattr(tensor, name).extend(value)
                else:
                    setattr(tensor, name, value)

        return scaled(change=change)

    refused(with_values(), "values in no field")
    refused(with_values(float_data=[1.0, 2.0]), "2 values, but 3")
    refused(with_values(int64_data=[1, 2, 3]), "values in int64_data")
    refused(with_values(float_data=[1.0] * 3, raw_data=b"0" * 12), "and raw_data")
    refused(with_values(string_data=[b"a"] * 3), "a constant of text")
    refused(with_values(double_data=[1.0] * 3), "double_data")
    refused(with_values(data_type=2, int32_data=[1, 2, 256]), "outside 0..255")
    refused(with_values(data_type=9, int32_data=[1, 0, 2]), "other than 0 and 1")
    refused(with_values(data_type=9, raw_data=b"\0\1\2"), "other than 0 and 1")


def test_nan_is_refused_and_infinity_is_not():
    refused(scaled(np.array([1, np.nan, 2], np.float32)), "NaN", "diverged")
    read(scaled(np.array([1, np.inf, 2], np.float32)).SerializeToString())


def test_constant_nodes_become_constants():
    tensor = onnx.numpy_helper.from_array(floats(3), "ignored")
    nodes = [
        node("Constant", "", "a", value=tensor),
        node("Constant", "", "b", value_float=2.0),
        node("Constant", "", "c", value_ints=[0, 3]),
        node("Mul", "x a", "d"),
        node("Mul", "d b", "e"),
        node("Reshape", "e c", "y"),
    ]
    graph = read(relu_chain(*nodes).SerializeToString())
    assert {name: array.dtype for name, array in graph.constants.items()} == {
        "a": np.float32,
        "b": np.float32,
        "c": np.int64,
    }
    assert len(graph.nodes) == 3


def test_constant_nodes_that_make_no_sense_are_refused():
    def constant(**attributes):
        inputs = attributes.pop("inputs", "")
        return relu_chain(
            node("Constant", inputs, "c", **attributes), node("Relu", "x", "y")
        )

    refused(constant(), "one output and one attribute")
    refused(constant(inputs="x", value_float=1.0), "one output and one attribute")
    refused(constant(value_float=1.0, value_int=1), "one attribute")
    refused(constant(value_string="a"), '"value_string" is not supported')
    refused(constant(value=1.0), '"value" is not supported')
    refused(constant(value_floats=[float("inf")]), "no finite numbers")
    refused(constant(value_float=float("nan")), "no finite numbers")


def test_packed_bytes_must_be_stored_in_the_file():
    attributes = files.convolution((4, 3, 3, 2))
    refused(
        model(
            [
                node("Cast", "x", "bytes", to=TensorProto.UINT8),
                packed("BConv2D", "x bytes", "y", **attributes),
            ],
            {"x": (2, 5, 5)},
            {"y": None},
        ),
        'BConv2D "node/y"',
        '"bytes" must be a constant',
    )


def test_shapes_that_are_computed_are_refused():
    nodes = [node("Add", "s s", "t"), node("Reshape", "x t", "y")]
    refused(
        model(nodes, {"x": (4,)}, {"y": None}, {"s": integers(0, 2)}),
        'input "t" must be a constant',
    )
