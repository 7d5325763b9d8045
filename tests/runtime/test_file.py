"""Files that are damaged or no models at all: an error that says what to do."""

from __future__ import annotations

import os
import random

import numpy as np
import onnx
import pytest

from larqlite_runtime._errors import (
    MissingModelFileError,
    ModelFileError,
    RuntimeModelError,
)
from larqlite_runtime.reader import read
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


def test_deep_nesting_is_refused():
    graph = b""
    for _ in range(2000):  # Graph.node, Node.attribute, Attribute.g
        graph = field(1, field(5, field(6, graph)))
    refused(field(1, b"") + field(7, graph))
    refused(varint(1 << 3) + b"\x09" + field(7, graph), "a graph inside a node")
