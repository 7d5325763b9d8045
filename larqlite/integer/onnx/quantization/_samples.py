"""Batches of float32 samples for the calibration of an ONNX model."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.integer.onnx.quantization._prepare import FUNCTION

__all__ = ["batches_by_input", "batches_of"]

_DEFAULT_BATCH = 32
_HOW = (
    "  Fix: samples=array of shape (samples, ...); or an iterable of batches, e.g. a "
    "tf.data.Dataset or a generator, each of inputs or (inputs, labels)."
)


def batches_by_input(
    samples: Any,
    shapes: Mapping[str, tuple[tuple[int | None, ...], np.dtype]],
    num_samples: int = 1024,
    batch_size: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches for each input of a model, by its name.

    Args:
        samples: as of `batches_of` for one input; for several, a dictionary of arrays, or
            an iterable of dictionaries of batches, by name.
        shapes: sizes and dtype of each input.
        num_samples, batch_size: as of `batches_of`.

    Raises:
        ArgumentError: no dictionary of the inputs' names, arrays of unlike lengths, and
            what `batches_of` raises.
    """
    names = list(shapes)
    if samples is None:
        parts = dict.fromkeys(names)
    elif isinstance(samples, Mapping):
        parts = _by_name(samples, names)
    elif len(names) == 1:
        parts = {names[0]: samples}
    elif hasattr(samples, "__array__") or not isinstance(samples, Iterable):
        raise _no_names(f"samples is a {type(samples).__name__}", names)
    else:
        copies = itertools.tee(samples, len(names))
        parts = {
            name: _part_of(copy, name, names)
            for name, copy in zip(names, copies, strict=True)
        }
    streams = [
        batches_of(parts[name], shapes[name][0], num_samples, batch_size)
        for name in names
    ]
    for batches in itertools.zip_longest(*streams):
        lengths = {None if batch is None else len(batch) for batch in batches}
        if len(lengths) != 1:
            raise ArgumentError(
                f"{FUNCTION}: the samples of the inputs {names} are not equally many.\n"
                "  Fix: arrays of one length."
            )
        yield {
            name: batch.astype(shapes[name][1])
            for name, batch in zip(names, batches, strict=True)
        }


def _part_of(items: Iterable, name: str, names: list[str]) -> Iterator[Any]:
    for item in items:
        yield _by_name(item, names)[name]


def _by_name(item: Any, names: list[str]) -> Mapping[str, Any]:
    if not isinstance(item, Mapping) or set(item) != set(names):
        found = f"the names {sorted(item)}" if isinstance(item, Mapping) else "no names"
        raise _no_names(f"the samples have {found}", names)
    return item


def _no_names(what: str, names: list[str]) -> ArgumentError:
    example = ", ".join(f'"{name}": array' for name in names)
    return ArgumentError(
        f"{FUNCTION}: {what}, and the model has the inputs {names}.\n"
        f"  Fix: samples={{{example}}}, or an iterable of such dictionaries of batches."
    )


def batches_of(
    samples: Any,
    shape: tuple[int | None, ...],
    num_samples: int = 1024,
    batch_size: int | None = None,
) -> Iterator[np.ndarray]:
    """Batches of at most `num_samples` samples altogether.

    Args:
        samples: an array, or an iterable of batches or of single samples, each of inputs
            or `(inputs, labels)`; None for random integers, uint8 if there are 1 or 3
            channels, else int8.
        shape: of the model's input. A batch of fixed size is filled up with repetitions,
            which change no range.
        num_samples: how many count.
        batch_size: of arrays and random samples; 32 by default.

    Raises:
        ArgumentError: samples of another shape, that are no finite numbers, or none.
    """
    for name, value in (("num_samples", num_samples), ("batch_size", batch_size)):
        is_count = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if (value is not None or name == "num_samples") and not (
            is_count and value > 0
        ):
            raise ArgumentError(
                f"{FUNCTION}: {name}={value!r}.\n  Fix: a positive whole number."
            )
    size = shape[0] or batch_size or _DEFAULT_BATCH
    rest = num_samples
    for batch in _given(samples, shape, num_samples, size):
        batch = _numbers(batch)
        if batch.ndim == len(shape) - 1:
            batch = batch[None]
        batch = batch[:rest] if batch.ndim else batch
        _require(batch, shape, num_samples - rest)
        rest -= len(batch)
        step = shape[0] or max(len(batch), 1)
        for first in range(0, len(batch), step):
            part = batch[first : first + step]
            yield part[np.arange(step) % len(part)] if shape[0] else part
        if rest == 0:
            return
    if rest == num_samples:
        raise ArgumentError(f"{FUNCTION}: the samples are empty.\n{_HOW}")


def _given(
    samples: Any, shape: tuple[int | None, ...], count: int, size: int
) -> Iterator[Any]:
    if samples is None:
        return _random(shape, count, size)
    if hasattr(samples, "__array__"):
        array = np.asarray(samples)
        if array.ndim != len(shape):
            return iter([array])
        return (array[i : i + size] for i in range(0, min(len(array), count), size))
    if not isinstance(samples, Iterable) or isinstance(samples, (str, bytes, dict)):
        raise ArgumentError(
            f"{FUNCTION}: samples is a {type(samples).__name__}, which is no data.\n{_HOW}"
        )
    return _inputs(samples)


def _inputs(samples: Iterable) -> Iterator[Any]:
    for item in itertools.chain(samples):
        has_labels = isinstance(item, tuple) and len(item) in (1, 2, 3)
        yield item[0] if has_labels else item


def _random(
    shape: tuple[int | None, ...], count: int, size: int
) -> Iterator[np.ndarray]:
    if None in shape[1:]:
        raise ArgumentError(
            f"{FUNCTION}: no samples were given, and there are no random ones for an input "
            f"of open size, {shape}.\n{_HOW}"
        )
    random = np.random.default_rng(0)
    is_image = len(shape) == 4 and bool({1, 3} & {shape[1], shape[3]})
    low, high = (0, 256) if is_image else (-128, 128)
    for first in range(0, count, size):
        yield random.integers(low, high, (min(size, count - first), *shape[1:]))


def _numbers(batch: Any) -> np.ndarray:
    array = np.asarray(batch)
    if array.dtype.kind not in "fiub":
        raise ArgumentError(
            f"{FUNCTION}: the samples are {array.dtype}, not numbers.\n{_HOW}"
        )
    return array.astype(np.float32)


def _require(batch: np.ndarray, shape: tuple[int | None, ...], before: int) -> None:
    fits = batch.ndim == len(shape) and all(
        wanted in (None, found)
        for wanted, found in zip(shape[1:], batch.shape[1:], strict=True)
    )
    if not fits:
        found = batch.shape[1:] if batch.ndim == len(shape) else batch.shape
        raise ArgumentError(
            f"{FUNCTION}: a sample has the shape {found}, and the model takes "
            f"{shape[1:]}.\n{_HOW}"
        )
    wrong = np.flatnonzero(~np.isfinite(batch).reshape(len(batch), -1).all(axis=1))
    if wrong.size:
        raise ArgumentError(
            f"{FUNCTION}: sample {before + int(wrong[0])} holds NaN or infinity.\n"
            "  Fix: leave it out, or put numbers in its place."
        )
