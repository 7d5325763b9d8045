"""`to_onnx(model)`: an integer Keras model as an ONNX model of the same integers."""

from __future__ import annotations

import os

import numpy as np
import onnx
import tf_keras

from larqlite._progress import bar
from larqlite.integer.export._check import check, one_of
from larqlite.integer.export._file import onnx_model
from larqlite.integer.export._input_kinds import require_sizes
from larqlite.integer.export._integers import Integers
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._walk import IntegerWalk
from larqlite.onnx_graph import WHERE, Value, keep_zeros, write

INPUT_DTYPES = ("float32", "uint8", "int8", "int32")


def write_onnx(
    model: tf_keras.Model,
    path: str | os.PathLike | None = None,
    input_dtype: str | None = None,
) -> onnx.ModelProto:
    """See `larqlite.integer.export.to_onnx`."""
    token = WHERE.set("lq.integer.export.to_onnx")
    try:
        path = check(model, path, ".onnx")
        with bar("export"):
            proto = onnx_model(*written(model, input_dtype))
            if path is not None:
                write(proto, path)
        return proto
    finally:
        WHERE.reset(token)


def written(model: tf_keras.Model, input_dtype: str | None) -> tuple:
    """The finished graph, the name of the model, its inputs and outputs by name."""
    if input_dtype is not None:
        one_of(input_dtype, INPUT_DTYPES, "input_dtype")
    graph = IntegerWriter()
    inputs = _inputs(graph, model, input_dtype)
    names = [graph.tensor_name(name) for name in model.output_names]
    results = IntegerWalk(graph, model).follow(model, list(inputs.values()))
    outputs, taken = {}, {value.name for value in inputs.values()}
    for name, value in zip(names, results, strict=True):
        is_integer = isinstance(value, Integers)
        value = graph.channels_last(value)
        if value.name in taken:
            same = graph.node("Identity", [value.name], name=f"{name}/output")
            value = (
                graph.like(value, same, qparams=value.qparams)
                if is_integer
                else graph.value(same, value.shape)
            )
        taken.add(value.name)
        outputs[name] = value
    given_out = [value for values in graph.layers.values() for value in values]
    keep_zeros(graph, [value.name for value in (*outputs.values(), *given_out)])
    return graph, model.name, inputs, outputs


def _inputs(
    graph: IntegerWriter, model: tf_keras.Model, input_dtype: str | None
) -> dict[str, Value]:
    """The inputs of a model by name, in the type that was asked for."""
    values: dict[str, Value] = {}
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        shape = (None, *tensor.shape.as_list()[1:])
        kind = one_of(
            input_dtype or tensor.dtype.name, INPUT_DTYPES, "the dtype of an input"
        )
        require_sizes(name, shape)
        stored = graph.tensor_name(name)
        values[stored] = graph.value(stored, shape)
        if kind != "float32":
            values[stored] = _integers(graph, stored, shape, kind)
    return values


def _integers(graph: IntegerWriter, name: str, shape, kind: str) -> Integers:
    ends = np.iinfo(kind)
    value = graph.integers(name, shape, kind, int(ends.min), int(ends.max), False)
    return graph.like(value, name)
