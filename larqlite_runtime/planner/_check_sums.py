"""Whether the weights and tables of steps that sum products are what their kinds need."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._program import (
    LANES,
    LOOKUP_BYTES,
    LOOKUP_LANES,
    NOWHERE,
    KernelStep,
    Program,
    StepKind,
)
from larqlite_runtime.format import words_of


class BrokenPlanError(AssertionError):
    """A plan that would read or write what it must not; a defect of the planner."""


def require(is_right: bool, why: str) -> None:
    """Raises an error that says why a plan is broken, if it is."""
    if not is_right:
        raise BrokenPlanError(f"the plan is broken: {why}.")


def constant(program: Program, number: int, dtype: type, what: str) -> np.ndarray:
    """The values of a buffer, which has to be a constant."""
    require(0 <= number < len(program.buffers), f"{what}: there is no buffer {number}")
    array = program.buffers[number].constant
    require(array is not None, f"{what}: buffer {number} is no constant")
    require(array.dtype == dtype, f"{what}: buffer {number} is {array.dtype}")
    return array.reshape(-1)


def check_constant(
    program: Program, number: int, dtype: type, count: int, what: str
) -> np.ndarray:
    """The same, of so many values."""
    array = constant(program, number, dtype, what)
    require(len(array) == count, f"{what}: {len(array)} values, not {count}")
    return array


def check_sums_of_bits(step: KernelStep, program: Program, where: str) -> None:
    """Fields and weights of popcounts of bits."""
    require(min(step.input_planes, step.weight_planes) > 0, f"{where} has no planes")
    planes = step.weight_planes * step.taps
    if step.kind == StepKind.DEPTHWISE:
        require(
            step.channels == step.in_channels * step.multiplier,
            f"{where}: {step.channels} channels come out of {step.in_channels}",
        )
        count = step.multiplier * planes * words_of(step.in_channels)
    else:
        require(
            step.groups > 0 and step.channels % step.groups == 0,
            f"{where}: {step.channels} channels in {step.groups} groups",
        )
        blocks = -(-step.channels // step.groups // LANES)
        count = step.groups * blocks * planes * step.words * LANES
    check_constant(program, step.weights, np.uint32, count, f"{where}: weights")
    _check_starts(step, program, where)


def check_sums_of_codes(step: KernelStep, program: Program, where: str) -> None:
    """Fields and weights of products of codes."""
    bits, each = step.weight_bits, step.channels // max(1, step.groups)
    if step.kind == StepKind.DEPTHWISE_CODES:
        is_right = step.channels == step.in_channels * step.multiplier
        dtype, count = np.int32, step.channels * step.taps
    elif step.kind == StepKind.CONV_LOOKUPS:
        is_right = (step.groups, bits) == (1, 1)
        vectors = -(-4 * step.words // LOOKUP_BYTES)
        blocks = -(-step.channels // LOOKUP_LANES)
        dtype, count = np.uint16, blocks * step.taps * vectors * LOOKUP_LANES
    else:
        is_right = step.groups > 0 == step.channels % step.groups and bits in (
            1,
            2,
            4,
            8,
        )
        vectors = -(-step.words * bits // 8)
        dtype = np.uint32
        count = step.groups * -(-each // LANES) * step.taps * vectors * LANES
    require(
        is_right,
        f"{where}: {step.channels} channels come out of {step.in_channels} in "
        f"{step.groups} groups, by weights of {bits} bits",
    )
    check_constant(program, step.weights, dtype, count, f"{where}: weights")
    _check_starts(step, program, where)


def check_sums_of_floats(step: KernelStep, program: Program, where: str) -> None:
    """Fields and weights of products of floats."""
    each, left = divmod(step.channels, max(1, step.groups))
    if step.kind == StepKind.DEPTHWISE_FLOAT:
        left += step.groups != 1 or step.channels != step.in_channels * step.multiplier
        count = step.channels * step.taps
    else:
        blocks = step.groups * -(-each // LANES)
        count = blocks * step.taps * step.in_channels * LANES
    require(
        not left,
        f"{where}: {step.channels} channels come out of {step.in_channels} in "
        f"{step.groups} groups",
    )
    check_constant(program, step.weights, np.float32, count, f"{where}: weights")


def check_sums_of_bytes(step: KernelStep, program: Program, where: str) -> None:
    """Weights and starts of products of bytes."""
    require(not step.shift, f"{where} is shifted")
    count = -(-step.channels // LANES) * step.taps * step.in_channels * LANES
    check_constant(program, step.weights, np.int32, count, f"{where}: weights")
    _check_starts(step, program, where)


def check_halves(step: KernelStep, program: Program, where: str) -> None:
    """Fields and weights of products of numbers of 16 bits."""
    blocks, runs = -(-step.channels // LANES), step.runs
    count = blocks * runs.count * runs.pairs * LANES * 2
    check_constant(program, step.weights, np.uint16, count, f"{where}: weights")
    if step.kind == StepKind.CONV_PIXELS:
        require(not step.shift, f"{where} is shifted")
        _check_starts(step, program, where)


def _check_starts(step: KernelStep, program: Program, where: str) -> None:
    depth, height, width = step.size
    starts = constant(program, step.base, np.int32, f"{where}: starts of sums")
    rows, left = divmod(len(starts), step.column_classes * step.channels)
    require(rows > 0 and not left, f"{where}: {len(starts)} starts of sums")
    if step.inside_base != NOWHERE:
        check_constant(
            program,
            step.inside_base,
            np.int32,
            len(starts),
            f"{where}: starts of sums of taps inside",
        )
    for number, positions, classes, axis in (
        (step.row_class, depth * height, rows, "row"),
        (step.column_class, width, step.column_classes, "column"),
    ):
        if number == NOWHERE:
            require(classes == 1, f"{where}: {classes} classes of no {axis}")
            continue
        found = check_constant(
            program, number, np.int32, positions, f"{where}: {axis} classes"
        )
        require(
            found.min() >= 0 and found.max() < classes,
            f"{where}: a {axis} has a class beyond {classes}",
        )
