"""Chains as steps of a program."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._plan_bits import Bits, bits_for, share
from larqlite_runtime._plan_chains import Chain
from larqlite_runtime._plan_forms import FILE, Key, image_of, key_of
from larqlite_runtime._plan_memory import Memory
from larqlite_runtime._plan_net import Net
from larqlite_runtime._plan_packed import Packed
from larqlite_runtime._plan_places import Places
from larqlite_runtime._plan_rows import RowNode
from larqlite_runtime._plan_thresholds import Interval, can_threshold, intervals
from larqlite_runtime._plan_weights import layout_of
from larqlite_runtime._program import Kind, Op, Row, Step, View


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
        self._bits: dict[int, tuple[Bits, int]] = {}

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
        for position in range(float_until + 1):
            if position:
                ops += self._row(chain, position)
            shape_axis = chain.tensors[position]
            ops += [
                Op(Row.STORE, view=self._view(*shape_axis, key))
                for key in stores[position]
            ]
            ops += [
                self._pack(packing)
                for packing in packings
                if packing.position == position and packing.intervals is None
            ]
        return self._head(chain, tuple(ops)) if ops else None

    # What comes out of a chain.

    def _stores(self, chain: Chain) -> dict[int, list[Key]]:
        found: dict[int, list[Key]] = defaultdict(list)
        for position, (tensor, axis) in enumerate(chain.tensors):
            key = key_of(tensor, self.places.shape(tensor), axis)
            if (position or not chain.loads) and self.places.is_stored(key):
                found[position].append(key)
        for position, key in chain.slots:
            if key in self.places.needed:
                found[position].append(key)
        return found

    def _packings(self, chain: Chain) -> list[_Packing]:
        at: dict[int, list[Packed]] = defaultdict(list)
        for position, packed in chain.packs:
            at[position].append(packed)
        found = []
        for position, readers in at.items():
            for bits, numbers in share([bits_for(packed) for packed in readers]):
                buffer = self.memory.new(
                    np.dtype(np.uint32), bits.words, fill=bits.template(), like=bits
                )
                self.memory.use(buffer)
                found.append(_Packing(position, bits, buffer))
                for number in numbers:
                    self._bits[id(readers[number])] = bits, buffer
        return found

    def _choose_thresholds(
        self,
        chain: Chain,
        packings: list[_Packing],
        stores: dict[int, list[Key]],
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
        view, bits = packing.bits.pack_view(packing.buffer), packing.bits
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
            view=bits.pack_view(packing.buffer),
        )

    def _row(self, chain: Chain, position: int) -> list[Op]:
        row: RowNode = chain.rows[position - 1]
        _, axis = chain.tensors[position]
        if row.kind is None:
            return []
        if row.kind == Row.ADD_TENSOR:
            return [Op(row.kind, view=self._view(row.other, axis))]
        if row.kind == Row.MULTIPLY_IMAGE:
            key = key_of(row.other, self.places.shape(row.other), axis)
            return [Op(row.kind, a=self.buffer(self.places.copies.get(key, key)))]
        if row.values is not None:
            return [Op(row.kind, a=self.program.constant(row.values))]
        if row.kind == Row.CLIP:
            return [Op(row.kind, x=row.low, y=row.high)]
        return [Op(row.kind)]

    # Where rows come from.

    def _head(self, chain: Chain, ops: tuple[Op, ...]) -> Step:
        size, channels = image_of(
            self.places.shape(chain.tensors[0][0]), chain.tensors[0][1]
        )
        made = {
            "size": size,
            "channels": channels,
            "ops": ops,
            "label": ", ".join(chain.nodes),
        }
        if chain.packed is not None:
            return self._popcounts(chain.packed, made)
        source = self._view(chain.source, chain.axis)
        if chain.pool is None:
            made["products"] = math.prod(size) * channels
            return Step(Kind.LOAD, input=source, **made)
        pool = chain.pool
        made["in_size"], _ = image_of(self.places.shape(chain.source), chain.axis)
        if pool.kind == Kind.MEAN:
            made["products"] = math.prod(made["in_size"]) * channels
            return Step(Kind.MEAN, input=source, **made)
        made["products"] = math.prod(size) * channels * math.prod(pool.kernel)
        strides = source.depth, source.row, source.pixel
        return Step(
            pool.kind,
            input=source.every(*pool.stride),
            kernel=pool.kernel,
            tap=tuple(
                step * stride
                for step, stride in zip(pool.dilation, strides, strict=True)
            ),
            stride=pool.stride,
            pad=pool.pad,
            dilation=pool.dilation,
            **made,
        )

    def _popcounts(self, packed: Packed, made: dict) -> Step:
        program, window = self.program, packed.window
        bits, buffer = self._bits[id(packed)]
        self.memory.use(buffer)
        base, of_row, of_column = packed.bases()
        depthwise = packed.is_depthwise
        layout = layout_of(packed, bits)
        return Step(
            Kind.DEPTHWISE if depthwise else Kind.CONV,
            input=bits.window_view(buffer, window),
            kernel=layout.kernel,
            tap=layout.tap,
            groups=layout.groups,
            words=layout.words,
            in_channels=packed.in_channels,
            multiplier=packed.out_channels // packed.in_channels if depthwise else 1,
            input_planes=layout.input_planes,
            weight_planes=layout.weight_planes,
            shift=packed.shift,
            weights=program.constant(layout.weights),
            base=program.constant(base),
            row_class=-1 if of_row is None else program.constant(of_row),
            column_class=-1 if of_column is None else program.constant(of_column),
            column_classes=base.shape[1],
            products=packed.products,
            **made,
        )

    def _view(self, tensor: str, axis: int, key: Key | None = None) -> View:
        """A tensor's place as the kernels see it."""
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
