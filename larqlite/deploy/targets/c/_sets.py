"""`CONV` by sets: only the inputs that are -1 are added, each to 32 channels at once.

A sum of products of signs is a constant of the channel, and 4 times the weights that are -1
where the input is -1 too, less twice the inputs that are -1. So the bits of the input that are 1
are listed, once for each row, and for each window the words of weights that the lists name are
added up, a bit a channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from larqlite.deploy.targets.c._costs import (
    StepCost,
    inside_taps,
    of_limits,
    of_numbers,
)
from larqlite.deploy.targets.c._grid import (
    BitGrid,
    BitWeights,
    classes_of,
    grid_of,
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
from larqlite.deploy.targets.c._text import lines, loop, sum_of, times
from larqlite_runtime.format import words_of

HALVES = 1 << 16  # what numbers of lists and names of rows stay below


@dataclass(frozen=True)
class Lists:
    """What lists of the bits of rows take.

    Attributes:
        grid: of the step.
        planes: of the input.
    """

    grid: BitGrid
    planes: int

    @property
    def rows(self) -> int:
        """Rows that are held for one depth of the window."""
        grid = self.grid
        return min(grid.in_size[1], (grid.kernel[1] - 1) * grid.dilation[1] + 1)

    @property
    def held(self) -> int:
        """Rows that are held."""
        return self.grid.kernel[0] * self.rows

    @property
    def each(self) -> int:
        """Numbers of the lists of a row."""
        return self.grid.in_size[2] * (1 + self.grid.channels) + 1

    @property
    def of_row(self) -> int:
        """Numbers of a row, all planes and groups."""
        return self.planes * self.grid.groups * self.each

    @property
    def halves(self) -> int:
        """Numbers of 16 bits, the names of the rows that are held included."""
        return self.held * (1 + self.of_row)

    def why_not(self) -> str | None:
        """Why 16 bits do not do."""
        grid = self.grid
        if 4 * grid.channels * grid.in_size[2] > HALVES:
            return "rows have too many channels"
        if grid.in_size[0] * grid.in_size[1] >= HALVES:
            return "there are too many rows"
        return None


def conv_sets(layer: Layer) -> str:
    """A list for each row."""
    return _sets(layer, _by_row(layer))


def conv_pixel_sets(layer: Layer) -> str:
    """A list for each pixel, for each row of the output anew: little room."""
    return _sets(layer, grid_of(layer).by_pixel())


def why_not(layer: Layer) -> str | None:
    """Why lists of rows do not do."""
    return Lists(_by_row(layer), layer.step.input_planes).why_not()


def why_no_pixels(layer: Layer) -> str | None:
    """Why lists of pixels do not do, or are those of rows."""
    grid = grid_of(layer)
    if grid.has_depth:
        return "images have a depth"
    if grid.in_size[2] == 1 or grid.kernel[2] == 1:
        return "lists of rows are the same"
    return Lists(grid.by_pixel(), layer.step.input_planes).why_not()


def cost(layer: Layer) -> StepCost:
    """Of lists of rows."""
    return _cost(layer, _by_row(layer))


def pixel_cost(layer: Layer) -> StepCost:
    """Of lists of pixels."""
    return _cost(layer, grid_of(layer).by_pixel())


def _by_row(layer: Layer) -> BitGrid:
    """The grid whose rows are listed: rows of one pixel where windows are no wider."""
    grid = grid_of(layer)
    is_narrow = grid.kernel[2] == 1 and not grid.has_depth
    return grid.by_pixel() if is_narrow else grid


def _cost(layer: Layer, grid: BitGrid) -> StepCost:
    planes, lists = layer.step.input_planes, Lists(grid, layer.step.input_planes)
    places = weight_places(layer, grid)
    windows, words = math.prod(grid.size), grid.output_words * grid.groups
    most = _most(grid, planes, places)
    levels = _levels(grid, planes, places)
    inside = inside_taps(grid) * grid.channels * planes
    runs = windows * grid.kernel[0] * grid.kernel[1] * len(_spans(grid)) * planes
    listed = grid.size[0] * grid.kernel[0]
    listed *= min(grid.in_size[1], grid.size[1] * grid.kernel[1])
    of_pixel = (
        grid.copies * words_of(grid.channels // grid.copies) * planes * grid.groups
    )
    listed *= grid.in_size[2] * of_pixel

    def instructions(density: float) -> float:
        adds = 8.4 * density * inside + 95 * runs
        of_lists = listed * (30 + density * 11 * min(32, grid.channels))
        return (
            adds * words * len(places)
            + 18 * runs * grid.groups
            + windows
            * (60 + of_numbers(layer, words, (2 * most + 1).bit_length(), levels))
            + of_lists
        )

    classes = math.prod(len(np.unique(grid.inside(axis), axis=0)) for axis in range(3))
    flash = 4 * words * len(places) * grid.taps * grid.channels
    flash += of_limits(layer, words, (2 * most + 1).bit_length(), classes)
    return StepCost(instructions(0.5), instructions(1.0), 2 * lists.halves, flash)


def _most(grid: BitGrid, planes: int, places: tuple[int, ...]) -> int:
    """The most that inputs count for."""
    of_input = sum(1 << place for place in places) * ((1 << planes) - 1)
    return grid.taps * grid.channels * of_input


def _levels(grid: BitGrid, planes: int, places: tuple[int, ...]) -> int:
    """Binary places that additions need."""
    most = (2 * _most(grid, planes, places) + 1).bit_length()
    return max(most, 4 + max(places) + planes + _adds(grid).bit_length())


def _sets(layer: Layer, grid: BitGrid) -> str:
    planes = layer.step.input_planes
    lists = Lists(grid, planes)
    weights = weights_of(layer, grid_of(layer))
    classes = classes_of(layer, grid_of(layer))
    most = _most(grid, planes, weights.places)
    ones = weights.bits.sum(-1).astype(float)  # (plane, group, output, d, h, w)
    by_place = 2.0 ** np.array(weights.places)
    inside = np.einsum("rcdhw,pgodhw,p->rcgo", classes.inside, ones, by_place)
    inside = inside.astype(np.int64) * ((1 << planes) - 1)
    inside = inside.reshape(classes.starts.shape)
    starts = classes.starts - 2 * inside - 2 * most
    if layer.lists_zeros:
        counted = classes.inside.sum((-3, -2, -1)) * (most // grid.taps)
        starts = classes.starts + 2 * (inside - counted[..., None].astype(np.int64))
        starts = starts + 2 * most
    starts = starts.reshape(classes.count, -1)
    sums = Sums(layer, grid, classes, starts, 2 * most, falls=layer.lists_zeros)
    room = layer.room("uint16_t", lists.halves)
    pixel = _pixel(layer, grid, lists, weights, sums, most)
    body = lines(
        _rows(layer, grid, lists),
        loop(grid.variables[2], grid.size[2], pixel) if grid.variables[2] else pixel,
    )
    for variable, count in zip(grid.variables[1::-1], grid.size[1::-1], strict=True):
        body = loop(variable, count, body)
    for variable in set("dyx") - set(grid.variables):
        body = loop(variable, 1, body)
    return lines(
        f"uint16_t *const lists = {room};",
        f"memset(lists, 0, {lists.held} * sizeof *lists);",
        body,
    )


def _rows(layer: Layer, grid: BitGrid, lists: Lists) -> str:
    """Lists the rows that windows of a row of the output meet, unless they are held."""
    step = layer.step
    list_row = layer.helper("list_zeros" if layer.lists_zeros else "list_row")
    deep, high = _input_line(grid, 0, "kd"), _input_line(grid, 1, "kh")
    slot = high.name
    if slot and lists.rows < grid.in_size[1]:
        slot = f"{slot} % {lists.rows}" if lists.rows > 1 else ""
    slot = sum_of(times(lists.rows, "kd", grid.kernel[0]), slot)
    row = sum_of(_of(deep, grid.in_size[1]), high.name, "1")
    at = sum_of(str(grid.first), _of(deep, grid.pitch[0]), _of(high, grid.pitch[1]))
    of_plane = grid.copies * words_of(grid.channels // grid.copies)
    count = lists.planes * grid.groups
    source = layer.address(step.input, at)
    listing = loop(
        "i",
        count,
        f"{list_row}({sum_of(source, times(of_plane, 'i', count))}, {grid.in_size[2]}, "
        f"{grid.pitch[2]}, {grid.channels // grid.copies}, {grid.copies}, "
        f"{sum_of('list', times(lists.each, 'i', count))});",
    )
    byte = sum_of(
        times(
            4 * grid.channels * grid.kernel[2] * grid.kernel[1], "kd", grid.kernel[0]
        ),
        times(4 * grid.channels * grid.kernel[2], "kh", grid.kernel[1]),
    )
    made = lines(
        f"const int32_t slot = {slot};",
        f"const uint16_t name = (uint16_t)({row});",
        f"uint16_t *const list = lists + {lists.held} + {lists.of_row} * slot;",
        "if (lists[slot] != name) {",
        *(f"  {line}" for line in listing.split("\n")),
        "  lists[slot] = name;",
        "}",
        "rows[row_count].starts = list;",
        f"rows[row_count++].byte = {byte};",
    )
    made = _over("kh", grid.kernel[1], high, made)
    made = _over("kd", grid.kernel[0], deep, made)
    return lines(
        f"struct listed_row rows[{grid.kernel[0] * grid.kernel[1]}];",
        "int32_t row_count = 0;",
        made,
    )


@dataclass(frozen=True)
class _Line:
    """A position of the input along an axis: its name in C, statements, when there is none."""

    name: str
    head: str
    outside: str


def _input_line(grid: BitGrid, axis: int, tap: str) -> _Line:
    variable, name = grid.variables[axis], ("id", "iy")[axis]
    where = sum_of(
        times(grid.stride[axis], variable, grid.size[axis]),
        times(grid.dilation[axis], tap, grid.kernel[axis]),
    )
    if where == "0" and not grid.pad[axis]:
        return _Line("", "", "")
    if grid.pad[axis]:
        where = f"{where} - {grid.pad[axis]}"
    tests = []
    at = grid.positions(axis)
    if (at < 0).any():
        tests.append(f"{name} < 0")
    if (at >= grid.in_size[axis]).any():
        tests.append(f"{name} >= {grid.in_size[axis]}")
    return _Line(name, f"const int32_t {name} = {where};", " || ".join(tests))


def _of(line: _Line, stride: int) -> str:
    return times(stride, line.name) if line.name else ""


def _over(tap: str, count: int, line: _Line, body: str) -> str:
    head = line.head
    if line.outside:
        head = lines(head, f"if ({line.outside}) continue;")
    body = lines(head, body)
    if count == 1 and not line.outside:
        return body
    indent = "\n".join(f"  {part}" for part in body.split("\n"))
    return f"for (int32_t {tap} = 0; {tap} < {count}; ++{tap}) {{\n{indent}\n}}"


def _pixel(
    layer: Layer,
    grid: BitGrid,
    lists: Lists,
    weights: BitWeights,
    sums: Sums,
    most: int,
) -> str:
    """The numbers of all words of a pixel."""
    count, planes = layer.helper("count_listed"), lists.planes
    block = grid.taps * grid.channels
    of_input = sum(1 << place for place in weights.places)
    name = layer.words("weights", weight_table(grid, weights), WEIGHTS_SAID)
    levels = _levels(grid, planes, weights.places)
    runs = grid.kernel[0] * grid.kernel[1] * len(_spans(grid)) * planes
    found = _found(layer, grid, lists, of_input, most)
    group = lines(
        f"struct run runs[{runs}];",
        found,
    )
    adds = []
    table = sum_of(
        times(block * len(weights.places) * grid.output_words, "g", grid.groups),
        times(block * len(weights.places), "k", grid.output_words),
    )
    for number, place in enumerate(weights.places):
        at = sum_of(name, table, str(number * block))
        for plane in range(planes):
            moved = 1 + place + plane
            ends = (
                ("runs", "end")
                if planes == 1
                else (f"ends[{plane}]", f"ends[{plane + 1}]")
            )
            adds.append(
                f"{count}({NUMBERS} + {moved}, {levels - moved}, {ends[0]}, {ends[1]}, {at});"
            )
    numbers = lines(
        f"struct place {NUMBERS}[{levels}];",
        f"{layer.helper('begin_at')}({NUMBERS}, begin, {levels});",
        *adds,
    )
    return sums.pixel(numbers, group)


def _spans(grid: BitGrid) -> range:
    """Columns of the window whose lists do not follow one another."""
    return range(1 if grid.dilation[2] == 1 else grid.kernel[2])


def _adds(grid: BitGrid) -> int:
    """The most additions behind the eights that a window needs."""
    span = grid.kernel[2] if grid.dilation[2] == 1 else 1
    most = additions(min(span, grid.in_size[2]) * grid.channels)
    return grid.kernel[0] * grid.kernel[1] * len(_spans(grid)) * most


def _found(layer: Layer, grid: BitGrid, lists: Lists, of_input: int, most: int) -> str:
    """The runs of a window, and what numbers begin at."""
    variable, width = grid.variables[2], grid.in_size[2]
    first = "0"
    head = []
    if (variable and grid.size[2] > 1) or grid.pad[2]:
        first = "first"
        where = times(grid.stride[2], variable, grid.size[2]) or "0"
        where = f"{where} - {grid.pad[2]}" if grid.pad[2] else where
        head.append(f"const int32_t first = {where};")
    planes, each = lists.planes, lists.each
    span = grid.kernel[2] if grid.dilation[2] == 1 else 1

    def runs(behind: str, end: str) -> list[str]:
        made = []
        for column in _spans(grid):
            moved = column * grid.dilation[2]
            begin = sum_of(first, str(moved) if moved else "")
            last = str(moved + span) if first == "0" else f"{first} + {moved + span}"
            byte = 4 * grid.channels * (column - moved)
            at = str(byte)
            if first != "0":
                at = (
                    f"{byte} - {4 * grid.channels} * first"
                    if byte
                    else f"{-4 * grid.channels} * first"
                )
            made.append(
                f"runs_of(rows, row_count, {behind}, {width}, {begin}, {last}, {at}, &{end})"
            )
        return made

    if planes == 1:
        behind = times(each, "g", grid.groups) or "0"
        total = " + ".join(runs(behind, "end"))
        if len(_spans(grid)) > 1:
            total = lines(*(f"found += {call};" for call in runs(behind, "end")))
            return lines(
                *head,
                "struct run *end = runs;",
                "int32_t found = 0;",
                total,
                f"const uint32_t begin = {most}U - {_scaled(of_input, '(uint32_t)found')};",
            )
        return lines(
            *head,
            "struct run *end = runs;",
            f"const int32_t found = {total};",
            f"const uint32_t begin = {most}U - {_scaled(of_input, '(uint32_t)found')};",
        )
    behind = sum_of(times(grid.groups * each, "p"), times(each, "g", grid.groups))
    calls = lines(*(f"found += {call};" for call in runs(behind, "ends[p + 1]")))
    return lines(
        *head,
        f"struct run *ends[{planes + 1}] = {{runs}};",
        f"uint32_t begin = {most}U;",
        loop(
            "p",
            planes,
            lines(
                "int32_t found = 0;",
                "ends[p + 1] = ends[p];",
                calls,
                f"begin -= {_scaled(of_input, '((uint32_t)found << p)')};",
            ),
        ),
    )


def _scaled(by: int, value: str) -> str:
    return value if by == 1 else f"{by}U * {value}"
