"""Chains as steps of a program."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._program import NOWHERE, Op, Row, Step, View
from larqlite_runtime.planner._arena import Memory
from larqlite_runtime.planner._bit_tensors import Bits, bits_for, share
from larqlite_runtime.planner._buffers import Places
from larqlite_runtime.planner._epilogues import RowNode
from larqlite_runtime.planner._fusion_group import Chain
from larqlite_runtime.planner._layouts import FILE, Key, image_of, key_of
from larqlite_runtime.planner._lower_producer import Fed, head
from larqlite_runtime.planner._padding import Grid
from larqlite_runtime.planner._subgraph import Net
from larqlite_runtime.planner._thresholds import Interval, can_threshold, intervals


@dataclass
class _Packing:
    """Bits that a chain makes from the tensor at a position."""

    position: int
    bits: Bits
    buffer: int
    intervals: list[Interval] | None = None


class Lowering:
    """Turns chains into steps, one after another, in the order in which they run."""

    def __init__(self, net: Net, places: Places, memory: Memory) -> None:
        self.net, self.places, self.memory = net, places, memory
        self.program = memory.program
        self._of_root: dict[Key, int] = {}
        self._fed: dict[int, Fed] = {}

    def buffer(self, key: Key) -> int:
        """The buffer that a tensor lies in; it is in use now."""
        root = self.places.place(key).root
        if root not in self._of_root:
            zeros = root in self.places.zeros
            self._of_root[root] = self.memory.new(
                self.net.dtypes.get(root[0], np.dtype(np.float32)),
                self.places.elements(root),
                fill=np.zeros((), np.float32) if zeros else None,
                external=root[0] in self.net.inputs and root[1] == FILE,
            )
        return self.memory.use(self._of_root[root])

    def step(self, chain: Chain) -> Step | None:
        """The step of a chain; None if nobody needs what it makes."""
        packings = self._packings(chain)
        stores = self._stores(chain)
        float_until = self._choose_thresholds(chain, packings, stores)
        ops = [
            op
            for packing in packings
            if packing.intervals is not None
            for op in self._thresholds(packing)
        ]
        if chain.packed is not None and float_until >= 0:
            ops.append(Op(Row.TO_FLOAT))
        if chain.conv is not None and chain.conv.bias is not None:
            ops.append(Op(Row.ADD, a=self.program.constant(chain.conv.bias)))
        rows = [self._row(chain, position) for position in range(float_until + 1)]
        reads = self._reads(chain, rows)
        for position, row in enumerate(rows):
            ops += row
            for view in stores[position]:
                self._replace(view, reads, position)
                ops.append(Op(Row.STORE, view=view))
            ops += [
                self._pack(packing)
                for packing in packings
                if packing.position == position and packing.intervals is None
            ]
        if float_until < 0 and not packings:
            return None
        return head(self, chain, self._fed.get(id(chain)), tuple(ops))

    def _reads(self, chain: Chain, rows: list[list[Op]]) -> list[tuple[int, int, View]]:
        """Positions at which tensors are read: buffer, position, and how it is read."""
        found = []
        if chain.loads:
            source = self.view(chain.source, chain.axis)
            found.append((source.buffer, 0, source))
        for position, row in enumerate(rows):
            for op in row:
                found += [(op.view.buffer, position, op.view), (op.a, position, View())]
        return found

    def _replace(
        self, written: View, reads: list[tuple[int, int, View]], position: int
    ) -> None:
        """Lets a tensor lie where one lies whose same pixels are read before, and no more."""
        for buffer, at, view in reads:
            if buffer in (NOWHERE, written.buffer):
                continue
            is_last = all(
                later <= position for other, later, _ in reads if other == buffer
            )
            if at <= position and is_last and view == replace(written, buffer=buffer):
                self.memory.replace(written.buffer, buffer)

    # What comes out of a chain.

    def _stores(self, chain: Chain) -> dict[int, list[View]]:
        found: dict[int, list[View]] = defaultdict(list)
        for position, (tensor, axis) in enumerate(chain.tensors):
            key = key_of(tensor, self.places.shape(tensor), axis)
            if (position or not chain.loads) and self.places.is_stored(key):
                found[position].append(self.view(tensor, axis, key))
        for position, key in chain.slots:
            if key in self.places.needed:
                found[position].append(self.view(*chain.tensors[position], key))
        grids: dict[tuple[int, Grid], int] = {}
        for position, reader in chain.borders:
            grid = reader.conv.grid
            if (position, grid) not in grids:
                buffer = self.memory.new(
                    np.dtype(np.float32),
                    grid.elements,
                    fill=np.zeros((), np.float32),
                    like=grid,
                )
                grids[position, grid] = self.memory.use(buffer)
                found[position].append(grid.image_view(buffer))
            self._fed[id(reader)] = Fed(grid, grids[position, grid])
        return found

    def _packings(self, chain: Chain) -> list[_Packing]:
        at: dict[int, list[Chain]] = defaultdict(list)
        for position, reader in chain.packs:
            at[position].append(reader)
        found = []
        for position, readers in at.items():
            for bits, numbers in share([bits_for(reader.packed) for reader in readers]):
                buffer = self.memory.new(
                    np.dtype(np.uint32),
                    bits.grid.elements,
                    fill=bits.template(),
                    like=bits,
                )
                self.memory.use(buffer)
                found.append(_Packing(position, bits, buffer))
                for number in numbers:
                    self._fed[id(readers[number])] = Fed(bits.grid, buffer, bits)
        return found

    def _choose_thresholds(
        self,
        chain: Chain,
        packings: list[_Packing],
        stores: dict[int, list[View]],
    ) -> int:
        """Finds intervals where floats are not needed; the last position that is a float."""
        float_until = max(stores, default=-1)
        for packing in sorted(packings, key=lambda packing: -packing.position):
            rows = chain.rows[: packing.position]
            if (
                chain.packed is not None
                and packing.position > float_until
                and can_threshold(rows, packing.bits.levels)
            ):
                packing.intervals = intervals(
                    rows, packing.bits.levels, *chain.packed.range()
                )
            if packing.intervals is None:
                float_until = max(float_until, packing.position)
        for packing in packings:
            if packing.position <= float_until:
                packing.intervals = None
        return float_until

    # Operations.

    def _thresholds(self, packing: _Packing) -> list[Op]:
        view, bits = packing.bits.grid.image_view(packing.buffer), packing.bits
        return [
            Op(
                Row.THRESHOLD,
                a=self.program.constant(first),
                b=self.program.constant(last),
                planes=1,
                group=bits.group,
                words=bits.plane_words,
                view=view.moved(plane * bits.plane_words),
            )
            for plane, (first, last) in enumerate(packing.intervals)
        ]

    def _pack(self, packing: _Packing) -> Op:
        bits = packing.bits
        return Op(
            bits.levels.pack,
            planes=bits.levels.planes,
            group=bits.group,
            words=bits.plane_words,
            x=bits.levels.threshold,
            view=bits.grid.image_view(packing.buffer),
        )

    def _row(self, chain: Chain, position: int) -> list[Op]:
        if not position:
            return []
        row: RowNode = chain.rows[position - 1]
        _, axis = chain.tensors[position]
        if row.kind is None:
            return []
        if row.kind == Row.ADD_TENSOR:
            return [Op(row.kind, view=self.view(row.other, axis))]
        if row.kind == Row.MULTIPLY_IMAGE:
            key = key_of(row.other, self.places.shape(row.other), axis)
            return [Op(row.kind, a=self.buffer(self.places.copies.get(key, key)))]
        if row.values is not None:
            return [Op(row.kind, a=self.program.constant(row.values))]
        if row.kind == Row.CLIP:
            return [Op(row.kind, x=row.low, y=row.high)]
        return [Op(row.kind)]

    def view(self, tensor: str, axis: int, key: Key | None = None) -> View:
        """Where a tensor lies, as the kernels see it."""
        shape = self.places.shape(tensor)
        (_, height, width), channels = image_of(shape, axis)
        place = self.places.place(key or key_of(tensor, shape, axis))
        pixel = place.pixel or channels
        row = width * pixel
        return View(
            self.buffer(place.root),
            place.first,
            self.places.elements(place.root),
            height * row,
            row,
            pixel,
        )
