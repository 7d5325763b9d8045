"""Runs a model in Keras and its file on one or two engines, on the same data."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf
import tf_keras

import larqlite_runtime
from larqlite._progress import bar
from larqlite.deploy.converters import check_model, require_count, require_share
from larqlite.deploy.verifier._data import Batches, Pieces
from larqlite.deploy.verifier._deployed_file import DeployedFile
from larqlite.deploy.verifier._engine import RuntimeEngine, StockEngine
from larqlite.deploy.verifier._engine_report import EngineReport
from larqlite.deploy.verifier._expected import Expected, Reference
from larqlite.deploy.verifier._precision import PrecisionReport
from larqlite.deploy.verifier._random_inputs import in_short, random_pixels
from larqlite.deploy.verifier._result import Verification
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.models.internal import label_axes
from larqlite.onnx_graph import WHERE

# Inputs and outputs of packed layers that are held at a time; some ten copies of them are.
MOST_VALUES = 2**24
FLOAT32, PIXELS = "float32", "int8-input"


class BatchCounter(Protocol):
    """Counts what a file gives, batch by batch."""

    def add(self, expected: Expected) -> None:
        """Takes a batch into account, with what Keras gives there."""


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
    precision: str | None = None,
) -> Verification:
    """See `larqlite.deploy.verify`; `where` is the function that messages name, `limit`
    the number of samples of the data that count, `precision` None that of a loaded file."""
    with _asked(where, model, samples, batch_size, tolerance, absolute_tolerance):
        runtime, content, reduced = _loaded(file, precision)
        parsed = DeployedFile(content)
        reference = Reference(model, parsed, tolerance, absolute_tolerance)
        axes = label_axes(model)
        reports = [EngineReport(parsed, RuntimeEngine(parsed, runtime), axes)]
        if stock:
            reports.append(EngineReport(parsed, StockEngine(parsed), axes))
        asked = precision or (reduced or runtime).precision
        if reduced is not None:
            reduced = PrecisionReport(parsed, reduced, asked, axes)
            reports.append(reduced)
        if asked == PIXELS and data is None:
            data = random_pixels(model, samples)
        with closing(
            Batches(model, data, samples, batch_size, reference.run)
        ) as batches:
            _compare(reference, reports, _pieces(batches, parsed, limit))
    others = [report.result(model.name) for report in reports[1 : 1 + stock]]
    found = reports[0].result(model.name, *others)
    if reduced is None:
        return found
    return dataclasses.replace(found, reduced=reduced.result())


def run_reports(
    model: tf_keras.Model,
    file: str | os.PathLike | bytes,
    make: Callable[[DeployedFile, Sequence[int | None]], Sequence[BatchCounter]],
    data: Any,
    samples: int,
    batch_size: int,
    tolerance: float,
    absolute_tolerance: float,
    where: str,
) -> None:
    """Has others count what a file gives on the same data as Keras.

    Args:
        model, file, data, samples, batch_size, tolerance, absolute_tolerance: as of
            `larqlite.deploy.verify`.
        make: gives what counts, for the file and the axis of the classes of each output.
        where: the function that messages name.
    """
    with _asked(where, model, samples, batch_size, tolerance, absolute_tolerance):
        source = _source(file)
        is_content = isinstance(source, bytes)
        parsed = (
            DeployedFile(source)
            if is_content
            else DeployedFile(source.read_bytes(), str(source))
        )
        reference = Reference(model, parsed, tolerance, absolute_tolerance)
        with closing(
            Batches(model, data, samples, batch_size, reference.run)
        ) as batches:
            reports = make(parsed, label_axes(model))
            _compare(reference, reports, _pieces(batches, parsed))


@contextmanager
def _asked(
    where: str,
    model: tf_keras.Model,
    samples: int,
    batch_size: int,
    tolerance: float,
    absolute_tolerance: float,
) -> Iterator[None]:
    """Checks what was asked; messages name the function `where`."""
    token = WHERE.set(where)
    try:
        check_model(model)
        require_count("samples", samples)
        require_count("batch_size", batch_size)
        require_share("tolerance", tolerance)
        require_share("absolute_tolerance", absolute_tolerance)
        yield
    except tf.errors.InvalidArgumentError as error:
        raise ArgumentError(
            f'{where}: "{model.name}" itself does not run on the data: '
            f"{in_short(error)}.\n  Fix: inputs that it takes; model.predict(x) shows it."
        ) from error
    finally:
        WHERE.reset(token)


def _pieces(batches: Batches, file: DeployedFile, limit: int | None = None) -> Pieces:
    most = max(1, MOST_VALUES // max(1, file.values_a_sample))
    return Pieces(batches, most, limit)


def _compare(
    reference: Reference, reports: Sequence[BatchCounter], pieces: Pieces
) -> None:
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


def _loaded(
    file: Any, precision: str | None
) -> tuple[larqlite_runtime.Model, bytes, larqlite_runtime.Model | None]:
    """The file, loaded in float32, its bytes, and it in another precision if one is meant."""
    if isinstance(file, larqlite_runtime.Model):
        # A pickled model keeps the bytes of its file.
        _, (content, *_) = file.__reduce__()
        isa = None if file.isa == "numpy" else file.isa
        options = {"threads": file.threads, "isa": isa, "budget": file.budget}
        if precision in (None, file.precision):
            if file.precision == FLOAT32:
                return file, content, None
            return larqlite_runtime.load(content, **options), content, file
        exact = file
        if file.precision != FLOAT32:
            exact = larqlite_runtime.load(content, **options)
    else:
        source, options = _source(file), {}
        exact = larqlite_runtime.load(source)
        content = source if isinstance(source, bytes) else source.read_bytes()
    if precision in (None, FLOAT32):
        return exact, content, None
    reduced = larqlite_runtime.load(content, precision=precision, **options)
    return exact, content, reduced


def _source(file: Any) -> Path | bytes:
    """The path of a file that is there, or its bytes."""
    where = WHERE.get()
    if isinstance(file, (bytes, bytearray)):
        return bytes(file)
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
    return path
