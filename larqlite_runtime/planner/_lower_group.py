"""One fusion group as one step: what it stores and packs, thresholds, epilogues."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._program import (
    NOWHERE,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    TensorView,
)
from larqlite_runtime.planner._bit_tensors import Bits, bits_for, share
from larqlite_runtime.planner._buffer_table import BufferTable
from larqlite_runtime.planner._fusion_group import FusionGroup
from larqlite_runtime.planner._layouts import key_of
from larqlite_runtime.planner._lower_producer import GroupInput, producer_step
from larqlite_runtime.planner._padding import PaddedTensor
from larqlite_runtime.planner._thresholds import Interval, can_threshold, intervals
from larqlite_runtime.planner.producers import Numbers

# How what a float convolution reads is stored, by the numbers that it multiplies.
_STORES = {
    Numbers.FLOAT32: (EpilogueKind.STORE, np.dtype(np.float32)),
    Numbers.BF16: (EpilogueKind.PACK_BF16, np.dtype(np.uint16)),
    Numbers.PIXELS: (EpilogueKind.PACK_PIXELS, np.dtype(np.uint16)),
}


@dataclass
class _Packing:
    """Bits that a group makes from the tensor at a position."""

    position: int
    bits: Bits
    buffer: int
    intervals: list[Interval] | None = None


class GroupLowering:
    """Turns groups into steps, one after another, in the order in which they run."""

    def __init__(self, buffers: BufferTable) -> None:
        self._buffers = buffers
        self._live, self._program = buffers.live, buffers.program
        self._inputs: dict[int, GroupInput] = {}

    def step(self, group: FusionGroup) -> KernelStep | None:
        """The step of a group; None if nobody needs what it makes."""
        packings = self._packings(group)
        stores = self._stores(group)
        float_until = self._choose_thresholds(group, packings, stores)
        ops = [
            op
            for packing in packings
            if packing.intervals is not None
            for op in self._thresholds(packing)
        ]
        if group.packed is not None and float_until >= 0:
            ops.append(EpilogueOp(EpilogueKind.TO_FLOAT))
        if group.conv is not None and group.conv.numbers is Numbers.PIXELS:
            scale = self._program.constant(group.conv.sums.scale)
            ops += [
                EpilogueOp(EpilogueKind.TO_FLOAT),
                EpilogueOp(EpilogueKind.MULTIPLY, a=scale),
            ]
        if group.conv is not None and group.conv.bias is not None:
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
            ops += [
                self._pack(packing)
                for packing in packings
                if packing.position == position and packing.intervals is None
            ]
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
                found.append(_Packing(position, bits, buffer))
                for number in numbers:
                    self._inputs[id(readers[number])] = GroupInput(
                        bits.padded, buffer, bits
                    )
        return found

    def _choose_thresholds(
        self,
        group: FusionGroup,
        packings: list[_Packing],
        stores: dict[int, list[EpilogueOp]],
    ) -> int:
        """Finds intervals where floats are not needed; the last position that is a float."""
        float_until = max(stores, default=-1)
        for packing in sorted(packings, key=lambda packing: -packing.position):
            epilogues = group.epilogues[: packing.position]
            if (
                group.packed is not None
                and packing.position > float_until
                and not packing.bits.are_codes
                and can_threshold(epilogues, packing.bits.codebook)
            ):
                packing.intervals = intervals(
                    epilogues, packing.bits.codebook, *group.packed.range()
                )
            if packing.intervals is None:
                float_until = max(float_until, packing.position)
        for packing in packings:
            if packing.position <= float_until:
                packing.intervals = None
        return float_until

    # Operations.

    def _thresholds(self, packing: _Packing) -> list[EpilogueOp]:
        view, bits = packing.bits.padded.image_view(packing.buffer), packing.bits
        return [
            EpilogueOp(
                EpilogueKind.THRESHOLD,
                a=self._program.constant(first),
                b=self._program.constant(last),
                planes=1,
                group=bits.group,
                words=bits.plane_words,
                view=view.moved(plane * bits.plane_words),
            )
            for plane, (first, last) in enumerate(packing.intervals)
        ]

    def _pack(self, packing: _Packing) -> EpilogueOp:
        bits = packing.bits
        return EpilogueOp(
            bits.codebook.code if bits.are_codes else bits.codebook.pack,
            planes=bits.codebook.type.bits,
            group=bits.group,
            words=bits.plane_words,
            x=bits.codebook.operands[0],
            y=bits.codebook.operands[1],
            view=bits.padded.image_view(packing.buffer),
        )

    def _epilogue(self, group: FusionGroup, position: int) -> list[EpilogueOp]:
        if not position:
            return []
        epilogue = group.epilogues[position - 1]
        _, axis = group.tensors[position]
        if epilogue.kind is None:
            return []
        if epilogue.image is not None:
            return [self._add_image(epilogue.image)]
        if epilogue.kind == EpilogueKind.ADD_TENSOR:
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
        return [EpilogueOp(epilogue.kind)]

    def _add_image(self, image: np.ndarray) -> EpilogueOp:
        """Adds a constant to every image."""
        *_, width, channels = image.shape
        height = image.shape[-3] if image.ndim > 2 else 1
        view = TensorView(
            self._program.constant(image),
            depth=height * width * channels,
            row=width * channels,
            pixel=channels,
        )
        return EpilogueOp(EpilogueKind.ADD_TENSOR, view=view)
