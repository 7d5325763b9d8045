"""Counts the values and labels of a file that are not those of Keras."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.verifier._expected import Wanted
from larqlite.deploy.verifier._floors import TINY
from larqlite.deploy.verifier._result import Differences


class Counter:
    """How many values differ, and by how much.

    What counts as a difference is told by each array (`Wanted.limit`), so the order in
    which arrays come, and how many of them, change nothing. Where Keras gives NaN, which
    packed layers cannot carry on, nothing is compared.
    """

    def __init__(self) -> None:
        self._values = self._different = self._unexplained = 0
        self._undefined = self._ties = 0
        self._largest = self._magnitude = 0.0

    def add(self, wanted: Wanted, found: np.ndarray | None) -> None:
        """Compares an array with that of Keras; None is one that was only fed."""
        if found is None:
            return
        expected = wanted.array
        if found.shape != expected.shape:  # stored as Keras has it
            found = np.moveaxis(found, -1, 1)
        if wanted.is_exact:
            factor = np.float32(wanted.factor)
            expected, found = np.rint(expected * factor), np.rint(found * factor)
        is_undefined = np.isnan(expected)
        self._values += expected.size
        self._undefined += int(is_undefined.sum())
        self._magnitude = max(self._magnitude, wanted.magnitude)
        if np.array_equal(expected, found):
            return
        same = (expected == found) | is_undefined
        with np.errstate(invalid="ignore"):  # of infinities that are the same
            difference = np.abs(np.where(same, 0, expected.astype(np.float64) - found))
        is_different = ~(difference <= wanted.limit)  # so that NaN is
        is_explained = np.zeros_like(is_different)
        if wanted.low is not None:
            low, high = (
                end * np.float32(wanted.factor) for end in (wanted.low, wanted.high)
            )
            room = wanted.limit + 1e-3 * wanted.is_exact
            is_explained = (found >= low - room) & (found <= high + room) & is_different
        self._different += int(is_different.sum())
        self._unexplained += int((is_different & ~is_explained).sum())
        if wanted.is_tie is not None:
            self._ties += int((is_different & wanted.is_tie).sum())
        difference[is_explained] = 0
        # NaN, where only the file has it, stays the largest.
        self._largest = float(np.maximum(self._largest, difference.max(initial=0)))

    def counted(self) -> Differences | None:
        """What was counted; None if nothing was."""
        if not self._values:
            return None
        return Differences(
            self._values,
            self._different,
            self._unexplained,
            self._largest,
            self._largest / max(self._magnitude, TINY),
            self._undefined,
            self._ties,
        )


class Labels:
    """How many labels there are, how many agree, and how many are ties in Keras.

    Args:
        axis: of the classes; None if the output has none.
    """

    def __init__(self, axis: int | None) -> None:
        self._axis = axis
        self.count = self.agreeing = self.ties = 0

    def add(self, wanted: Wanted, found: np.ndarray) -> None:
        """Takes a batch into account; where Keras gives NaN, there is no label."""
        if self._axis is None:
            return
        keras, file = (
            np.moveaxis(array, self._axis, -1).reshape(-1, array.shape[self._axis])
            for array in (wanted.array, found)
        )
        is_defined = ~np.isnan(keras).any(-1)
        keras, file = keras[is_defined], file[is_defined]
        first, second = keras.argmax(-1), file.argmax(-1)
        differ = first != second
        # Either of the two classes may be off by the limit.
        rows = np.arange(len(keras))
        with np.errstate(invalid="ignore"):  # of infinities
            ahead = keras[rows, first] - keras[rows, second]
        is_tie = differ & (ahead.astype(np.float64) <= 2 * float(wanted.limit))
        self.count += len(keras)
        self.agreeing += int((~differ).sum())
        self.ties += int(is_tie.sum())
