"""Where bits that are moved lie, and the step that moves them, if one has to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from larqlite_runtime._program import (
    MOVE_FIELDS,
    NOWHERE,
    BitPool,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.format import pack, words_of
from larqlite_runtime.planner._buffer_table import BufferTable
from larqlite_runtime.planner._fusion_group import BitMove, FusionGroup
from larqlite_runtime.planner._lower_producer import GroupInput
from larqlite_runtime.planner._padding import PaddedTensor

_UP = (16, 8, 4, 2, 1)


@dataclass(frozen=True)
class BitPlace:
    """Where the bits of a tensor lie.

    Attributes:
        view: words of the first plane.
        words: from one plane of a pixel to the next.
        pool: windows of what is packed there.
    """

    view: TensorView
    words: int
    pool: BitPool | None = None


@dataclass
class _Memory:
    """Memory of a move.

    Attributes:
        made: where its bits come to lie.
        parts: where the parts do, one behind the other, if they do not lie there at once.
        first: word of each part, and the words of all.
    """

    made: BitPlace
    first: list[int] = field(default_factory=list)
    parts: PaddedTensor | None = None
    buffer: int = NOWHERE


class MoveLowering:
    """Gives parts of moves their places, and turns moves into steps."""

    def __init__(
        self, buffers: BufferTable, inputs: dict[int, GroupInput], small: bool
    ) -> None:
        self._small = small
        self._live, self._program = buffers.live, buffers.program
        self._inputs = inputs
        self._memory: dict[int, _Memory] = {}

    def place(self, move: BitMove, number: int) -> BitPlace:
        """Where a part of a move has to be written; it is in use now."""
        memory = self._of(move)
        first = memory.first[number]
        if memory.parts is None:
            place = memory.made
            self._live.use(place.view.buffer)
            pool = None
            if move.pool is not None:
                pool = BitPool(move.pool[0].kernel, self._turned(move, memory))
            return replace(place, view=place.view.moved(first), pool=pool)
        view = memory.parts.image_view(self._live.use(memory.buffer))
        return BitPlace(view.moved(first), memory.first[-1])

    def step(self, move: BitMove) -> KernelStep | None:
        """The step of a move; None if its parts lie where they have to."""
        memory = self._of(move)
        self._live.use(memory.made.view.buffer)
        if memory.parts is None:
            return None
        self._live.use(memory.buffer)
        planes, words = move.codebook.type.bits, memory.first[-1]
        tensor, made = memory.parts, memory.made
        channels, table = planes * made.words, NOWHERE
        if move.whole is not None:
            channels = words_of(len(move.part_of))
        if not move.is_in_order or move.group:
            table = self._program.constant(self._table(move, memory, channels))
        step = KernelStep(
            StepKind.MOVE_BITS,
            size=move.size,
            channels=channels,
            input=tensor.image_view(memory.buffer),
            ops=(EpilogueOp(EpilogueKind.STORE_INT, view=made.view),),
            tap=tensor.taps_of((1, 1, 1)),
            in_size=move.size,
            words=planes * words,
            base=self._turned(move, memory),
            weights=table,
            nodes=tuple(move.nodes),
        )
        if table != NOWHERE:
            moves = self._program.buffers[table].count // MOVE_FIELDS // channels
            step = replace(step, multiplier=moves)
        if move.pool is None:
            return step
        pool, size = move.pool
        return replace(
            step,
            size=size,
            input=step.input.every(*pool.stride),
            kernel=pool.kernel,
            tap=tensor.taps_of(pool.dilation),
            stride=pool.stride,
            pad=pool.pad,
            dilation=pool.dilation,
        )

    def _of(self, move: BitMove) -> _Memory:
        known = self._memory.get(id(move))
        if known is not None:
            return known
        counts = [words_of(part.channels) for part in move.parts]
        first = [0, *np.cumsum(counts).tolist()]
        memory = _Memory(self._made(move), first)
        if self._is_pooled_at_once(move):
            move.parts[0].maker.nodes += move.nodes
        elif not move.is_direct:
            planes = move.codebook.type.bits
            memory.parts = PaddedTensor(move.size, planes * first[-1])
            memory.buffer = self._live.new(
                np.dtype(np.uint32),
                memory.parts.elements,
                holds=move.tensor,
                layout="bits",
            )
        self._memory[id(move)] = memory
        return memory

    def _is_pooled_at_once(self, move: BitMove) -> bool:
        """Whether a layer may pool its bits as it makes them: in windows side by side."""
        if not self._small or move.pool is None or len(move.parts) != 1:
            return False
        maker, (pool, size) = move.parts[0].maker, move.pool
        return (
            isinstance(maker, FusionGroup)
            and (maker.packed is None or maker.packed.groups == 1)
            and move.codebook.type.bits == 1
            and move.is_in_order
            and not move.group
            and pool.kernel == pool.stride
            and (pool.dilation, pool.pad) == ((1, 1, 1), (0, 0, 0))
            and size
            == tuple(n // by for n, by in zip(move.size, pool.stride, strict=True))
        )

    def _made(self, move: BitMove) -> BitPlace:
        if move.whole is not None:
            return self.place(*move.whole)
        bits = move.bits
        buffer = self._live.new(
            np.dtype(np.uint32),
            bits.padded.elements,
            initial=bits.initial_words(),
            like=bits,
            holds=move.tensor,
            layout="bits",
        )
        for reader in move.readers:
            self._inputs[id(reader)] = GroupInput(bits.padded, buffer, bits)
        return BitPlace(bits.padded.image_view(buffer), bits.plane_words)

    def _turned(self, move: BitMove, memory: _Memory) -> int:
        """The words of channels whose least values are taken."""
        if move.turned is None or not move.turned.any():
            return NOWHERE
        bits = np.zeros(32 * memory.first[-1], bool)
        bits[_sources(move, memory)] = move.turned
        return self._program.constant(pack(bits))

    def _table(self, move: BitMove, memory: _Memory, channels: int) -> np.ndarray:
        """The moves of all planes."""
        planes = move.codebook.type.bits
        target = _bits_of_channels(len(move.part_of), move.group)
        source = _sources(move, memory)
        plane = np.arange(planes)[:, None]
        return move_table(
            (target + plane * 32 * (channels // planes)).reshape(-1),
            (source + plane * 32 * memory.first[-1]).reshape(-1),
            channels,
            planes * memory.first[-1],
        )


def _sources(move: BitMove, memory: _Memory) -> np.ndarray:
    """Of each channel, the number of its bit in the words of the parts."""
    return np.array(memory.first)[move.part_of] * 32 + move.channel_of


def _bits_of_channels(channels: int, group: int) -> np.ndarray:
    """Of each channel, the number of its bit in the words of a pixel."""
    group = group or channels
    number, within = np.divmod(np.arange(channels), group)
    return number * words_of(group) * 32 + within


def move_table(
    target: np.ndarray, source: np.ndarray, channels: int, words: int
) -> np.ndarray:
    """The moves that put bits of a pixel into other places, as `LQ_MOVE_BITS` has them.

    A move takes bits one after another from the input, and puts them, in this order, into the
    places of one word that its mask has.

    Args:
        target: numbers of bits of what comes out, each once.
        source: of each, the bit of the input that it is.
        channels: words of what comes out.
        words: of the input.

    Returns:
        uint32 (moves, 9, channels).
    """
    starts: list[list[int]] = [[] for _ in range(channels)]
    masks: list[list[int]] = [[] for _ in range(channels)]
    follows: list[dict[int, int]] = [{} for _ in range(channels)]
    order = np.argsort(target)
    for bit, taken in zip(target[order].tolist(), source[order].tolist(), strict=True):
        word, place = divmod(bit, 32)
        at = follows[word].pop(taken, None)
        if at is None:
            at = len(starts[word])
            starts[word].append(taken)
            masks[word].append(0)
        masks[word][at] |= 1 << place
        follows[word][taken + 1] = at
    table = np.zeros((max(map(len, starts)), MOVE_FIELDS, channels), np.uint32)
    for word in range(channels):
        for at, (start, mask) in enumerate(zip(starts[word], masks[word], strict=True)):
            first, shift = divmod(start, 32)
            after = min(first + 1, words - 1)
            table[at, :, word] = (first, after, shift, *_ups(mask), mask)
    return table


def _ups(mask: int) -> list[int]:
    """Which bits go up by 16, 8, 4, 2, 1, so that the lowest bits come to lie in a mask.

    After all bits have gone up by the larger powers, bit `i` of those taken lies where its
    place is, but for the smaller ones that are missing.
    """
    places = [place for place in range(32) if mask >> place & 1]
    found = []
    at = list(range(len(places)))
    for by in _UP:
        up = 0
        for number, place in enumerate(places):
            if (place - number) & by:
                at[number] += by
                up |= 1 << at[number]
        found.append(up)
    return found
