"""Our decoder of protocol buffers agrees with Google's, on what onnx can write."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper, numpy_helper

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime.reader._schema import SCHEMA
from larqlite_runtime.reader._wire import decode, encode
from tests.runtime import files

MESSAGES = {
    "Model": onnx.ModelProto,
    "Graph": onnx.GraphProto,
    "Node": onnx.NodeProto,
    "Attribute": onnx.AttributeProto,
    "Tensor": onnx.TensorProto,
    "Value": onnx.ValueInfoProto,
    "Type": onnx.TypeProto,
    "TensorType": onnx.TypeProto.Tensor,
    "TensorShape": onnx.TensorShapeProto,
    "Dimension": onnx.TensorShapeProto.Dimension,
    "Opset": onnx.OperatorSetIdProto,
    "Entry": onnx.StringStringEntryProto,
    "Function": onnx.FunctionProto,
}
KINDS = {1: "double", 2: "float", 3: "int", 5: "int", 9: "text", 12: "bytes", 14: "int"}


def _is_repeated(field) -> bool:
    """As protobuf says it, which before 5 had a label for it."""
    known = getattr(field, "is_repeated", None)
    return field.label == field.LABEL_REPEATED if known is None else known


@pytest.mark.parametrize("name", SCHEMA)
def test_the_tables_say_what_onnx_says(name):
    described = MESSAGES[name].DESCRIPTOR.fields_by_number
    for number, field in SCHEMA[name].items():
        if number not in described:  # of a later version of the format
            assert field.kind == "refused"
            continue
        assert described[number].name == field.name
        assert _is_repeated(described[number]) == field.is_repeated
        if field.kind in ("skipped", "refused"):
            continue
        message = described[number].message_type
        if message is not None:
            assert MESSAGES[field.kind].DESCRIPTOR.full_name == message.full_name
        elif (name, field.name) != ("Attribute", "s"):  # text in all that we allow
            assert KINDS[described[number].type] == field.kind


@pytest.mark.parametrize("seed", files.SEEDS)
def test_a_model_survives_decoding_and_encoding(seed):
    model = files.SEEDS[seed]()
    data = model.SerializeToString()
    assert onnx.ModelProto.FromString(encode("Model", decode("Model", data))) == model


NUMBERS_AND_TEXT = given(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.text(),
    st.binary(),
)


@settings(max_examples=50, database=None, derandomize=True, deadline=None)
@NUMBERS_AND_TEXT
def test_numbers_and_text_are_those_of_google(ints, floats, text, raw):
    are_those_of_google(ints, floats, text, raw)


@pytest.mark.slow
@settings(max_examples=300, database=None, derandomize=True, deadline=None)
@NUMBERS_AND_TEXT
def test_more_numbers_and_text_are_those_of_google(ints, floats, text, raw):
    are_those_of_google(ints, floats, text, raw)


def are_those_of_google(ints, floats, text, raw):
    tensor = onnx.TensorProto(
        dims=ints, float_data=floats, int64_data=ints[::-1], name=text, raw_data=raw
    )
    found = decode("Tensor", tensor.SerializeToString())
    assert list(found.get("dims", [])) == ints
    assert list(found.get("int64_data", [])) == ints[::-1]
    np.testing.assert_array_equal(found.get("float_data", []), np.float32(floats))
    assert (found["name"], bytes(found["raw_data"])) == (text, raw)


@settings(max_examples=300, database=None, derandomize=True, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_decoded_or_refused(data):
    for name in SCHEMA:
        with contextlib.suppress(ModelFileError):
            decode(name, data)


def test_long_values_are_views_of_the_file():
    tensor = numpy_helper.from_array(np.zeros(1000, np.float32), "w")
    data = tensor.SerializeToString()
    assert decode("Tensor", data)["raw_data"].obj is data


def test_numbers_may_come_one_by_one_or_as_a_block():
    one_by_one = helper.make_attribute("pads", [1, 300]).SerializeToString()
    block = b"\x0a\x04pads\x42\x03\x01\xac\x02\xa0\x01\x07"
    assert decode("Attribute", one_by_one) == decode("Attribute", block)
    with pytest.raises(ModelFileError, match="ints twice"):
        decode("Attribute", block + b"\x42\x01\x05")


def test_a_field_of_another_wire_type_is_refused():
    with pytest.raises(ModelFileError, match="wire type 0, not 2"):
        decode("Attribute", b"\x08\x01")
    with pytest.raises(ModelFileError, match="wire type 3"):
        decode("Attribute", b"\x0b\x0c")
    with pytest.raises(ModelFileError, match="not a multiple of 4"):
        decode("Tensor", b"\x22\x03abc")
    with pytest.raises(ModelFileError, match="4 bytes, but only 2 follow"):
        decode("Attribute", b"\x15ab")
