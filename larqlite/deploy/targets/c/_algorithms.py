"""The table of algorithms: which C computes a step, and what it costs; the cheapest is taken.

An algorithm is a line here and a function in a file beside it: "To add an algorithm" in
`README.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from larqlite.deploy.targets.c import (
    _bit_sums,
    _bytes,
    _code_sums,
    _dense,
    _few_values,
    _floats,
    _moves,
    _sets,
    _tree,
)
from larqlite.deploy.targets.c._costs import StepCost, each_output
from larqlite.deploy.targets.c._layer import Layer
from larqlite_runtime.internal import StepKind


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


def choose(
    layer: Layer, name: str | None = None, optimize: str = "speed"
) -> Algorithm | None:
    """The best algorithm that computes a step; None if there is none.

    Args:
        layer: the step.
        name: of the algorithm to take where it fits.
        optimize: a key of `OPTIMIZE`.
    """
    fitting = [
        algorithm
        for algorithm in ALGORITHMS
        if layer.step.kind in algorithm.kinds and algorithm.why_not(layer) is None
    ]
    named = [algorithm for algorithm in fitting if algorithm.name == name]
    if named or not fitting:
        return next(iter(named), None)
    costs = {algorithm.name: algorithm.cost(layer) for algorithm in fitting}
    least = min(cost.flash for cost in costs.values())
    fitting = [
        algorithm
        for algorithm in fitting
        if costs[algorithm.name].flash <= MORE_FLASH * least + SOME_FLASH
    ]
    return min(fitting, key=lambda algorithm: OPTIMIZE[optimize](costs[algorithm.name]))


# Tables of an algorithm are no larger than so many times the smallest there are, and some bytes.
MORE_FLASH, SOME_FLASH = 1.3, 1024
# What is best: the least of these.
OPTIMIZE: dict[str, Callable[[StepCost], tuple[float, ...]]] = {
    "speed": lambda cost: (cost.instructions, cost.scratch),
    "memory": lambda cost: (cost.scratch, cost.instructions),
}


def _planes(layer: Layer) -> int:
    return layer.step.input_planes * layer.step.weight_planes


ALGORITHMS: tuple[Algorithm, ...] = (
    Algorithm("sets", (StepKind.CONV,), _sets.conv_sets, _sets.cost, _sets.why_not),
    Algorithm(
        "pixel_sets",
        (StepKind.CONV,),
        _sets.conv_pixel_sets,
        _sets.pixel_cost,
        _sets.why_no_pixels,
    ),
    Algorithm("dense", (StepKind.CONV,), _dense.conv_dense, _dense.cost),
    Algorithm("tree", (StepKind.CONV,), _tree.conv_tree, _tree.cost),
    Algorithm(
        "taps",
        (StepKind.DEPTHWISE,),
        _dense.depthwise_taps,
        _dense.taps_cost,
        _dense.why_no_taps,
    ),
    Algorithm(
        "words",
        (StepKind.CONV,),
        _bit_sums.conv_words,
        each_output(12, lambda layer: 19 * layer.step.words * _planes(layer) + 6),
    ),
    Algorithm(
        "bits",
        (StepKind.DEPTHWISE,),
        _bit_sums.depthwise_bits,
        each_output(16, lambda layer: 9 * _planes(layer)),
    ),
    Algorithm(
        "codes",
        (StepKind.CONV_CODES, StepKind.CONV_LOOKUPS),
        _code_sums.conv_codes,
        each_output(14, lambda layer: 6 * layer.step.in_channels / layer.step.groups),
    ),
    Algorithm(
        "codes",
        (StepKind.DEPTHWISE_CODES,),
        _code_sums.depthwise_codes,
        each_output(10, lambda layer: 6),
    ),
    Algorithm("values", (StepKind.LOAD,), _floats.load, each_output(6)),
    Algorithm(
        "sums",
        (StepKind.CONV_FLOAT,),
        _floats.conv_float,
        each_output(10, lambda layer: 5 * layer.step.in_channels),
    ),
    Algorithm(
        "sums",
        (StepKind.DEPTHWISE_FLOAT,),
        _floats.depthwise_float,
        each_output(10, lambda layer: 6),
    ),
    Algorithm(
        "signs",
        (StepKind.CONV_FLOAT, StepKind.DEPTHWISE_FLOAT),
        _few_values.signs,
        _few_values.signs_cost,
        _few_values.why_no_signs,
    ),
    Algorithm(
        "levels",
        (StepKind.CONV_FLOAT, StepKind.DEPTHWISE_FLOAT),
        _few_values.levels,
        _few_values.levels_cost,
        _few_values.why_no_levels,
    ),
    Algorithm("bytes", (StepKind.CONV_BYTES,), _bytes.conv_bytes, _bytes.cost),
    Algorithm(
        "window",
        (StepKind.POOL_MAX, StepKind.POOL_AVERAGE, StepKind.POOL_AVERAGE_PADDED),
        _floats.pool,
        each_output(10, lambda layer: 10),
    ),
    Algorithm(
        "mean",
        (StepKind.MEAN,),
        _floats.mean,
        lambda layer: StepCost.same(
            layer.step.channels * math.prod(layer.step.in_size) * 6
        ),
    ),
    Algorithm("bits", (StepKind.MOVE_BITS,), _moves.move_bits, each_output(300)),
)
