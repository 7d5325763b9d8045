"""Runs a model in Keras and its file on one or two engines, on the same data."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

import larqlite_runtime
from larqlite._progress import bar
from larqlite.deploy.converters import check_model, require_count, require_share
from larqlite.deploy.verifier._data import Batches, Pieces
from larqlite.deploy.verifier._deployed_file import DeployedFile
from larqlite.deploy.verifier._engine import RuntimeEngine, StockEngine
from larqlite.deploy.verifier._engine_report import EngineReport
from larqlite.deploy.verifier._expected import Reference
from larqlite.deploy.verifier._random_inputs import in_short
from larqlite.deploy.verifier._result import Verification
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.models.internal import label_axes
from larqlite.onnx_graph import WHERE

# Inputs and outputs of packed layers that are held at a time; some ten copies of them are.
MOST_VALUES = 2**24


def run(
    model: tf_keras.Model,
    file: str | os.PathLike | bytes | larqlite_runtime.Model,
    data: Any,
    samples: int,
    batch_size: int,
    stock: bool,
    tolerance: float,
    absolute_tolerance: float,
    where: str = "lq.deploy.verify",
    limit: int | None = None,
) -> Verification:
    """See `larqlite.deploy.verify`; `where` is the function that messages name, `limit`
    the number of samples of the data that count."""
    token = WHERE.set(where)
    try:
        check_model(model)
        require_count("samples", samples)
        require_count("batch_size", batch_size)
        require_share("tolerance", tolerance)
        require_share("absolute_tolerance", absolute_tolerance)
        runtime, content = _loaded(file)
        parsed = DeployedFile(content)
        reference = Reference(model, parsed, tolerance, absolute_tolerance)
        axes = label_axes(model)
        reports = [EngineReport(parsed, RuntimeEngine(parsed, runtime), axes)]
        if stock:
            reports.append(EngineReport(parsed, StockEngine(parsed), axes))
        most = max(1, MOST_VALUES // max(1, parsed.values_a_sample))
        batches = Batches(model, data, samples, batch_size, reference.run)
        with closing(batches):
            _compare(reference, reports, Pieces(batches, most, limit))
    except tf.errors.InvalidArgumentError as error:
        raise ArgumentError(
            f'{where}: "{model.name}" itself does not run on the data: '
            f"{in_short(error)}.\n  Fix: inputs that it takes; model.predict(x) shows it."
        ) from error
    finally:
        WHERE.reset(token)
    others = [report.result(model.name) for report in reports[1:]]
    return reports[0].result(model.name, *others)


def _compare(reference: Reference, reports: list[EngineReport], pieces: Pieces) -> None:
    count = 0
    with bar("look at the model") as shown:
        for inputs in pieces:
            reference.measure(inputs)
            count += len(inputs[0])
            shown.advance(len(inputs[0]))
    if not count:
        raise ArgumentError(
            f"{WHERE.get()}: the data has no samples.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )
    if not reference.is_defined:
        raise ArgumentError(
            f"{WHERE.get()}: Keras gives NaN on all of the data, so there is nothing to "
            "compare.\n  Fix: inputs that the model takes; model.predict(x) shows it."
        )
    with bar("verify", count) as shown:
        for inputs in pieces:
            expected = reference(inputs)
            for report in reports:
                report.add(expected)
            shown.advance(expected.samples)


def _loaded(file: Any) -> tuple[larqlite_runtime.Model, bytes]:
    """The file, loaded, and its bytes."""
    where = WHERE.get()
    if isinstance(file, larqlite_runtime.Model):
        # A pickled model keeps the bytes of its file.
        _, (content, *_) = file.__reduce__()
        return file, content
    if isinstance(file, (bytes, bytearray)):
        return larqlite_runtime.load(bytes(file)), bytes(file)
    if not isinstance(file, (str, os.PathLike)):
        raise ArgumentError(
            f"{where}: {type(file).__name__} is no file.\n"
            "  Fix: a path, the bytes of a file, or what larqlite_runtime.load returns."
        )
    path = Path(file)
    if not path.is_file():
        raise MissingFileError(
            f'{where}: there is no file "{path}".\n'
            "  Fix: write it with lq.deploy.export(model, path)."
        )
    return larqlite_runtime.load(path), path.read_bytes()
