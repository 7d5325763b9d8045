"""What learned rounding did to the layers of a model, and means of what layers give out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.primitives import LearnedRounding

__all__ = ["LayerRounding", "RoundingReport"]


@dataclasses.dataclass(frozen=True)
class LayerRounding:
    """How the kernel of a layer was rounded.

    Attributes:
        name: of the layer, with those of the models around it.
        nearest_loss: mean squared error of its outputs with weights rounded to nearest.
        loss: that with the weights as they are now.
        changed: share of the weights that are not at the nearest level.
    """

    name: str
    nearest_loss: float
    loss: float
    changed: float

    @classmethod
    def of(cls, name: str, kernel, step, found: LearnedRounding) -> LayerRounding:
        """Of what was learned for a kernel with such steps."""
        moved = np.abs(found.weights - kernel) > np.asarray(step) * 0.501
        return cls(name, found.nearest_loss, found.loss, float(np.mean(moved)))


@dataclasses.dataclass(frozen=True)
class RoundingReport:
    """What `adaround` did; as text, a table.

    Attributes:
        layers: the layers in order.
        passed_over: reasons by name, of layers whose kernels are as they were.
        without_bias: names of layers whose mean error has no bias to go into.
    """

    layers: tuple[LayerRounding, ...]
    passed_over: Mapping[str, str] = dataclasses.field(default_factory=dict)
    without_bias: tuple[str, ...] = ()

    def __str__(self) -> str:
        width = max((len(layer.name) for layer in self.layers), default=5)
        lines = [f"{'layer':{width}}  error, nearest  error, learned  moved"]
        lines += [
            f"{layer.name:{width}}  {layer.nearest_loss:14.4g}  {layer.loss:14.4g}  "
            f"{layer.changed:5.1%}"
            for layer in self.layers
        ]
        lines += [f"{name}: {reason}" for name, reason in self.passed_over.items()]
        return "\n".join(lines)


def gathered(parts: Iterable, count: int) -> np.ndarray:
    """Batches as one array, without a second copy of it.

    Args:
        parts: arrays, or tensors.
        count: how many samples they have together.
    """
    found, at = None, 0
    for part in parts:
        values = np.asarray(part)
        if found is None:
            found = np.empty((count, *values.shape[1:]), values.dtype)
        found[at : at + len(values)] = values
        at += len(values)
    return found


class ChannelMeans:
    """The mean of each channel over batches, in float64.

    Args:
        is_first: whether channels are the first axis behind the batch, not the last.
    """

    def __init__(self, is_first: bool = False):
        self._is_first = is_first
        self._total: Any = 0.0
        self._count = 0

    def add(self, batch) -> ChannelMeans:
        """Takes a batch of outputs in; returns itself."""
        values = np.asarray(batch, np.float64)
        values = np.moveaxis(values, 1, -1) if self._is_first else values
        rows = values.reshape(-1, values.shape[-1])
        self._total, self._count = self._total + rows.sum(0), self._count + len(rows)
        return self

    def add_all(self, batches: Iterable) -> ChannelMeans:
        """Takes batches in; returns itself."""
        for batch in batches:
            self.add(batch)
        return self

    @property
    def value(self) -> np.ndarray:
        """The means so far."""
        return self._total / self._count


def slices(values: np.ndarray, size: int = 128) -> Iterator[np.ndarray]:
    """Parts of an array, samples first."""
    return (values[at : at + size] for at in range(0, len(values), size))


def require_steps(steps: Any, where: str) -> None:
    """Raises unless it is a number of steps."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ArgumentError(
            f"{where}: steps is {steps!r}.\n"
            "  Fix: how many steps of Adam each layer gets, as steps=1000."
        )


def say_left(log: logging.Logger, where: str, left: Mapping[str, str]) -> None:
    """Warns of layers that something was not done to."""
    for name, reason in left.items():
        log.warning('%s: "%s" is left as it is: %s.', where, name, reason)


NO_BIAS = "it has no bias that its mean error could go into"
