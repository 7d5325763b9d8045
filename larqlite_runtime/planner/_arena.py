"""Buffers of the workspace: who uses which when, and where each lies."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._program import Buffer, Program

ALIGNMENT = 64


@dataclass
class _Block:
    """Buffers in one place."""

    numbers: list[int]
    size: int
    begin: int = 0

    @property
    def end(self) -> int:
        return self.begin + self.size


class Memory:
    """Hands out buffers of a program and notes when they are in use.

    Attributes:
        program: that the buffers belong to.
        moment: now; steps and segments follow one another.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.moment = 0
        self._first: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._like: dict[int, Hashable] = {}
        self._replaces: dict[int, list[tuple[int, int]]] = {}

    def new(
        self,
        dtype: np.dtype,
        count: int,
        fill: np.ndarray | None = None,
        external: bool = False,
        like: Hashable = None,
    ) -> int:
        """A buffer of the workspace.

        Args:
            dtype: of its elements.
            count: elements of an image.
            fill: what it holds before the first run.
            external: whether callers hand it in.
            like: filled buffers with equal `like` keep the same elements as filled.
        """
        number = self.program.add(
            Buffer(np.dtype(dtype), count, fill=fill, external=external)
        )
        self._like[number] = like
        return number

    def use(self, number: int) -> int:
        """Notes that a buffer is in use now."""
        self._first.setdefault(number, self.moment)
        self._last[number] = self.moment
        return number

    def replace(self, new: int, old: int) -> None:
        """Says that `new` may lie where `old` lies, if `old` is last used at this moment.

        The step writes each element of `new` after it has read that element of `old`.
        """
        self._replaces.setdefault(new, []).append((old, self.moment))

    def arrange(self) -> None:
        """Gives every buffer its offset: those that are never in use together may overlap."""
        buffers = self.program.buffers
        blocks: list[_Block] = []
        for size, numbers in self._chains_of_replacements():
            block = _Block(numbers, -(-size // ALIGNMENT) * ALIGNMENT)
            twin = self._twin(block, blocks)
            if twin is not None:
                twin.numbers.extend(numbers)
                continue
            block.begin = self._gap(block, blocks)
            blocks.append(block)
        for block in blocks:
            for number in block.numbers:
                buffers[number].offset = block.begin
        self.program.workspace = max((block.end for block in blocks), default=0)

    def _chains_of_replacements(self) -> list[tuple[int, list[int]]]:
        """Buffers that share one place, with its size, the largest first."""
        buffers = self.program.buffers
        mine = [
            number
            for number, buffer in enumerate(buffers)
            if buffer.constant is None and not buffer.external
        ]
        place = {number: [number] for number in mine}
        taken: set[int] = set()
        for new in sorted(mine, key=lambda number: self._first.get(number, 0)):
            for old, moment in self._replaces.get(new, ()):
                if (
                    old in place
                    and old not in taken
                    and self._last[old] == self._first[new] == moment
                    and buffers[old].bytes == buffers[new].bytes
                    and buffers[old].fill is None
                    and buffers[new].fill is None
                ):
                    taken.add(old)
                    place[old].append(new)
                    place[new] = place[old]
                    break
        unique = {id(numbers): numbers for numbers in place.values()}.values()
        sized = [(buffers[numbers[0]].bytes, numbers) for numbers in unique]
        return sorted(sized, key=lambda item: -item[0])

    def _together(self, one: _Block, other: _Block) -> bool:
        """Whether two blocks must not overlap."""
        if self._is_filled(one) or self._is_filled(other):
            return True
        first, last = zip(*map(self._times, (one, other)), strict=True)
        return first[0] <= last[1] and first[1] <= last[0]

    def _is_filled(self, block: _Block) -> bool:
        return self.program.buffers[block.numbers[0]].fill is not None

    def _times(self, block: _Block) -> tuple[int, int]:
        """The first and the last moment of use."""
        first = min(self._first.get(number, 0) for number in block.numbers)
        return first, max(self._last.get(number, 0) for number in block.numbers)

    def _twin(self, block: _Block, blocks: list[_Block]) -> _Block | None:
        """Filled buffers of the same kind that are in use at other times."""
        like = self._like.get(block.numbers[0])
        if not self._is_filled(block) or like is None:
            return None
        first, last = self._times(block)
        for other in blocks:
            if self._like.get(other.numbers[0]) == like and all(
                self._last[number] < first or last < self._first[number]
                for number in other.numbers
            ):
                return other
        return None

    def _gap(self, block: _Block, blocks: list[_Block]) -> int:
        """The lowest offset at which nothing lies that is in use at the same time."""
        taken = sorted(
            (other.begin, other.end) for other in blocks if self._together(block, other)
        )
        begin = 0
        for other_begin, other_end in taken:
            if begin + block.size <= other_begin:
                break
            begin = max(begin, other_end)
        return begin
