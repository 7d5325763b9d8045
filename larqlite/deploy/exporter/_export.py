"""`export(model, path)`: a Keras model as an ONNX file with packed weights."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tf_keras

from larqlite._progress import bar
from larqlite.deploy import converters  # noqa: F401  (registers the converters)
from larqlite.deploy._report import FloatRow, Report
from larqlite.deploy.converters import ConverterWalk, check_model, input_values
from larqlite.deploy.exporter._fold_scales import fold_scales
from larqlite.deploy.exporter._metadata import metadata_of
from larqlite.deploy.exporter._move_off_ties import move_off_ties
from larqlite.deploy.exporter._report_rows import float_rows, report_of
from larqlite.deploy.verifier import require_exact
from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.from_keras import as_tf_keras
from larqlite.models import profile
from larqlite.onnx_graph import (
    DOMAIN,
    WHERE,
    FinishedGraph,
    Value,
    Writer,
    drop_unread,
    keep_zeros,
    onnx_model,
    write,
)
from larqlite.outputs import ONNX, require


def export(
    model: tf_keras.Model,
    path: str | os.PathLike,
    data: Any = None,
    verify: bool = True,
) -> Report:
    """See `larqlite.deploy.export`."""
    path = require(path, ONNX, WHERE.get())
    if data is not None and not verify:
        raise ArgumentError(
            f"{WHERE.get()}: data is what the file is compared on, and verify=False "
            "compares nothing.\n  Fix: leave one of the two out."
        )
    in_float: list[FloatRow] = []

    def accept(content: bytes) -> None:
        if verify:
            require_exact(model, data, content)
        in_float.extend(float_rows(finished.graph, costs, content))

    model = as_tf_keras(model, WHERE.get())
    with bar("export"):
        finished = finished_graph(model)
        costs = profile(model)
        metadata = metadata_of(finished.graph, costs, finished.renamed)
        size = write(onnx_model(finished, metadata), path, accept)
    return report_of(finished.graph, costs, path, size, in_float)


def finished_graph(model: tf_keras.Model, batch: int | None = None) -> FinishedGraph:
    """The finished graph of a model.

    Args:
        model: a built model.
        batch: the size of the batch; None leaves it open.
    """
    check_model(model)
    graph = Writer()
    inputs, outputs = _converted(graph, model)
    names = [value.name for value in outputs.values()]
    drop_unread(graph, names)
    _drop_idle_integers(graph, names)
    fold_scales(graph, names)
    move_off_ties(graph)
    keep_zeros(graph, names)
    _refuse_nan(graph)
    return FinishedGraph(graph, model.name, inputs, outputs, batch)


def _converted(
    graph: Writer, model: tf_keras.Model
) -> tuple[dict[str, Value], dict[str, Value]]:
    """The inputs and outputs of a model by name, the graph between them written."""
    inputs = input_values(graph, model)
    names = [graph.tensor_name(name) for name in model.output_names]
    results = ConverterWalk(graph, model).follow(model, list(inputs.values()))
    outputs: dict[str, Value] = {}
    taken = {value.name for value in inputs.values()}
    for name, value in zip(names, results, strict=True):
        if not isinstance(value, Value) or value.shape[:1] != (None,):
            raise UnsupportedModelError(
                f'{WHERE.get()}: the output "{name}" of "{model.name}" does not begin '
                "with the batch, so it is no result of each sample.\n"
                "  Fix: leave it out: tf_keras.Model(model.inputs, outputs) with the "
                "others."
            )
        value = graph.channels_last(value)
        if value.name in taken:  # an input, or an output already
            same = graph.node("Identity", [value.name], name=f"{name}/output")
            value = graph.value(same, value.shape)
        taken.add(value.name)
        outputs[name] = value
    return inputs, outputs


def _drop_idle_integers(graph: Writer, outputs: list[str]) -> None:
    """Removes `Integers` of whole numbers that no packed layer reads: they change nothing."""
    kept = {*outputs, *(rounding.tensor for rounding in graph.roundings)}
    for node in list(graph.nodes):
        if (node.op, node.domain) != ("Integers", DOMAIN) or kept & set(node.given):
            continue
        source, made = graph.producer(node.inputs[0]), node.outputs[0]
        is_read = any(reader.domain == DOMAIN for reader in graph.consumers(made))
        if source is not None and source.op == "Floor" and not is_read:
            graph.remove(node)
            graph.redirect(made, node.inputs[0])
            graph.shapes.pop(made, None)


def _refuse_nan(graph: Writer) -> None:
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise UnsupportedModelError(
                f'{WHERE.get()}: "{name}" holds NaN, so everything behind it would be '
                "NaN.\n  Fix: load weights of before the training diverged."
            )
