"""Runs a model in Keras and its file on one or two engines, on the same data."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

import larqlite_runtime
from larqlite.deploy._inputs import check_model
from larqlite.deploy._registry import WHERE
from larqlite.deploy._verify import ABSOLUTE, TOLERANCE
from larqlite.deploy._verify_data import Batches, Pieces
from larqlite.deploy._verify_engine import RuntimeEngine, StockEngine
from larqlite.deploy._verify_expected import Reference
from larqlite.deploy._verify_file import File
from larqlite.deploy._verify_result import Verification, VerificationError
from larqlite.deploy._verify_tally import Tally
from larqlite.errors import ArgumentError, MissingFileError

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
) -> Verification:
    """See `larqlite.deploy.verify`; `where` is the function that messages name."""
    token = WHERE.set(where)
    try:
        check_model(model)
        runtime, content = _loaded(file)
        parsed = File(content)
        reference = Reference(model, parsed, tolerance, absolute_tolerance)
        tally = Tally(parsed, RuntimeEngine(parsed, runtime))
        second = Tally(parsed, StockEngine(parsed)) if stock else None
        count = 0
        most = max(1, MOST_VALUES // max(1, parsed.values_a_sample))
        with closing(Batches(model, data, samples, batch_size)) as batches:
            pieces = Pieces(batches, most)
            for inputs in pieces:
                reference.measure(inputs)
            for inputs in pieces:
                expected = reference(inputs)
                count += expected.samples
                tally.add(expected)
                if second is not None:
                    second.add(expected)
    finally:
        WHERE.reset(token)
    if not count:
        raise ArgumentError(
            f"{where}: the data has no samples.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )
    return tally.result(model.name, second and second.result(model.name))


def require_exact(model: tf_keras.Model, content: bytes) -> None:
    """Refuses a file that does not compute what its model does on random inputs.

    Raises:
        VerificationError: a packed layer is not exact, or the runtime refuses the file.
    """
    where = WHERE.get()
    fix = (
        "  Fix: no file was written. If a converter is your own "
        "(@lq.deploy.converter), see what it writes; else please report this. "
        "verify=False writes the file as it is, and lq.deploy.verify(model, path) shows "
        "where it departs."
    )
    try:
        found = run(model, content, None, 2, 2, False, TOLERANCE, ABSOLUTE, where)
    except larqlite_runtime.RuntimeModelError as error:
        raise VerificationError(
            f"{where}: larqlite_runtime cannot run the file: {error}\n{fix}"
        ) from error
    except tf.errors.OpError as error:
        raise VerificationError(
            f'{where}: "{model.name}" itself does not run: {error.message}\n{fix}'
        ) from error
    if not found.exact:
        raise VerificationError(
            f'{where}: the file does not compute what "{model.name}" does.\n{found}\n{fix}'
        )


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
