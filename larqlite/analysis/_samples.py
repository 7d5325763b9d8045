"""The inputs and labels that an analysis looks at, as arrays of the model's dtypes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._io import class_numbers, gives_probabilities, labelled_batches_of
from larqlite.errors import ArgumentError

__all__ = ["Samples"]


@dataclasses.dataclass(frozen=True)
class Samples:
    """Inputs, and labels where there are any.

    Attributes:
        inputs: what the model is called with: a tensor, or a list or dictionary of them.
        labels: an array with an entry for each, or None.
        count: how many.
        batch_size: how many are computed at once.
    """

    inputs: Any
    labels: np.ndarray | None
    count: int
    batch_size: int

    @classmethod
    def of(
        cls,
        model: tf_keras.Model,
        data: Any,
        samples: int | None,
        batch_size: int,
        where: str,
    ) -> Samples:
        """The first samples of what a user gave as data.

        Raises:
            ArgumentError: it is no data for the model, or without samples, or holds
                numbers that are not finite.
        """
        found: list[Any] = []
        labels: list[Any] = []
        count = 0
        # Batches have a sample at least, so that an endless data set has an end here.
        batches = labelled_batches_of(model, data, batch_size, samples, where)
        for inputs, of_batch in batches:
            # Of several inputs a tuple would be taken for inputs and labels.
            found.append(list(inputs) if isinstance(inputs, tuple) else inputs)
            labels.append(of_batch)
            count += len(tf.nest.flatten(inputs)[0])
            if samples is not None and count >= samples:
                break
        if not count:
            raise ArgumentError(
                f"{where}: the data has no samples.\n"
                "  Fix: pass at least one; a generator can be read only once."
            )
        joined = tf.nest.map_structure(
            lambda *parts: tf.concat(parts, 0)[:samples], *found
        )
        for tensor in tf.nest.flatten(joined):
            if tensor.dtype.is_floating and not np.isfinite(tensor.numpy()).all():
                raise ArgumentError(
                    f"{where}: the data hold numbers that are not finite.\n"
                    "  Fix: look for NaN and infinities, and leave them out."
                )
        y = None
        if all(part is not None for part in labels):
            y = np.concatenate([np.asarray(part) for part in labels])[:samples]
        return cls(joined, y, len(tf.nest.flatten(joined)[0]), batch_size)

    def first(self, count: int) -> Samples:
        """The first ones only."""
        inputs = tf.nest.map_structure(lambda tensor: tensor[:count], self.inputs)
        labels = None if self.labels is None else self.labels[:count]
        return Samples(inputs, labels, min(count, self.count), self.batch_size)

    def batches(self) -> Iterator[Any]:
        """The inputs, some at a time."""
        for start in range(0, self.count, self.batch_size):
            yield tf.nest.map_structure(
                lambda tensor, at=start: tensor[at : at + self.batch_size], self.inputs
            )

    def outputs(self, model: tf_keras.Model) -> list[np.ndarray]:
        """What a model gives for all of them, an array for each of its outputs."""
        parts = [
            [np.asarray(out) for out in tf.nest.flatten(model(batch, training=False))]
            for batch in self.batches()
        ]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def right(self, model: tf_keras.Model, outputs: list[np.ndarray]) -> Any:
        """Whether each label is named, by the outputs; None if labels are no classes."""
        if self.labels is None or len(outputs) != 1:
            return None
        (given,) = outputs
        wanted = class_numbers(model, self.labels)
        if wanted is not None:
            return given.argmax(axis=-1) == wanted
        is_bit = self.labels.size == self.count and set(np.unique(self.labels)) <= {
            0,
            1,
        }
        if is_bit and given.size == self.count:
            middle = 0.5 if gives_probabilities(model) else 0.0
            return (given.ravel() > middle) == (self.labels.ravel() == 1)
        return None
