"""The samples that a model and its file are compared on."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tf_keras

from larqlite._io import batches_of
from larqlite.deploy.verifier._random_inputs import random_inputs
from larqlite.errors import ArgumentError
from larqlite.graph import in_order
from larqlite.onnx_graph import WHERE

Batch = list[np.ndarray]


class Pieces:
    """Samples, a few at a time, as often as they are asked for.

    Data that can be read once only, such as a generator, are kept in a temporary file.

    Args:
        batches: an array for each input of a model, batch by batch.
        most: how many samples there may be at a time.
        limit: how many count altogether; None for all.
    """

    def __init__(
        self, batches: Iterable[Batch], most: int, limit: int | None = None
    ) -> None:
        self._batches = batches
        self._most = most
        self._limit = limit
        self._only: Batch | None = None

    def __iter__(self) -> Iterator[Batch]:
        if self._only is not None:
            yield self._only
            return
        count = 0
        for piece in self._cut():
            count += 1
            yield piece
        if count == 1:
            self._only = piece

    def _cut(self) -> Iterator[Batch]:
        left = sys.maxsize if self._limit is None else self._limit
        for batch in self._batches:
            size = min(len(batch[0]), left)
            if size == len(batch[0]) <= self._most:
                yield batch
            else:
                for start in range(0, size, self._most):
                    end = min(start + self._most, size)
                    yield [array[start:end] for array in batch]
            left -= size
            if not left:
                return


class Batches:
    """An array for each input of a model, batch by batch, out of what users hand in.

    Args:
        model: the model.
        data: see `lq.deploy.verify`; random inputs if it is None.
        samples: how many random ones.
        batch_size: for arrays.
        run: what the model computes for a batch.

    Raises:
        ArgumentError: no random inputs are known on which the model gives numbers.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        data: Any,
        samples: int,
        batch_size: int,
        run: Callable[[Batch], Any],
    ) -> None:
        is_labelled = isinstance(data, tuple) and len(data) in (2, 3)
        if is_labelled and len(data) != len(model.inputs):
            data = data[0]
        self._model = model
        self._data = data
        self._batch_size = batch_size
        self._kept: _Kept | None = None
        self._random = _random(model, samples, run) if data is None else None

    def close(self) -> None:
        """Removes what was kept."""
        if self._kept is not None:
            self._kept.close()

    def __iter__(self) -> Iterator[Batch]:
        if self._random is not None:
            yield self._random
            return
        if self._kept is not None:
            yield from self._kept
            return
        batches = map(self._arrays, self._read())
        is_sequence = isinstance(self._data, tf_keras.utils.Sequence)
        if isinstance(self._data, Iterator) and not is_sequence:
            self._kept = _Kept()
            for batch in batches:
                self._kept.add(batch)
                yield batch
        else:
            yield from batches

    def _read(self) -> Iterator[Any]:
        data = given = self._data
        if isinstance(given, tf_keras.utils.Sequence):
            # To iterate over one need not end (those of ImageDataGenerator do not).
            data = (given[number] for number in range(len(given)))
        return batches_of(self._model, data, self._batch_size, where=WHERE.get())

    def _arrays(self, batch: Any) -> Batch:
        return [
            np.asarray(array).reshape((-1, *tensor.shape[1:]))
            for array, tensor in zip(
                in_order(self._model, batch), self._model.inputs, strict=True
            )
        ]


def _random(model: tf_keras.Model, samples: int, run: Callable[[Batch], Any]) -> Batch:
    try:
        return random_inputs(model, samples, run)
    except LookupError as error:
        (why,) = error.args
        where = WHERE.get()
        given = "data=x)" if where == "lq.deploy.export" else "x)"
        call = f"{where}(model, path, {given}"
        raise ArgumentError(
            f'{where}: "{model.name}" cannot be compared on random inputs, because it '
            f"takes others: {why}.\n"
            f"  Fix: give a few inputs of yours: {call}; on the command line, --data FILE."
        ) from error


class _Kept:
    """Batches in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as this)
        self._sizes: list[int] = []

    def close(self) -> None:
        """Removes them."""
        self._file.close()

    def add(self, batch: Batch) -> None:
        """Puts a batch behind the others."""
        for array in batch:
            np.save(self._file, array)
        self._sizes.append(len(batch))

    def __iter__(self) -> Iterator[Batch]:
        self._file.seek(0)
        for size in self._sizes:
            yield [np.load(self._file) for _ in range(size)]
