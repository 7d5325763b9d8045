"""One fusion group, or one move of bits, as one step: stores, bits, thresholds, epilogues."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from larqlite_runtime._program import (
    NOWHERE,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    TensorView,
)
from larqlite_runtime.format import pack, words_of
from larqlite_runtime.planner._bit_tensors import bits_for, share
from larqlite_runtime.planner._buffer_table import BufferTable
from larqlite_runtime.planner._codebooks import Codebook
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._fusion_group import (
    BitMove,
    FusionGroup,
    RearrangedNode,
)
from larqlite_runtime.planner._layouts import image_of, key_of
from larqlite_runtime.planner._lower_bits import BitPlace, MoveLowering
from larqlite_runtime.planner._lower_producer import (
    GroupInput,
    producer_step,
    rearranged_step,
)
from larqlite_runtime.planner._padding import PaddedTensor
from larqlite_runtime.planner._thresholds import (
    Interval,
    can_threshold,
    intervals,
    ranges,
)
from larqlite_runtime.planner.producers import Numbers

# What a second tensor of the same shape does to each value.
_OF_TWO = (
    EpilogueKind.ADD_TENSOR,
    EpilogueKind.MULTIPLY_TENSOR,
    EpilogueKind.DIVIDE_TENSOR,
)
# How what a float convolution reads is stored, by the numbers that it multiplies.
_STORES = {
    Numbers.FLOAT32: (EpilogueKind.STORE, np.dtype(np.float32)),
    Numbers.BF16: (EpilogueKind.PACK_BF16, np.dtype(np.uint16)),
    Numbers.PIXELS: (EpilogueKind.PACK_PIXELS, np.dtype(np.uint16)),
}


@dataclass
class _Packing:
    """Bits that a group makes from the tensor at a position.

    Attributes:
        codebook: how.
        place: where they lie.
        group: channels that begin at a word of their own; 0 if there is one group.
        are_codes: whether values are bytes.
        epilogues: what the tensor passes through before it is packed, beside the group's.
        intervals: of what is +1: of sums; where there are epilogues, of floats.
        are_sums: which of them.
        above: of floats, a bound and a side of each channel.
    """

    position: int
    codebook: Codebook
    place: BitPlace
    group: int = 0
    are_codes: bool = False
    epilogues: list[Epilogue] = field(default_factory=list)
    intervals: list[Interval] | None = None
    are_sums: bool = False
    above: Interval | None = None


class GroupLowering:
    """Turns groups into steps, one after another, in the order in which they run."""

    def __init__(self, buffers: BufferTable, small: bool = False) -> None:
        self._buffers = buffers
        self._live, self._program = buffers.live, buffers.program
        self._inputs: dict[int, GroupInput] = {}
        self._moves = MoveLowering(buffers, self._inputs, small)

    def step(self, group: FusionGroup | BitMove | RearrangedNode) -> KernelStep | None:
        """The step of a group; None if nobody needs what it makes, or bits need not be moved."""
        if isinstance(group, BitMove):
            return self._moves.step(group)
        if isinstance(group, RearrangedNode):
            return rearranged_step(self._buffers, group)
        packings = self._packings(group)
        stores = self._stores(group)
        float_until = self._choose_thresholds(group, packings, stores)
        tensor, axis = group.tensors[0]
        _, channels = image_of(self._buffers.shape(tensor), axis)
        ops = [
            op
            for packing in packings
            if packing.are_sums
            for op in self._thresholds(
                packing, EpilogueKind.THRESHOLD, packing.intervals, channels
            )
        ]
        if group.epilogues and group.epilogues[0].kind == EpilogueKind.SUM:
            ops.append(EpilogueOp(EpilogueKind.SUM))
        sums = group.sums
        if sums is not None and float_until >= 0:
            ops.append(EpilogueOp(EpilogueKind.TO_FLOAT))
            for epilogue in sums.epilogues:
                values = self._program.constant(epilogue.values)
                ops.append(EpilogueOp(epilogue.kind, a=values))
        if group.conv is not None and group.conv.numbers is Numbers.PIXELS:
            scale = self._program.constant(group.conv.sums.scale)
            ops += [
                EpilogueOp(EpilogueKind.TO_FLOAT),
                EpilogueOp(EpilogueKind.MULTIPLY, a=scale),
            ]
        if sums is None and group.conv is not None and group.conv.bias is not None:
            ops.append(
                EpilogueOp(EpilogueKind.ADD, a=self._program.constant(group.conv.bias))
            )
        epilogues = [
            self._epilogue(group, position) for position in range(float_until + 1)
        ]
        reads = self._reads(group, epilogues)
        for position, epilogue in enumerate(epilogues):
            ops += epilogue
            for op in stores[position]:
                if op.kind == EpilogueKind.STORE:
                    self._replace(op.view, reads, position)
                ops.append(op)
            for packing in packings:
                if packing.position == position and not packing.are_sums:
                    ops += self._pack(packing, channels)
        if float_until < 0 and not packings:
            return None
        if group.conv is not None and group.conv.numbers is Numbers.PIXELS:
            self._join_scales(ops)
        return producer_step(
            self._buffers, group, self._inputs.get(id(group)), tuple(ops)
        )

    def _join_scales(self, ops: list[EpilogueOp]) -> None:
        """The scale of sums of pixels takes in one that comes right behind it."""
        number = next(
            number for number, op in enumerate(ops) if op.kind == EpilogueKind.MULTIPLY
        )
        both = ops[number : number + 2]
        if [op.kind for op in both] == [EpilogueKind.MULTIPLY] * 2:
            first, second = (self._program.buffers[op.a].constant for op in both)
            scale = (first.astype(np.float64) * second).astype(np.float32)
            joined = EpilogueOp(EpilogueKind.MULTIPLY, a=self._program.constant(scale))
            ops[number : number + 2] = [joined]

    def _reads(
        self, group: FusionGroup, epilogues: list[list[EpilogueOp]]
    ) -> list[tuple[int, int, TensorView]]:
        """Positions at which tensors are read: buffer, position, and how it is read."""
        found = []
        if group.loads:
            source = self._buffers.view(group.source, group.axis)
            found.append((source.buffer, 0, source))
        elif group.input_group is None:
            # Windows read more than the row that is worked on, and each value more than once.
            source = self._buffers.view(group.source, group.axis)
            found.append((source.buffer, len(epilogues), TensorView()))
        for position, epilogue in enumerate(epilogues):
            for op in epilogue:
                found += [
                    (op.view.buffer, position, op.view),
                    (op.a, position, TensorView()),
                ]
        return found

    def _replace(
        self,
        written: TensorView,
        reads: list[tuple[int, int, TensorView]],
        position: int,
    ) -> None:
        """Lets a tensor lie where one lies whose same pixels are read before, and no more."""
        for buffer, at, view in reads:
            if buffer in (NOWHERE, written.buffer):
                continue
            is_last = all(
                later <= position for other, later, _ in reads if other == buffer
            )
            if at <= position and is_last and view == replace(written, buffer=buffer):
                self._live.replace(written.buffer, buffer)

    # What comes out of a group.

    def _stores(self, group: FusionGroup) -> dict[int, list[EpilogueOp]]:
        found: dict[int, list[EpilogueOp]] = defaultdict(list)

        def store(position: int, view: TensorView) -> None:
            found[position].append(EpilogueOp(EpilogueKind.STORE, view=view))

        for position, (tensor, axis) in enumerate(group.tensors):
            key = key_of(tensor, self._buffers.shape(tensor), axis)
            if (position or not group.loads) and self._buffers.assignment.is_stored(
                key
            ):
                store(position, self._buffers.view(tensor, axis, key))
        for position, key in group.stores:
            if key in self._buffers.assignment.needed:
                store(position, self._buffers.view(*group.tensors[position], key))
        padded_tensors: dict[tuple[int, PaddedTensor, Numbers], int] = {}
        for position, reader in group.padded_readers:
            padded, numbers = reader.conv.padded, reader.conv.numbers
            key = position, padded, numbers
            kind, dtype = _STORES[numbers]
            if key not in padded_tensors:
                buffer = self._live.new(
                    dtype,
                    padded.elements,
                    initial=np.zeros((), dtype) if padded.has_more else None,
                    like=(padded, dtype),
                    holds=group.tensors[position][0],
                    layout="padded NHWC" if padded.has_more else "NHWC",
                )
                padded_tensors[key] = self._live.use(buffer)
                view = padded.image_view(buffer)
                found[position].append(EpilogueOp(kind, view=view))
            self._inputs[id(reader)] = GroupInput(padded, padded_tensors[key])
        return found

    def _packings(self, group: FusionGroup) -> list[_Packing]:
        at: dict[int, list[FusionGroup]] = defaultdict(list)
        for position, reader in group.bit_readers:
            at[position].append(reader)
        found = []
        for position, readers in at.items():
            for bits, numbers in share([bits_for(reader.packed) for reader in readers]):
                buffer = self._live.new(
                    np.dtype(np.uint32),
                    bits.padded.elements,
                    initial=bits.initial_words(),
                    like=bits,
                    holds=group.tensors[position][0],
                    layout="codes" if bits.are_codes else "bits",
                )
                self._live.use(buffer)
                place = BitPlace(bits.padded.image_view(buffer), bits.plane_words)
                found.append(
                    _Packing(position, bits.codebook, place, bits.group, bits.are_codes)
                )
                for number in numbers:
                    self._inputs[id(readers[number])] = GroupInput(
                        bits.padded, buffer, bits
                    )
        for part, move in group.bit_parts:
            place = self._moves.place(move, move.parts.index(part))
            packing = _Packing(part.position, move.codebook, place)
            packing.epilogues, packing.intervals = part.epilogues, part.intervals
            packing.are_sums, packing.above = part.intervals is not None, part.above
            found.append(packing)
        return found

    def _choose_thresholds(
        self,
        group: FusionGroup,
        packings: list[_Packing],
        stores: dict[int, list[EpilogueOp]],
    ) -> int:
        """Finds intervals where floats are not needed; the last position that is a float."""
        float_until = max(stores, default=-1)
        sums = group.sums
        for packing in sorted(packings, key=lambda packing: -packing.position):
            more = group.epilogues[: packing.position]
            epilogues = [*sums.epilogues, *more] if sums is not None else []
            if (
                sums is not None
                and packing.position > float_until
                and not packing.are_codes
                and not packing.are_sums
                and not packing.epilogues
                and can_threshold(epilogues, packing.codebook)
            ):
                packing.intervals = intervals(
                    epilogues, packing.codebook, sums.low, sums.high
                )
                packing.are_sums = packing.intervals is not None
            if not packing.are_sums:
                float_until = max(float_until, packing.position)
        for packing in packings:
            if float_until >= 0 and packing.above is None:
                self._pack_floats(group, packing, float_until)
        return float_until

    def _pack_floats(
        self, group: FusionGroup, packing: _Packing, float_until: int
    ) -> None:
        """Packs floats, which are there, rather than sums, if they have intervals.

        Sums become floats, are scaled and stored in registers; thresholds of sums would be
        between.
        """
        last = min(packing.position, float_until)
        more = [
            epilogue
            for epilogue in [
                *group.epilogues[last : packing.position],
                *packing.epilogues,
            ]
            if epilogue.kind is not None
        ]
        if not more:
            packing.position, packing.epilogues, packing.are_sums = last, more, False
            return
        tensor, axis = group.tensors[packing.position]
        _, channels = image_of(self._buffers.shape(tensor), axis)
        found = ranges(more, packing.codebook, channels)
        if found is not None:
            packing.position, packing.epilogues = last, more
            packing.intervals, packing.are_sums = found, False

    # Operations.

    def _thresholds(
        self,
        packing: _Packing,
        kind: EpilogueKind,
        found: list[Interval],
        channels: int,
    ) -> list[EpilogueOp]:
        """One operation for each plane, which takes two values of each channel."""
        return [
            EpilogueOp(
                kind,
                a=self._program.constant(first),
                b=self._program.constant(last),
                planes=1,
                group=packing.group,
                words=_words_of(channels, packing.group),
                view=packing.place.view.moved(plane * packing.place.words),
                pool=packing.place.pool,
            )
            for plane, (first, last) in enumerate(found)
        ]

    def _pack(self, packing: _Packing, channels: int) -> list[EpilogueOp]:
        codebook = packing.codebook
        if packing.above is not None:
            bounds, is_plus = packing.above
            found = [(bounds, pack(is_plus))]
            return self._thresholds(packing, EpilogueKind.PACK_ABOVE, found, channels)
        if packing.epilogues:
            kind, found = EpilogueKind.PACK_RANGE, packing.intervals
            return self._thresholds(packing, kind, found, channels)
        planes, words = codebook.type.bits, packing.place.words
        if planes == 1 and not packing.are_codes:
            words = _words_of(channels, packing.group)
        return [
            EpilogueOp(
                codebook.code if packing.are_codes else codebook.pack,
                planes=planes,
                group=packing.group,
                words=words,
                x=codebook.operands[0],
                y=codebook.operands[1],
                view=packing.place.view,
                pool=packing.place.pool,
            )
        ]

    def _epilogue(self, group: FusionGroup, position: int) -> list[EpilogueOp]:
        if not position:
            return []
        epilogue = group.epilogues[position - 1]
        _, axis = group.tensors[position]
        if epilogue.kind in (None, EpilogueKind.SUM):  # sums are integers yet
            return []
        if epilogue.image is not None:
            return [self._with_image(epilogue.kind, epilogue.image)]
        if epilogue.kind in _OF_TWO:
            return [
                EpilogueOp(epilogue.kind, view=self._buffers.view(epilogue.other, axis))
            ]
        if epilogue.kind == EpilogueKind.ADD_SCALED:
            return [
                EpilogueOp(
                    epilogue.kind,
                    a=self._program.constant(epilogue.values),
                    view=self._buffers.view(epilogue.other, axis),
                )
            ]
        if epilogue.kind == EpilogueKind.MULTIPLY_IMAGE:
            key = key_of(epilogue.other, self._buffers.shape(epilogue.other), axis)
            key = self._buffers.assignment.copies.get(key, key)
            return [EpilogueOp(epilogue.kind, a=self._buffers.buffer(key))]
        if epilogue.values is not None:
            return [
                EpilogueOp(epilogue.kind, a=self._program.constant(epilogue.values))
            ]
        if epilogue.kind == EpilogueKind.CLIP:
            return [EpilogueOp(epilogue.kind, x=epilogue.low, y=epilogue.high)]
        if epilogue.kind == EpilogueKind.ELU:
            return [EpilogueOp(epilogue.kind, x=epilogue.low)]
        return [EpilogueOp(epilogue.kind)]

    def _with_image(self, kind: EpilogueKind, image: np.ndarray) -> EpilogueOp:
        """Every image with a constant of its sizes."""
        *_, width, channels = image.shape
        height = image.shape[-3] if image.ndim > 2 else 1
        view = TensorView(
            self._program.constant(image),
            depth=height * width * channels,
            row=width * channels,
            pixel=channels,
        )
        return EpilogueOp(kind, view=view)


def _words_of(channels: int, group: int) -> int:
    """Words of one plane."""
    group = group or channels
    return channels // group * words_of(group)
