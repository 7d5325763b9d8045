"""The samples that a model and its file are compared on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.deploy._registry import WHERE
from larqlite.qat._batches import batches_of

Batch = list[np.ndarray]


class Pieces:
    """Samples, a few at a time, as often as they are asked for.

    Data that can be read once only, such as a generator, are kept in a temporary file.

    Args:
        batches: an array for each input of a model, batch by batch.
        most: how many samples there may be at a time.
    """

    def __init__(self, batches: Iterable[Batch], most: int) -> None:
        self._batches = batches
        self._most = most
        self._only: Batch | None = None

    def __iter__(self) -> Iterator[Batch]:
        if self._only is not None:
            yield self._only
            return
        count = 0
        for batch in self._batches:
            for start in range(0, len(batch[0]), self._most):
                piece = [array[start : start + self._most] for array in batch]
                count += 1
                yield piece
        if count == 1:
            self._only = piece


def random_inputs(model: tf_keras.Model, samples: int) -> Batch:
    """Normally distributed inputs, the same ones every time."""
    rng = np.random.default_rng(1)
    return [
        rng.normal(size=(samples, *tensor.shape[1:])).astype(np.float32)
        for tensor in model.inputs
    ]


class Batches:
    """An array for each input of a model, batch by batch, out of what users hand in.

    Args:
        model: the model.
        data: see `lq.deploy.verify`; random inputs if it is None.
        samples: how many random ones.
        batch_size: for arrays.
    """

    def __init__(
        self, model: tf_keras.Model, data: Any, samples: int, batch_size: int
    ) -> None:
        if data is None:
            data = [random_inputs(model, samples)]
        is_labelled = isinstance(data, tuple) and len(data) in (2, 3)
        if is_labelled and len(data) != len(model.inputs):
            data = data[0]
        self._model = model
        self._data = data
        self._batch_size = batch_size
        self._kept: _Kept | None = None

    def close(self) -> None:
        """Removes what was kept."""
        if self._kept is not None:
            self._kept.close()

    def __iter__(self) -> Iterator[Batch]:
        if self._kept is not None:
            yield from self._kept
            return
        batches = map(self._arrays, self._read())
        if isinstance(self._data, Iterator):
            self._kept = _Kept()
            for batch in batches:
                self._kept.add(batch)
                yield batch
        else:
            yield from batches

    def _read(self) -> Iterator[Any]:
        return batches_of(self._model, self._data, self._batch_size, where=WHERE.get())

    def _arrays(self, batch: Any) -> Batch:
        if isinstance(batch, dict):
            batch = [batch[name] for name in self._model.input_names]
        return [
            np.asarray(array).reshape((-1, *tensor.shape[1:]))
            for array, tensor in zip(
                tf.nest.flatten(batch), self._model.inputs, strict=True
            )
        ]


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
