"""Buffers of the workspace: who uses which when, and where each lies."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from larqlite_runtime._program import Buffer, Program

ALIGNMENT = 64


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

    def arrange(self) -> None:
        """Gives every buffer its offset: those that are never in use together may overlap."""
        placed: list[tuple[int, int, set[int]]] = []  # begin, end, buffers
        buffers = self.program.buffers
        mine = [
            number
            for number, buffer in enumerate(buffers)
            if buffer.constant is None and not buffer.external
        ]
        for number in sorted(mine, key=lambda number: -buffers[number].bytes):
            buffer = buffers[number]
            size = -(-buffer.bytes // ALIGNMENT) * ALIGNMENT
            begin = self._twin(number, placed)
            if begin is None:
                begin = self._gap(number, size, placed)
            buffer.offset = begin
            placed.append((begin, begin + size, {number}))
        self.program.workspace = max((end for _, end, _ in placed), default=0)

    def _together(self, one: int, other: int) -> bool:
        """Whether two buffers must not overlap."""
        buffers = self.program.buffers
        if buffers[one].fill is not None or buffers[other].fill is not None:
            return True
        return self._first.get(one, 0) <= self._last.get(other, 0) and self._first.get(
            other, 0
        ) <= self._last.get(one, 0)

    def _twin(self, number: int, placed: list[tuple[int, int, set[int]]]) -> int | None:
        """The place of filled buffers of the same kind that are in use at other times."""
        like = self._like.get(number)
        if self.program.buffers[number].fill is None or like is None:
            return None
        for at, (begin, end, numbers) in enumerate(placed):
            if all(self._like.get(other) == like for other in numbers) and all(
                self._last.get(other, 0) < self._first.get(number, 0)
                or self._last.get(number, 0) < self._first.get(other, 0)
                for other in numbers
            ):
                placed[at] = begin, end, {*numbers, number}
                return begin
        return None

    def _gap(
        self, number: int, size: int, placed: list[tuple[int, int, set[int]]]
    ) -> int:
        """The lowest offset at which nothing lies that is in use at the same time."""
        taken = sorted(
            (begin, end)
            for begin, end, numbers in placed
            if any(self._together(number, other) for other in numbers)
        )
        begin = 0
        for other_begin, other_end in taken:
            if begin + size <= other_begin:
                break
            begin = max(begin, other_end)
        return begin
