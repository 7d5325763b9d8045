"""What `predict` is given, as batches of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from larqlite_runtime._errors import InputError, InputTypeError
from larqlite_runtime._graph import CheckedGraph, Shape
from larqlite_runtime._input import check_inputs


def batches_of(
    given, batch_size: int, inputs: Mapping[str, Shape]
) -> tuple[Iterable, int | None]:
    """The batches, and how many there are if that is known.

    Args:
        given: an array or a dictionary of arrays, which are cut into batches, or an
            iterable of batches, or of tuples of batches and labels.
        batch_size: samples of a batch that is cut.
        inputs: shapes of the inputs by name.

    Raises:
        InputError: an array of a wrong shape, or what is neither.
    """
    if not isinstance(given, Mapping) and hasattr(given, "__array__"):
        given = np.asarray(given)  # a tensor of any library
    if isinstance(given, (np.ndarray, Mapping)):
        return _cut(given, batch_size, inputs)
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise InputTypeError(
            f"predict: {type(given).__name__} is neither an array nor an iterable of "
            "batches.\n  Fix: give an array of samples, a list of batches, or a dataset."
        )
    try:
        total = len(given)
    except TypeError:
        total = None  # a generator, or a dataset that does not know its length
    return (without_labels(batch, inputs) for batch in given), total


def _cut(given, batch_size: int, inputs: Mapping[str, Shape]) -> tuple[Iterator, int]:
    if isinstance(given, np.ndarray):
        arrays = {"": given}
    else:
        arrays = {name: np.asarray(array) for name, array in given.items()}

    def part(begin: int, end: int):
        parts = {name: array[begin:end] for name, array in arrays.items()}
        return parts[""] if isinstance(given, np.ndarray) else parts

    check_inputs(CheckedGraph(inputs=dict(inputs)), part(0, 1))
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"predict: the arrays have different numbers of samples, {lengths}.\n  Fix: "
            "give each input as many samples."
        )
    length = next(iter(lengths.values()))
    starts = range(0, length, batch_size)
    return (part(at, at + batch_size) for at in starts), len(starts)


def without_labels(batch, inputs: Mapping[str, Shape]):
    """The inputs of what may be `(inputs, labels)` or `(inputs, labels, weights)`.

    A tuple of as many arrays as the model has inputs is all inputs, and so is one of
    samples.
    """
    if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
        return batch
    first = batch[0]
    if len(inputs) > 1:
        is_whole = isinstance(first, (Mapping, list, tuple))
        return first if is_whole else batch
    if isinstance(first, Mapping):
        return first
    (shape,) = inputs.values()
    return first if np.ndim(first) == len(shape) else batch
