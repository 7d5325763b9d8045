"""The data that commands read and write: arrays in `.npy` and `.npz` files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larqlite_runtime import outputs
from larqlite_runtime._errors import InputError
from larqlite_runtime.arrays import load_arrays

_HOW = "  Fix: write it with np.savez(path, {})."
# Names that the only input of a model may have, from the most special one on.
_INPUTS = ("x_test", "x")


@dataclass(frozen=True)
class LabeledArrays:
    """Inputs, and labels if there are any.

    Attributes:
        inputs: arrays by the name of the input.
        labels: or None.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray | None

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(next(iter(self.inputs.values())))

    def batch(self, start: int, size: int) -> dict[str, np.ndarray]:
        """Some of the samples."""
        return {
            name: array[start : start + size] for name, array in self.inputs.items()
        }


def read(path: Path, names: Sequence[str], where: str) -> LabeledArrays:
    """Inputs of a model from a file.

    Args:
        path: a `.npy` file with the only input; or a `.npz` file with an array for each
            input by its name, or `x` (or `x_test`) for the only one; and labels `y`
            (`y_test`).
        names: of the inputs of the model.
        where: the command, for messages.

    Raises:
        InputError: there is no such file, or it holds no such arrays.
    """
    where = f"{where}: --data {path}"
    arrays = load_arrays(path, where)
    if isinstance(arrays, np.ndarray):
        arrays = {"x": arrays}
    found = _inputs(arrays, names)
    if found is None:
        wanted = 'an array "x"' if len(names) == 1 else f"arrays {_listed(names)}"
        how = "x=inputs" if len(names) == 1 else "**{name: array}"
        raise InputError(
            f"{where}: it holds {_listed(arrays) or 'nothing'}, but the model needs "
            f"{wanted}.\n{_HOW.format(how)}"
        )
    lengths = {len(array) if array.ndim else 0 for array in found.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise InputError(
            f"{where}: the inputs have {' and '.join(map(str, sorted(lengths)))} "
            f"samples.\n{_HOW.format('x=inputs')}"
        )
    labels = arrays.get("y_test" if "x_test" in arrays else "y")
    (count,) = lengths
    if labels is not None and len(labels) != count:
        raise InputError(
            f"{where}: {count} inputs, but {len(labels)} labels.\n"
            f"{_HOW.format('x=inputs, y=labels')}"
        )
    return LabeledArrays(found, labels)


def check_output(
    path: Path | None, names: Sequence[str], where: str, read: Sequence[Path] = ()
) -> None:
    """Refuses a path that outputs cannot be written to.

    Raises:
        InputError: several outputs for a `.npy`, or what `outputs.require` refuses.
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


def write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays; what was there before stays if that fails."""
    with outputs.written_whole(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, next(iter(arrays.values())))
        else:
            np.savez(file, **arrays)


def _inputs(
    arrays: Mapping[str, np.ndarray], names: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """The arrays of the inputs, or None if some are missing."""
    if all(name in arrays for name in names):
        return {name: arrays[name] for name in names}
    if len(names) > 1:
        return None
    return next(({names[0]: arrays[key]} for key in _INPUTS if key in arrays), None)


def _listed(names) -> str:
    return ", ".join(f'"{name}"' for name in names)
