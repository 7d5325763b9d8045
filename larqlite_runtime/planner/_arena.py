"""The pass `arrange`: buffers that are never in use together share memory of the arena."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import ALIGNMENT, Buffer, Program


class LiveRanges:
    """Buffers of a program, and the program points at which each is in use.

    Attributes:
        program: that the buffers belong to.
        point: the current one; steps and segments follow one another.
        first, last: points of use, by number of the buffer.
        like: initialized buffers with equal `like` keep the same elements as they were.
        replaces: buffers that one may replace, and the point at which.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.point = 0
        self.first: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.like: dict[int, Hashable] = {}
        self.replaces: dict[int, list[tuple[int, int]]] = {}

    def new(
        self,
        dtype: np.dtype,
        count: int,
        initial: np.ndarray | None = None,
        external: bool = False,
        like: Hashable = None,
        holds: str = "",
        layout: str = "",
    ) -> int:
        """A buffer that is no constant.

        Args:
            dtype: of its elements.
            count: elements of an image.
            initial: what it holds before the first run.
            external: whether callers hand it in.
            like: as in the attributes.
            holds, layout: for people, as in `Buffer`.
        """
        number = self.program.add(
            Buffer(
                np.dtype(dtype),
                count,
                initial=initial,
                external=external,
                holds=holds,
                layout=layout,
            )
        )
        self.like[number] = like
        return number

    def use(self, number: int) -> int:
        """Notes that a buffer is in use now."""
        self.first.setdefault(number, self.point)
        self.last[number] = self.point
        return number

    def replace(self, new: int, old: int) -> None:
        """Says that `new` may lie where `old` lies, if `old` is last used at this point.

        The step writes each element of `new` after it has read that element of `old`.
        """
        self.replaces.setdefault(new, []).append((old, self.point))

    def __getitem__(self, numbers: list[int]) -> tuple[int, int]:
        """The first and the last point of use of some buffers."""
        first = min(self.first.get(number, 0) for number in numbers)
        return first, max(self.last.get(number, 0) for number in numbers)


@dataclass
class _Block:
    """Buffers at one offset."""

    numbers: list[int]
    size: int
    begin: int = 0

    @property
    def end(self) -> int:
        return self.begin + self.size


def arrange(
    live: LiveRanges, alignment: int = ALIGNMENT, keeps_borders: bool = True
) -> None:
    """Gives every buffer its offset, at the lowest gap that fits.

    Buffers that are in use together never overlap, but for one that replaces another;
    initialized ones overlap nothing, but for their like at other points. The largest come
    first, or those that are in use for longest, or those that are needed first: of these
    orders, the first of those that need least.

    Args:
        live: the buffers.
        alignment: of offsets and of the arena, in bytes.
        keeps_borders: whether initialized buffers are filled once; else at each call, and they
            share memory as the others do.
    """
    program, sharing = live.program, _sharing(live)
    program.alignment, program.keeps_borders = alignment, keeps_borders
    most, best = 0, None
    for order in (_by_size, _by_time, _by_start):
        found = _placed(live, sorted(sharing, key=order(live)), alignment)
        end = max((block.end for block in found), default=0)
        if best is None or end < most:
            most, best = end, found
    for block in best:
        for number in block.numbers:
            program.buffers[number].offset = block.begin
    program.arena = most


# Orders in which blocks are placed.


def _by_size(live: LiveRanges):
    return lambda item: -item[0]


def _by_time(live: LiveRanges):
    def key(item: tuple[int, list[int]]) -> tuple[int, int]:
        size, numbers = item
        first, last = live[numbers]
        return first - last, -size

    return key


def _by_start(live: LiveRanges):
    return lambda item: (live[item[1]][0], -item[0])


def _placed(
    live: LiveRanges, sharing: list[tuple[int, list[int]]], alignment: int
) -> list[_Block]:
    blocks: list[_Block] = []
    for size, numbers in sharing:
        block = _Block(list(numbers), -(-size // alignment) * alignment)
        twin = _twin(live, block, blocks)
        if twin is not None:
            twin.numbers.extend(numbers)
            continue
        block.begin = _gap(live, block, blocks)
        blocks.append(block)
    return blocks


def _sharing(live: LiveRanges) -> list[tuple[int, list[int]]]:
    """Buffers that lie where others lie, with their size, the largest first."""
    buffers = live.program.buffers
    mine = [
        number
        for number, buffer in enumerate(buffers)
        if buffer.constant is None and not buffer.external
    ]
    shares = {number: [number] for number in mine}
    taken: set[int] = set()
    for new in sorted(mine, key=lambda number: live.first.get(number, 0)):
        for old, point in live.replaces.get(new, ()):
            if (
                old in shares
                and old not in taken
                and live.last[old] == live.first[new] == point
                and buffers[old].bytes == buffers[new].bytes
                and buffers[old].initial is None
                and buffers[new].initial is None
            ):
                taken.add(old)
                shares[old].append(new)
                shares[new] = shares[old]
                break
    unique = {id(numbers): numbers for numbers in shares.values()}.values()
    sized = [(buffers[numbers[0]].bytes, numbers) for numbers in unique]
    return sorted(sized, key=lambda item: -item[0])


def _together(live: LiveRanges, one: _Block, other: _Block) -> bool:
    """Whether two blocks must not overlap."""
    if _has_initial(live, one) or _has_initial(live, other):
        return True
    (first, last), (begin, end) = live[one.numbers], live[other.numbers]
    return first <= end and begin <= last


def _has_initial(live: LiveRanges, block: _Block) -> bool:
    program = live.program
    is_filled = program.buffers[block.numbers[0]].initial is not None
    return is_filled and program.keeps_borders


def _twin(live: LiveRanges, block: _Block, blocks: list[_Block]) -> _Block | None:
    """Initialized buffers of the same kind that are in use at other times."""
    like = live.like.get(block.numbers[0])
    if not _has_initial(live, block) or like is None:
        return None
    first, last = live[block.numbers]
    for other in blocks:
        if live.like.get(other.numbers[0]) == like and all(
            live.last[number] < first or last < live.first[number]
            for number in other.numbers
        ):
            return other
    return None


def _gap(live: LiveRanges, block: _Block, blocks: list[_Block]) -> int:
    """The lowest offset at which nothing lies that is in use at the same time."""
    taken = sorted(
        (other.begin, other.end) for other in blocks if _together(live, block, other)
    )
    begin = 0
    for other_begin, other_end in taken:
        if begin + block.size <= other_begin:
            break
        begin = max(begin, other_end)
    return begin
