"""The pass `keep_bits`: bits are made where values are, and moved as bits to their readers.

Without it a concatenation, a shuffle or a pooling between two packed layers moves floats, which
are then loaded again to be packed.
"""

from __future__ import annotations

from dataclasses import dataclass

from larqlite_runtime.planner._bit_tensors import Bits, bits_for, share
from larqlite_runtime.planner._fusion_group import (
    BitMove,
    FusionGroup,
    FusionGroups,
    PlanItem,
)
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._trace_bits import BitSources, BitTracer, of_parts

# Tensors that a group packs for others: each is one more pass over its rows.
MOST_PARTS = 128


@dataclass(eq=False)
class _Kept:
    """Bits that a group need not make.

    Attributes:
        group: that packed them.
        position: of the tensor there.
        move: that brings them to the readers now.
        crossed: items that need not run for them.
    """

    group: FusionGroup
    position: int
    move: BitMove
    crossed: list[PlanItem]

    def begin(self) -> None:
        for reader in self.move.readers:
            reader.input_group = self.move

    def undo(self) -> None:
        for reader in self.move.readers:
            reader.input_group = self.group


def keep_bits(groups: FusionGroups) -> None:
    """Has bits made before values are moved, wherever the moved floats have no other reader.

    Where they have one, they are packed when they pass by, as before. Items that nothing needs
    any more are left out.
    """
    kept = [
        found
        for group in list(groups.items)
        if isinstance(group, FusionGroup)
        for found in _kept(groups, group)
    ]
    for one in kept:
        one.begin()
    passed_by: set[int] = set()
    while undone := _not_worth_it(groups, kept):
        for one in undone:
            one.undo()
            kept.remove(one)
        # What runs all the same packs bits itself; they may still be moved behind it.
        needed, before = _needed(groups), len(passed_by)
        passed_by |= {
            id(item)
            for one in undone
            for item in one.crossed
            if isinstance(item, FusionGroup) and not item.loads and id(item) in needed
        }
        if len(passed_by) > before:
            for one in undone:
                kept += _again(groups, one, passed_by)
    for one in kept:
        one.group.bit_readers = [
            (position, reader)
            for position, reader in one.group.bit_readers
            if reader.input_group is not one.move
        ]
        _add(groups, one.move)
    needed = _needed(groups)
    groups.items = [item for item in groups.items if id(item) in needed]
    groups.maker = {
        name: item for name, item in groups.maker.items() if id(item) in needed
    }


def _kept(groups: FusionGroups, group: FusionGroup) -> list[_Kept]:
    """Bits that a group packs and that may be made before it."""
    found = []
    for position in sorted({position for position, _ in group.bit_readers}):
        readers = [
            reader
            for at, reader in group.bit_readers
            if at == position and not reader.packed.takes_codes
        ]
        for bits, numbers in share([bits_for(reader.packed) for reader in readers]):
            own = [readers[number] for number in numbers]
            found += _traced(groups, group, position, bits, own, set())
    return found


def _traced(
    groups: FusionGroups,
    group: FusionGroup,
    position: int,
    bits: Bits,
    readers: list[FusionGroup],
    passed_by: set[int],
) -> list[_Kept]:
    """The bits of some readers, if they may be made before a group."""
    tracer = BitTracer(groups, bits.codebook, group.number, passed_by)
    traced = tracer.before(group, position)
    if traced is None:
        return []
    move = _move(groups, group, position, traced)
    move.codebook, move.bits, move.readers = bits.codebook, bits, readers
    return [_Kept(group, position, move, traced.crossed)]


def _again(groups: FusionGroups, one: _Kept, passed_by: set[int]) -> list[_Kept]:
    """The same bits, made no further back than some groups, which have begun."""
    move = one.move
    found = _traced(groups, one.group, one.position, move.bits, move.readers, passed_by)
    for again in found:
        again.begin()
    return found


def _move(
    groups: FusionGroups, group: FusionGroup, position: int, traced: BitSources
) -> BitMove:
    """The move of what was traced; of a single pooling, that move itself, in the right order."""
    tensor, axis = group.tensors[position]
    nodes = group.nodes[: max(1, position) if group.loads else position + 1]
    inner = traced.parts[0].maker
    if len(traced.parts) == 1 and isinstance(inner, BitMove):
        channels = traced.channel_of
        inner.turned = inner.turned[channels]
        own = of_parts(inner)
        own.take(channels)
        inner.parts, inner.part_of, inner.channel_of = (
            own.parts,
            own.part_of,
            own.channel_of,
        )
        inner.tensor, inner.nodes = tensor, nodes
        return inner
    size, _ = image_of(groups.subgraph.shapes[tensor], axis)
    return BitMove(
        group.number,
        tensor=tensor,
        size=size,
        parts=traced.parts,
        part_of=traced.part_of,
        channel_of=traced.channel_of,
        nodes=nodes,
    )


def _add(groups: FusionGroups, move: BitMove) -> None:
    """A move, its poolings, and what groups pack for them."""
    groups.items.append(move)
    if move.is_direct:
        move.parts[-1].maker.nodes += move.nodes
    for number, part in enumerate(move.parts):
        if isinstance(part.maker, BitMove):
            part.maker.whole = move, number
            _add(groups, part.maker)
        else:
            part.maker.bit_parts.append((part, move))


def _not_worth_it(groups: FusionGroups, kept: list[_Kept]) -> list[_Kept]:
    """Moves past items that run all the same, or of groups that would pack too much."""
    needed = _needed(groups)
    found = [one for one in kept if any(id(item) in needed for item in one.crossed)]
    if found:
        return found
    parts: dict[int, int] = {}
    for one in kept:
        for maker in _makers(one.move):
            parts[id(maker)] = parts.get(id(maker), 0) + 1
            if parts[id(maker)] > MOST_PARTS and one not in found:
                found.append(one)
    return found


def _makers(move: BitMove) -> list[FusionGroup]:
    found = []
    for part in move.parts:
        inner = part.maker
        found += _makers(inner) if isinstance(inner, BitMove) else [inner]
    return found


def _needed(groups: FusionGroups) -> set[int]:
    """The items that outputs need, by identity."""
    waiting = [
        groups.maker[name] for name in groups.subgraph.outputs if name in groups.maker
    ]
    seen: set[int] = set()
    while waiting:
        item = waiting.pop()
        if id(item) not in seen:
            seen.add(id(item))
            waiting += groups.before(item)
    return seen
