"""Data files, the one reader of all commands: `.npy` and `.npz`, and what in them is what.

A `.npy` holds the only input. A `.npz` holds an array for each input by its name; for the
only one it may be called `x`, with labels `y`; or be in two parts, `x_train` (or `x`) and
`x_test`, with `y_train` and `y_test`; or, if it is alone but for labels, have any name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from larqlite_runtime import outputs
from larqlite_runtime._errors import InputError

HOW = "np.savez(path, x=inputs, y=labels)"
_HOW = "  Fix: write it with np.savez(path, {})."
# Names of the only input of a model, by the part that is asked for, the best first.
_INPUTS = {"train": ("x", "x_train"), "test": ("x_test", "x", "x_train")}
# Names of labels, by that of their inputs; "y" beside others.
_LABELS = {"x_train": "y_train", "x_test": "y_test"}
Shape = Sequence[int | None]


@dataclass(frozen=True)
class LabeledArrays:
    """Inputs, and labels if there are any.

    Attributes:
        inputs: arrays by the name of the input.
        labels: or None.
        names: of the arrays in the file that the inputs are.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray | None
    names: tuple[str, ...] = ()

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(next(iter(self.inputs.values())))

    def batch(self, start: int, size: int) -> dict[str, np.ndarray]:
        """Some of the samples."""
        return {
            name: array[start : start + size] for name, array in self.inputs.items()
        }

    def first(self, count: int) -> LabeledArrays:
        """The first samples, with their labels."""
        labels = None if self.labels is None else self.labels[:count]
        return LabeledArrays(self.batch(0, count), labels, self.names)


def read(
    path: Path,
    names: Sequence[str],
    where: str,
    part: Literal["train", "test"] = "test",
) -> LabeledArrays:
    """Inputs of a model from a file, with labels if there are any.

    Args:
        path: of the file.
        names: of the inputs of the model.
        where: the command, for messages.
        part: what is read of a file in two parts.

    Raises:
        InputError: there is no such file, or it holds no such arrays.
    """
    where = f"{where}: --data {path}"
    return inputs_of(load_arrays(path, where), names, where, part)


