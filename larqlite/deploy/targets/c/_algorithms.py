"""The table of algorithms: which C computes a step, and what it costs; the cheapest is taken.

An algorithm is a line here and a function in a file beside it: "To add an algorithm" in
`README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from larqlite.deploy.targets.c import _bit_sums, _code_sums, _floats, _moves
from larqlite.deploy.targets.c._layer import Layer
from larqlite_runtime.internal import StepKind


@dataclass(frozen=True)
class StepCost:
    """What a step takes with an algorithm, estimated for a Cortex-M4 at -O2.

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


@dataclass(frozen=True)
class Algorithm:
    """A way to compute steps of some kinds.

    Attributes:
        name: one word; it is in the comment over the function of C, and in the report.
        kinds: of the steps.
        write: the body of a function of C that computes the whole step, epilogues included.
        cost: of a step. It writes nothing.
        why_not: why a step is computed otherwise, or None.
    """

    name: str
    kinds: tuple[StepKind, ...]
    write: Callable[[Layer], str]
    cost: Callable[[Layer], StepCost]
    why_not: Callable[[Layer], str | None] = lambda layer: None


def choose(layer: Layer, name: str | None = None) -> Algorithm | None:
    """The cheapest algorithm that computes a step; None if there is none.

    Args:
        layer: the step.
        name: of the algorithm to take where it fits.
    """
    fitting = [
        algorithm
        for algorithm in ALGORITHMS
        if layer.step.kind in algorithm.kinds and algorithm.why_not(layer) is None
    ]
    named = [algorithm for algorithm in fitting if algorithm.name == name]
    costs = named or sorted(fitting, key=lambda found: found.cost(layer).instructions)
    return next(iter(costs), None)


def outputs_of(layer: Layer) -> int:
    """Values of an image that a step computes."""
    return math.prod(layer.step.size) * layer.step.channels


def _each(of_output: float, of_tap: Callable[[Layer], float] = lambda layer: 0):
    """So many instructions a value, and for each of its taps."""

    def cost(layer: Layer) -> StepCost:
        each = of_output + 6 * len(layer.step.ops) + layer.step.taps * of_tap(layer)
        return StepCost.same(outputs_of(layer) * each)

    return cost


def _planes(layer: Layer) -> int:
    return layer.step.input_planes * layer.step.weight_planes


ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm(
        "words",
        (StepKind.CONV,),
        _bit_sums.conv_words,
        _each(12, lambda layer: 19 * layer.step.words * _planes(layer) + 6),
    ),
    Algorithm(
        "bits",
        (StepKind.DEPTHWISE,),
        _bit_sums.depthwise_bits,
        _each(16, lambda layer: 9 * _planes(layer)),
    ),
    Algorithm(
        "codes",
        (StepKind.CONV_CODES, StepKind.CONV_LOOKUPS),
        _code_sums.conv_codes,
        _each(14, lambda layer: 6 * layer.step.in_channels / layer.step.groups),
    ),
    Algorithm(
        "codes",
        (StepKind.DEPTHWISE_CODES,),
        _code_sums.depthwise_codes,
        _each(10, lambda layer: 6),
    ),
    Algorithm("values", (StepKind.LOAD,), _floats.load, _each(6)),
    Algorithm(
        "sums",
        (StepKind.CONV_FLOAT,),
        _floats.conv_float,
        _each(10, lambda layer: 5 * layer.step.in_channels),
    ),
    Algorithm(
        "window",
        (StepKind.POOL_MAX, StepKind.POOL_AVERAGE, StepKind.POOL_AVERAGE_PADDED),
        _floats.pool,
        _each(10, lambda layer: 10),
    ),
    Algorithm(
        "mean",
        (StepKind.MEAN,),
        _floats.mean,
        lambda layer: StepCost.same(
            layer.step.channels * math.prod(layer.step.in_size) * 6
        ),
    ),
    Algorithm("bits", (StepKind.MOVE_BITS,), _moves.move_bits, _each(300)),
)
