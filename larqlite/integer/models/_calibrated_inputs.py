"""What an integer model takes as inputs, and what of some numbers it cuts to take them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.graph import LayerCall, follow
from larqlite.integer.layers.internal import QuantizedLayer, held_inputs

__all__ = ["Seen", "cut", "readers_of", "watched"]


def readers_of(model: tf_keras.Model) -> list[list[QuantizedLayer]]:
    """The integer layers that read each input of a model as it comes."""
    readers: list[list[QuantizedLayer]] = [[] for _ in model.inputs]

    def apply(call: LayerCall) -> list[None]:
        if isinstance(call.layer, QuantizedLayer):
            for number in call.inputs:
                if number is not None and call.layer not in readers[number]:
                    readers[number].append(call.layer)
        return [None] * len(call.output_tensors)

    follow(model, list(range(len(readers))), apply)
    return readers


def cut(values: Any, dtype: tf.DType) -> int:
    """How many numbers an integer layer would change: fractions go, and what is beyond
    the range of the integers is limited."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return 0
    low, high = held_inputs(dtype)
    array = array.astype(np.float64)
    return int(np.sum((array != np.trunc(array)) | (array < low) | (array > high)))


@dataclasses.dataclass
class Seen:
    """What was seen of one input.

    Attributes:
        name: of the input.
        dtype: that the model takes.
        low, high: smallest and largest number.
        count: how many numbers there were.
        cut: how many of them integers do not hold.
    """

    name: str
    dtype: tf.DType
    low: float = np.inf
    high: float = -np.inf
    count: int = 0
    cut: int = 0

    def add(self, values: Any) -> None:
        """Takes a batch into account."""
        array = np.asarray(values)
        if not array.size:
            return
        self.low = min(self.low, float(np.min(array)))
        self.high = max(self.high, float(np.max(array)))
        self.count += array.size
        self.cut += cut(array, self.dtype)

    def as_config(self) -> dict:
        """As plain data, for the layers that read the input."""
        return {"low": self.low, "high": self.high, "cut": self.cut / self.count}

    def words(self, where: str, is_only: bool) -> str | None:
        """What is wrong with these numbers, and the way out; None if nothing is."""
        if self.cut:
            return self._words_of_cuts(where, is_only)
        if self.low == self.high and self.count > 1:
            return (
                f'{where}: all samples of the input "{self.name}" are {self.low:g}: the '
                "ranges of other inputs will differ.\n"
                "  Fix: pass some hundred real inputs."
            )
        return None

    def _words_of_cuts(self, where: str, is_only: bool) -> str:
        low, high = held_inputs(self.dtype)
        most = max(abs(self.low), abs(self.high))
        scale = self.high / 255 if self.low >= 0 else most / 127
        how = (
            "model = lq.integer.models.transforms.insert_rescaling(model, scale, 0.0)"
            if is_only
            else f'a tf_keras.layers.Rescaling(scale) right behind "{self.name}"'
        )
        return (
            f"{where}: {self.cut / self.count:.0%} of the samples' numbers for the input "
            f'"{self.name}", which lie between {self.low:g} and {self.high:g}, are no whole '
            f"numbers from {low} to {high}: the integer model cuts them, and computes with "
            "what is left.\n"
            f"  Fix: scale = {scale!r}; {how}; and feed np.round(x / scale), as samples "
            "and ever after."
        )


def watched(model: tf_keras.Model, qmodel: tf_keras.Model) -> list[Seen | None]:
    """A `Seen` for each input that integer layers read as it comes, None for the others.

    Args:
        model: what the samples are fed to, which says their dtypes.
        qmodel: the integer model.
    """
    return [
        Seen(name, tensor.dtype) if readers else None
        for name, tensor, readers in zip(
            model.input_names, model.inputs, readers_of(qmodel), strict=True
        )
    ]


def keep(qmodel: tf_keras.Model, seen: list[Seen | None]) -> None:
    """Lets the layers that read the inputs know what they were calibrated with."""
    for one, readers in zip(seen, readers_of(qmodel), strict=True):
        for layer in readers:
            if one is not None and one.count:
                layer.calibrated_inputs = one.as_config()


def warn(seen: list[Seen | None], where: str) -> None:
    """Warns of samples that integers do not hold, or that say nothing."""
    for one in seen:
        words = one.words(where, len(seen) == 1) if one is not None else None
        if words:
            warnings.warn(words, stacklevel=4)


def known_ends(qmodel: tf_keras.Model) -> list[tuple[float, float] | None]:
    """Smallest and largest number that each input was calibrated with, None if unknown."""
    found: list[tuple[float, float] | None] = []
    for readers in readers_of(qmodel):
        configs = [r.calibrated_inputs for r in readers if r.calibrated_inputs]
        found.append(
            (min(c["low"] for c in configs), max(c["high"] for c in configs))
            if configs
            else None
        )
    return found
