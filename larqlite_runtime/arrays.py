"""Arrays in `.npy` and `.npz` files, and what is wrong with a file that holds none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from larqlite_runtime._errors import InputError


def load_arrays(
    path: Path,
    where: str,
    how: str = "np.savez(path, x=inputs, y=labels)",
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
    if not path.is_file():
        raise missing(f"{where}: there is no such file.\n  Fix: write it with {how}.")
    try:
        # NumPy leaves a damaged file open that it has opened itself.
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                return {name: loaded[name] for name in loaded.files}
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