def inputs_of(
    arrays: np.ndarray | Mapping[str, np.ndarray],
    names: Sequence[str],
    where: str,
    part: Literal["train", "test"] = "test",
    *,
    shapes: Sequence[Shape] | None = None,
    joined: bool = False,
    refused: type[Exception] = InputError,
) -> LabeledArrays:
    """Which arrays of a file are the inputs of a model, and which the labels.

    Args:
        arrays: of `load_arrays`.
        names: of the inputs.
        where: what messages begin with.
        part: what is taken of arrays in two parts.
        shapes: of the inputs without the batch, None for an open size: arrays of others
            are refused. None leaves that to whoever computes with them.
        joined: whether all arrays that are no labels are the only input, one after the
            other, also beside one that has its name.
        refused: the class of errors.

    Raises:
        refused: arrays are missing, differ in length, or are of another shape.

    Example:
        >>> found = inputs_of({"x": np.zeros((5, 2)), "y": np.ones(5)}, ["image"], "net")
        >>> found.samples, found.inputs["image"].shape, found.labels.shape
        (5, (5, 2), (5,))
    """
    if isinstance(arrays, np.ndarray):
        arrays = {"x": arrays}
    keys = _keys(arrays, names, part, joined)
    if keys is None:
        wanted = 'an array "x"' if len(names) == 1 else f"arrays {_listed(names)}"
        how = "x=inputs" if len(names) == 1 else "**{name: array}"
        raise refused(
            f"{where}: it holds {_listed(arrays) or 'nothing'}, but the model needs "
            f"{wanted}.\n{_HOW.format(how)}"
        )
    for place, key in enumerate(keys):
        if shapes is not None:
            shape = shapes[min(place, len(shapes) - 1)]
            _require_shape(key, arrays[key], shape, where, refused)
    if len(names) == len(keys):
        found = {name: arrays[key] for name, key in zip(names, keys, strict=True)}
    else:
        found = {names[0]: np.concatenate([arrays[key] for key in keys])}
    lengths = {len(array) if array.ndim else 0 for array in found.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise refused(
            f"{where}: the inputs have {' and '.join(map(str, sorted(lengths)))} "
            f"samples.\n{_HOW.format('x=inputs')}"
        )
    labels = arrays.get(_LABELS.get(keys[0], "y")) if len(names) == len(keys) else None
    (count,) = lengths
    if labels is not None and (not labels.ndim or len(labels) != count):
        given = f"{len(labels)} labels" if labels.ndim else "a single label"
        raise refused(
            f"{where}: {count} inputs, but {given}.\n"
            f"{_HOW.format('x=inputs, y=labels')}"
        )
    return LabeledArrays(found, labels, tuple(keys))


def require_output(
    path: Path | None, names: Sequence[str], where: str, read: Sequence[Path] = ()
) -> None:
    """Refuses a path that arrays cannot be written to.

    Raises:
        InputError: several arrays for a `.npy`, or what `outputs.require` refuses.
    """
    if path is None:
        return
    where = f"{where}: --output"
    outputs.require(path, outputs.ARRAYS, where, read=read)
    if path.suffix.lower() == ".npy" and len(names) > 1:
        raise InputError(
            f"{where} {path}: {len(names)} outputs cannot be written as .npy.\n"
            f"  Fix: {path.with_suffix('.npz')}"
        )


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays; what was there before stays if that fails."""
    with outputs.written_whole(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, next(iter(arrays.values())))
        else:
            np.savez(file, **arrays)


def load_arrays(
    path: Path,
    where: str,
    how: str = HOW,
    refused: type[Exception] = InputError,
    missing: type[Exception] = InputError,
) -> np.ndarray | dict[str, np.ndarray]:
    """The array in a `.npy` file, or those in a `.npz` file by their names.

    Args:
        path: of the file.
        where: what messages begin with.
        how: to write such a file.
        refused: the class of errors.
        missing: the same where there is no file.

    Raises:
        missing: there is no such file.
        refused: it is no file of arrays of numbers, or is damaged.
    """
    if path.is_dir():
        raise missing(
            f"{where}: it is a folder, and no file of arrays.\n"
            f"  Fix: turn what is in it into numbers, as the model is fed, and write these "
            f"with {how}."
        )
    if not path.is_file():
        raise missing(f"{where}: there is no such file.\n  Fix: write it with {how}.")
    try:
        # NumPy leaves a damaged file open that it has opened itself.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                found = {name: loaded[name] for name in loaded.files}
            for name, array in found.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"it is an archive of other files, such as {name}")
            return found
    except Exception as error:  # zipfile, zlib and NumPy each have errors of their own
        if isinstance(error, (MemoryError, PermissionError)):
            raise
        # NumPy advises to load anything that it does not know as Python objects.
        is_advice = "pickle" in str(error)
        why = "no arrays of numbers are in it" if is_advice else str(error)
        raise refused(
            f"{where}: NumPy cannot read it ({why or type(error).__name__}).\n"
            f"  Fix: write it with {how}."
        ) from (None if is_advice else error)


def what_is_not_finite(arrays: Iterable[np.ndarray]) -> str | None:
    """A sentence on samples that hold NaN or infinite numbers; None if there are none.

    >>> what_is_not_finite([np.array([[1.0], [np.nan]])])
    '1 of 2 samples hold NaN or infinite numbers (the first is number 1)'
    """
    broken = np.zeros(0, bool)
    for array in arrays:
        if array.dtype.kind == "f" and array.ndim:
            own = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
            broken = own | broken if broken.shape == own.shape else own
    count = int(broken.sum())
    if not count:
        return None
    return (
        f"{count:,} of {len(broken):,} samples hold NaN or infinite numbers (the first is "
        f"number {int(broken.argmax())})"
    )


def _keys(
    arrays: Mapping[str, np.ndarray], names: Sequence[str], part: str, joined: bool
) -> list[str] | None:
    """The names of the arrays that the inputs are; None if some are missing."""
    inputs = [key for key in arrays if key not in ("y", *_LABELS.values())]
    if len(names) == 1 and joined and inputs and "x_test" not in arrays:
        return inputs
    if all(name in arrays for name in names):
        return list(names)
    if len(names) > 1:
        return None
    for key in _INPUTS[part]:
        if key in arrays:
            return [key]
    return inputs if len(inputs) == 1 else None


def _require_shape(
    key: str, array: np.ndarray, shape: Shape, where: str, refused
) -> None:
    found = array.shape[1:]
    fits = len(found) == len(shape) and all(
        wanted in (None, size) for size, wanted in zip(found, shape, strict=True)
    )
    if not fits or not array.ndim or array.dtype.kind not in "biuf":
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise refused(
            f'{where}: "{key}" has the shape {array.shape} and the type {array.dtype}, '
            f"but the model takes numbers of shape (samples, {wanted}).\n"
            "  Fix: save the inputs as the model is fed, and nothing else."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
