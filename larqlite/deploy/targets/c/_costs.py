"""What a step takes with an algorithm, estimated for a Cortex-M4 at -O2.

The figures were fitted to instructions that QEMU counted (`benchmarks/devices/`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larqlite.deploy.targets.c._layer import Layer
from larqlite_runtime.internal import EpilogueKind


@dataclass(frozen=True)
class StepCost:
    """What a step takes.

    Attributes:
        instructions: of one image, half of whose bits are -1.
        worst: of the image that takes longest.
        scratch: bytes to work in, besides the arena.
        flash: bytes of tables.
    """

    instructions: float
    worst: float
    scratch: int = 0
    flash: int = 0

    @classmethod
    def same(cls, instructions: float, scratch: int = 0, flash: int = 0) -> StepCost:
        """Of an algorithm that takes as long whatever the image is."""
        return cls(instructions, instructions, scratch, flash)


def outputs_of(layer: Layer) -> int:
    """Values of an image that a step computes."""
    return math.prod(layer.step.size) * layer.step.channels


def each_output(of_output: float, of_tap: Callable[[Layer], float] = lambda layer: 0):
    """So many instructions a value, and for each of its taps."""

    def cost(layer: Layer) -> StepCost:
        each = of_output + 6 * len(layer.step.ops) + layer.step.taps * of_tap(layer)
        return StepCost.same(outputs_of(layer) * each, flash=flash_of_words(layer))

    return cost


def flash_of_words(layer: Layer) -> int:
    """Bytes of weights that are stored a channel of the output after another."""
    step = layer.step
    if step.weights < 0:
        return 0
    return layer.memory.constant(step.weights).nbytes + flash_of_starts(layer)


def flash_of_starts(layer: Layer) -> int:
    """Bytes of what sums begin with, a number for each channel of each class."""
    base = layer.step.base
    return 0 if base < 0 else 2 * layer.memory.constant(base).size


def is_of_bits(layer: Layer) -> bool:
    """Whether a step makes bits of its sums, and nothing else."""
    return all(op.kind == EpilogueKind.THRESHOLD for op in layer.step.ops)


def of_numbers(layer: Layer, words: int, places: int, levels: int) -> float:
    """Instructions a pixel that become of numbers in places what a step makes of sums.

    Args:
        layer: the step.
        words: of 32 channels, a pixel.
        places, levels: of a number; that are begun with.
    """
    ops = len(layer.step.ops)
    each = 45 + 17 * levels
    if is_of_bits(layer):
        return words * (each + ops * (15 + 9 * places))
    return words * (each + 300) + layer.step.channels * (21 + 6 * ops)


def of_limits(layer: Layer, words: int, places: int, classes: int) -> int:
    """Bytes of the tables for that."""
    if is_of_bits(layer):
        return 4 * words * places * classes * len(layer.step.ops)
    return 2 * classes * layer.step.channels


def inside_taps(grid) -> float:
    """Taps that meet pixels, of all outputs."""
    return float(np.prod([grid.inside(axis).sum() for axis in range(3)]))
