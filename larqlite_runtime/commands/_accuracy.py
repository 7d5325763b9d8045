"""How many labels of `lq run` are right, or why that cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelAccuracy:
    """How many labels are right; `str()` of it is a line.

    Attributes:
        share: of them; None if that cannot be told.
        count: of the labels.
        why: it cannot be told, or None.
    """

    share: float | None
    count: int = 0
    why: str | None = None

    def __str__(self) -> str:
        if self.share is None:
            return f"no accuracy: {self.why}"
        return f"accuracy: {100 * self.share:.2f} % of {self.count:,}"


def accuracies(
    outputs: Mapping[str, np.ndarray], labels: np.ndarray | None
) -> dict[str, LabelAccuracy]:
    """The accuracy of each output that the labels are of; if they are of none, why.

    Args:
        outputs: by name, `(samples, ..., classes)`, or `(samples, 1)`.
        labels: numbers of classes `(samples, ...)`, or one-hot rows of the shape of an
            output; None if there are none.
    """
    if labels is None:
        return {}
    found = {name: _of(array, labels) for name, array in outputs.items()}
    right = {name: one for name, one in found.items() if one.share is not None}
    return right or found


def _of(output: np.ndarray, labels: np.ndarray) -> LabelAccuracy:
    shapes = f"y ({_sizes(labels)}) and an output ({_sizes(output)})"
    if labels.dtype.kind not in "biuf":
        return _none(f"y holds {labels.dtype}, not numbers of classes")
    if not np.isfinite(labels).all():
        return _none("y holds NaN or infinite numbers")
    if output.ndim == 1 or output.shape[-1] == 1:
        return _of_two_classes(output, labels, shapes)
    for axis in dict.fromkeys((output.ndim - 1, 1)):
        classes = output.shape[axis]
        places = tuple(np.delete(output.shape, axis))
        if labels.shape in (places, (*places, 1)):
            return _of_numbers(output.argmax(axis), labels.reshape(places), classes)
        if labels.shape == output.shape and _is_one_hot(labels, axis):
            return _share(output.argmax(axis) == labels.argmax(axis))
    if labels.shape == output.shape:
        return _none(
            "y has the shape of the output, but its rows are not one class each (one 1, "
            "the rest 0)"
        )
    return _none(f"{shapes} do not fit")


def _of_numbers(found: np.ndarray, labels: np.ndarray, classes: int) -> LabelAccuracy:
    if (labels != np.rint(labels)).any():
        return _none("y holds fractions, not numbers of classes")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        return _none(
            f"y goes from {low:g} to {high:g}, and the output has the "
            f"classes 0 to {classes - 1}"
        )
    return _share(found == labels)


def _of_two_classes(
    output: np.ndarray, labels: np.ndarray, shapes: str
) -> LabelAccuracy:
    if labels.size != output.size or len(labels) != len(output):
        return _none(f"{shapes} do not fit")
    if not np.isin(labels, (0, 1)).all():
        return _none("of an output of one value, y is 0 or 1")
    if not ((output >= 0) & (output <= 1)).all():
        return _none(
            "the output is one value, and no probability, so its threshold is not known"
        )
    return _share((output.ravel() > 0.5) == labels.ravel())


def _is_one_hot(labels: np.ndarray, axis: int) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis) == 1).all())


def _share(is_right: np.ndarray) -> LabelAccuracy:
    return LabelAccuracy(float(is_right.mean()), is_right.size)


def _none(why: str) -> LabelAccuracy:
    return LabelAccuracy(None, why=why)


def _sizes(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
