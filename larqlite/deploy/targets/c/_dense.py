"""Sums of bits for 32 channels at once that take as long for every image, and need no room."""

from __future__ import annotations

import math

import numpy as np

from larqlite.deploy.targets.c._costs import (
    StepCost,
    inside_taps,
    of_limits,
    of_numbers,
)
from larqlite.deploy.targets.c._grid import (
    BitGrid,
    classes_of,
    grid_of,
    plain_grid,
    weight_places,
    weights_of,
)
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._places import (
    NUMBERS,
    WEIGHTS_SAID,
    Sums,
    additions,
    weight_table,
)
from larqlite.deploy.targets.c._text import lines, loop, place, sum_of, times
from larqlite.deploy.targets.c._weights import depthwise_words
from larqlite_runtime.format import words_of


def conv_dense(layer: Layer) -> str:
    """`CONV`: every input, a bit of which is compared with a word of weights."""
    step, grid = layer.step, grid_of(layer)
    weights, classes = weights_of(layer, grid), classes_of(layer, grid)
    planes = step.input_planes
    most, levels = _most_and_levels(grid, planes, weights.places)
    sums = Sums(layer, grid, classes, _by_class(classes.starts), most, falls=True)
    name = layer.words("weights", weight_table(grid, weights), WEIGHTS_SAID)
    count = layer.helper("count_inputs")
    block = grid.taps * grid.channels
    of_group = grid.copies * words_of(grid.channels // grid.copies)
    table = sum_of(
        times(block * len(weights.places) * grid.output_words, "g", grid.groups),
        times(block * len(weights.places), "k", grid.output_words),
    )
    calls = []
    for number, power in enumerate(weights.places):
        for plane in range(planes):
            at = sum_of(name, table, str(number * block))
            moved, behind = power + plane, plane * grid.groups * of_group
            calls.append(
                f"{count}({sum_of(NUMBERS, str(moved))}, {levels - moved}, taps, end, "
                f"{behind}, {at});"
            )
    numbers = lines(
        f"struct place {NUMBERS}[{levels}];",
        f"{layer.helper('begin_at')}({NUMBERS}, 0, {levels});",
        *calls,
    )
    body = sums.pixel(numbers, _taps(layer, grid))
    for variable, size in zip("xyd", grid.size[::-1], strict=True):
        body = loop(variable, size, body)
    return body


def cost(layer: Layer) -> StepCost:
    """Of `conv_dense`."""
    grid, planes = grid_of(layer), layer.step.input_planes
    places = weight_places(layer, grid)
    most, levels = _most_and_levels(grid, planes, places)
    words = grid.output_words * grid.groups
    taps = inside_taps(grid) * planes * grid.copies
    instructions = words * len(places) * taps * (9.9 * grid.channels / grid.copies + 48)
    bits = (most + 1).bit_length()
    instructions += math.prod(grid.size) * (60 + of_numbers(layer, words, bits, levels))
    classes = math.prod(len(np.unique(grid.inside(axis), axis=0)) for axis in range(3))
    flash = 4 * words * len(places) * grid.taps * grid.channels
    return StepCost.same(
        instructions, flash=flash + of_limits(layer, words, bits, classes)
    )


def _most_and_levels(
    grid: BitGrid, planes: int, places: tuple[int, ...]
) -> tuple[int, int]:
    """The largest number, and the binary places that additions need."""
    of_bit = sum(1 << place for place in places) * ((1 << planes) - 1)
    most = grid.taps * grid.channels * of_bit
    adds = additions(grid.channels // grid.copies) * grid.taps * grid.copies
    levels = 3 + max(places) + planes + adds.bit_length()
    return most, max((most + 1).bit_length(), levels)


def _by_class(starts: np.ndarray) -> np.ndarray:
    return starts.reshape(-1, starts.shape[-1])


def _taps(layer: Layer, grid: BitGrid) -> str:
    """The taps of a window that there are, each with its bits and its weights."""
    step = layer.step
    of_copy = words_of(grid.channels // grid.copies)
    positions, heads = [], []
    for axis, (tap, out) in enumerate(zip(("kd", "kh", "kw"), "dyx", strict=True)):
        head, name = axis_of(grid, axis, tap, out)
        heads.append(head)
        positions.append(times(grid.pitch[axis], name) if name else "")
    of_group = times(of_copy * grid.copies, "g", grid.groups)
    further = sum_of(str(grid.first), *positions, of_group)
    source = layer.address(step.input, further)
    _, height, width = grid.kernel
    number = place(grid.kernel, (height * width, width, 1), ("kd", "kh", "kw"))
    of_tap = times(grid.channels, f"({number})") if number != "0" else ""
    each = grid.channels // grid.copies
    body = lines(
        f"end->in = {sum_of(source, times(of_copy, 'i', grid.copies))};",
        f"end->first = {sum_of(of_tap, times(each, 'i', grid.copies))};",
        f"end++->count = {each};",
    )
    body = loop("i", grid.copies, body)
    for tap, count, head in zip(
        ("kw", "kh", "kd"), grid.kernel[::-1], heads[::-1], strict=True
    ):
        body = lines(*head, body)
        if count > 1 or any("continue" in line for line in head):
            inner = "\n".join(f"  {line}" for line in body.split("\n"))
            body = f"for (int32_t {tap} = 0; {tap} < {count}; ++{tap}) {{\n{inner}\n}}"
    return lines(f"struct tap taps[{grid.taps * grid.copies}], *end = taps;", body)


def axis_of(grid: BitGrid, axis: int, tap: str, out: str) -> tuple[list[str], str]:
    """Where a tap of an output lies along an axis: statements, and the name of the position.

    The statements go on with the next tap where there is no pixel; the name is empty where the
    position is always 0.
    """
    name = f"i{out}"
    where = sum_of(
        times(grid.stride[axis], out, grid.size[axis]),
        times(grid.dilation[axis], tap, grid.kernel[axis]),
    )
    pad = grid.pad[axis]
    if where == "0" and not pad:
        return [], ""
    reached = grid.positions(axis)
    tests = [f"{name} < 0"] if (reached < 0).any() else []
    tests += (
        [f"{name} >= {grid.in_size[axis]}"]
        if (reached >= grid.in_size[axis]).any()
        else []
    )
    head = [f"const int32_t {name} = {where}{f' - {pad}' if pad else ''};"]
    if tests:
        head.append(f"if ({' || '.join(tests)}) continue;")
    return head, name


def why_no_taps(layer: Layer) -> str | None:
    """Why channels of a `DEPTHWISE` are not compared 32 at once."""
    return "channels have several filters" if layer.step.multiplier > 1 else None


def taps_cost(layer: Layer) -> StepCost:
    """Of `depthwise_taps`."""
    step = layer.step
    words, planes = words_of(step.in_channels), step.input_planes * step.weight_planes
    levels = 5 + (step.taps * planes).bit_length()
    each = words * planes * (9 * step.taps + 60)
    each += of_numbers(layer, words, levels - 2, levels)
    flash = 4 * words * step.weight_planes * step.taps + 4 * step.taps
    return StepCost.same(
        math.prod(step.size) * (each + 30),
        flash=flash + of_limits(layer, words, levels - 2, 1),
    )


def depthwise_taps(layer: Layer) -> str:
    """`DEPTHWISE`: a word of channels of a tap is compared with a word of weights."""
    step = layer.step
    words = words_of(step.in_channels)
    weights = depthwise_words(step, layer.memory.constant(step.weights))
    # (word, plane, tap)
    table = np.moveaxis(weights[0], -1, 0)
    name = layer.words(
        "weights", table.reshape(-1, step.taps), "weights, [word][plane][tap]"
    )
    offsets = sum(
        np.arange(count).reshape([-1 if axis == at else 1 for at in range(3)]) * tap
        for axis, (count, tap) in enumerate(zip(step.kernel, step.tap, strict=True))
    )
    taps = layer.wide_integers("taps", offsets.reshape(-1), "words from the first tap")
    grid = plain_grid(layer)
    classes = classes_of(layer, grid)
    of_bit = ((1 << step.weight_planes) - 1) * ((1 << step.input_planes) - 1)
    sums = Sums(
        layer, grid, classes, _by_class(classes.starts), step.taps * of_bit, falls=True
    )
    deepest = step.weight_planes + step.input_planes - 2
    levels = max(sums.places, 4 + deepest + additions(step.taps).bit_length())
    count = layer.helper("count_taps")
    calls = []
    for of_weights in range(step.weight_planes):
        for of_input in range(step.input_planes):
            moved = of_weights + of_input
            source = sum_of("in", "k" if words > 1 else "", str(of_input * words))
            at = sum_of(
                name,
                times(step.weight_planes * step.taps, "k", words),
                str(of_weights * step.taps),
            )
            calls.append(
                f"{count}({sum_of(NUMBERS, str(moved))}, {levels - moved}, {source}, {taps}, "
                f"{step.taps}, {at}, 1);"
            )
    numbers = lines(
        f"struct place {NUMBERS}[{levels}];",
        f"{layer.helper('begin_at')}({NUMBERS}, 0, {levels});",
        *calls,
    )
    body = lines(f"const uint32_t *in = {layer.at(step.input)};", sums.pixel(numbers))
    for variable, size in zip("xyd", step.size[::-1], strict=True):
        body = loop(variable, size, body)
    return body
