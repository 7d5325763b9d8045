"""Counts the labels of an output that are those of Keras."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.verifier._expected import Wanted


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
