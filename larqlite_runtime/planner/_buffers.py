"""Where every tensor lies: in memory of its own, or within that of another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from larqlite_runtime._graph import Shape
from larqlite_runtime._program import Row
from larqlite_runtime.planner._fuse import Chains
from larqlite_runtime.planner._fuse_in_place import IN_PLACE
from larqlite_runtime.planner._fusion_group import (
    Chain,
    Item,
    Segment,
    View as ViewItem,
)
from larqlite_runtime.planner._layouts import Key, key_of


@dataclass(frozen=True)
class Place:
    """Some channels of the pixels of a root tensor.

    Attributes:
        root: the tensor that has memory of its own.
        first: the first channel.
        channels: how many.
        pixel: channels of the root; None if all of them are meant.
    """

    root: Key
    first: int = 0
    channels: int = 0
    pixel: int | None = None

    @property
    def is_contiguous(self) -> bool:
        """Whether the tensor fills its root."""
        return self.pixel in (None, self.channels)


@dataclass(frozen=True)
class _Parent:
    """The tensor within which another lies; `channels` of its `pixel`, None: all."""

    key: Key
    first: int = 0
    channels: int = 0
    pixel: int | None = None
    is_slot: bool = False


class Places:
    """Places of tensors; adds chains for the copies that cannot be avoided.

    Attributes:
        needed: orders of memory that are read from outside of the segment that makes
            them, if one does.
        copies: for a tensor that lies between others, its contiguous copy.
        zeros: roots with channels that stay zero.
    """

    def __init__(self, chains: Chains) -> None:
        self.chains = chains
        self.net, self.roles = chains.net, chains.roles
        self.needed: set[Key] = set()
        self.copies: dict[Key, Key] = {}
        self.zeros: set[Key] = set()
        self._parent: dict[Key, _Parent] = {}
        self._slots_of: dict[Key, list[Key]] = {}
        self._shapes: dict[str, Shape] = {}
        self._copiers: dict[Key, Chain] = {}
        views = [item for item in chains.items if isinstance(item, ViewItem)]
        views.sort(key=lambda item: item.number)
        self._whole = self._read_whole(views)
        for view in views:
            self._relate(view)
        for name, part in chains.parts.items():
            self._relate_part(name, *part)
        for view in views:
            if view.structure.kind == "concat":
                self._concatenate(view)
        for view in views:
            if view.structure.kind == "reshaped":
                source = self._contiguous(self.available(view.node.inputs[0]), view)
                self._parent[self.available(view.node.outputs[0])] = _Parent(source)
        self._read(list(chains.items))
        self.zeros = {self.place(key).root for key in self.zeros}

    def shape(self, tensor: str) -> Shape:
        """The shape of a tensor of the graph or of a copy."""
        return self._shapes.get(tensor) or self.net.shapes[tensor]

    def available(self, tensor: str) -> Key:
        """The order in which a tensor is there without being asked for another."""
        axis = self.roles.axes.get(tensor, len(self.net.shapes[tensor]) - 1)
        return key_of(tensor, self.net.shapes[tensor], axis)

    def place(self, key: Key) -> Place:
        """Where a tensor lies."""
        parent = self._parent.get(key)
        if parent is None:
            return Place(key)
        place = self.place(parent.key)
        if parent.pixel is None:
            return place
        pixel = place.pixel or parent.pixel
        return Place(place.root, place.first + parent.first, parent.channels, pixel)

    def is_stored(self, key: Key) -> bool:
        """Whether the chain that makes a tensor has to store it."""
        parent = self._parent.get(key)
        return key in self.needed and (parent is None or parent.is_slot)

    def elements(self, key: Key) -> int:
        """Values of one image (of all, if there is no batch)."""
        shape = self.shape(key[0])
        return math.prod(shape[1:] if shape and shape[0] is None else shape)

    # Building.

    def _read_whole(self, views: list[ViewItem]) -> set[str]:
        """Tensors that have to lie contiguously for a reader."""
        names = set(self.net.outputs)
        for item in self.chains.items:
            if isinstance(item, Segment):
                names.update(item.reads())
            if isinstance(item, Chain):
                names.update(
                    row.other for row in item.rows if row.kind == Row.MULTIPLY_IMAGE
                )
        for view in views:
            if view.structure.kind == "reshaped":
                names.update(view.reads())
        return names

    def _relate(self, view: ViewItem) -> None:
        """What needs no memory: parts and other shapes of a tensor."""
        structure, node = view.structure, view.node
        if structure.kind == "concat":
            return
        source = self.available(node.inputs[0])
        for name, first in zip(node.outputs, structure.parts, strict=False):
            if not name or self.available(name) == source:
                continue
            parent = _Parent(source)
            if structure.kind == "slice":
                whole, own = (
                    self.net.shapes[tensor][structure.axis]
                    for tensor in (node.inputs[0], name)
                )
                parent = _Parent(source, first, own, whole)
            self._parent[self.available(name)] = parent

    def _relate_part(self, name: str, whole: str, like: str, first: int, axis: int):
        """A part of a tensor that is written where that one lies."""
        self._shapes[name] = self.net.shapes[like]
        channels = self._shapes[name][axis]
        self._parent[key_of(name, self._shapes[name], axis)] = _Parent(
            self.available(whole),
            first,
            channels,
            self.net.shapes[whole][axis],
            is_slot=True,
        )

    def _concatenate(self, view: ViewItem) -> None:
        """Gives each input a slot in the output, and copies those that lie elsewhere."""
        net, structure = self.net, view.structure
        whole = self.available(view.node.outputs[0])
        inputs = list(
            view.node.inputs if view.node.op == "Concat" else view.node.inputs[:1]
        )
        pixel = net.shapes[view.node.outputs[0]][structure.axis]
        if sum(net.shapes[name][structure.axis] for name in inputs) < pixel:
            self.zeros.add(whole)
        for name, first in zip(inputs, structure.parts, strict=True):
            key = key_of(name, net.shapes[name], structure.axis)
            moved = self._movable(name, key)
            slot = moved or self._virtual(f"in {whole[0]}", key)
            own = net.shapes[name][structure.axis]
            self._parent[slot] = _Parent(whole, first, own, pixel, is_slot=True)
            self._slots_of.setdefault(whole, []).append(slot)
            if not moved:
                self._store_also(name, structure.axis, slot, view)

    def _movable(self, name: str, key: Key) -> Key | None:
        """The root of a tensor, if that may lie within another."""
        maker = self.chains.maker.get(name)
        if name in self._whole:
            return None
        if isinstance(maker, ViewItem) and maker.node.op == IN_PLACE:
            return self._movable(maker.node.inputs[0], self._parent[key].key)
        made_here = isinstance(maker, Chain) or (
            isinstance(maker, ViewItem) and maker.structure.kind == "concat"
        )
        return key if made_here and key not in self._parent else None

    def _virtual(self, purpose: str, key: Key) -> Key:
        """The name of a copy of a tensor."""
        name = f"{key[0]} {purpose}"
        while name in self._shapes:
            name += "'"
        self._shapes[name] = self.shape(key[0])
        return name, key[1]

    def _store_also(self, tensor: str, axis: int, slot: Key, reader: Item) -> None:
        """Has a tensor stored in a second place, by its maker or by a copying chain."""
        maker = self.chains.maker.get(tensor)
        if isinstance(maker, Chain) and (tensor, axis) in maker.tensors:
            maker.slots.append((maker.position(tensor, axis), slot))
            return
        copy = self._loader(tensor, axis, reader)
        copy.slots.append((0, slot))
        self._copiers[slot] = copy
        reader.copies.append(copy)

    def _loader(self, tensor: str, axis: int, reader: Item) -> Chain:
        """A chain that has a tensor in its rows already, or a new one."""
        for item in self.chains.items:
            if (
                isinstance(item, Chain)
                and item.loads
                and item.tensors[0] == (tensor, axis)
                and not self.chains.needs(item, reader)
            ):
                return item
        chain = self.chains.load(reader.number, tensor, axis)
        chain.nodes.append(reader.node.name + "/copy")
        return chain

    def _contiguous(self, key: Key, reader: Item) -> Key:
        """A tensor as it is, or its contiguous copy."""
        if self.place(key).is_contiguous:
            return key
        if key not in self.copies:
            copy = self._virtual("alone", key)
            self._store_also(key[0], self.roles.axes[key[0]], copy, reader)
            self.copies[key] = copy
            self._need(copy)
        elif self.copies[key] in self._copiers:
            reader.copies.append(self._copiers[self.copies[key]])
        return self.copies[key]

    def _read(self, items: list[Item]) -> None:
        """Finds which orders of memory are needed."""
        for item in items:
            if isinstance(item, Segment):
                for name in self.net.data_inputs(item.node):
                    if not isinstance(self.chains.maker.get(name), Segment):
                        self._need(self._contiguous(self.available(name), item))
            elif isinstance(item, Chain):
                self._read_by_chain(item)
        for item in self.chains.items:
            if isinstance(item, Chain) and item.slots and item.loads:
                self._need(key_of(item.source, self.shape(item.source), item.axis))
        for name in self.net.outputs:
            if name not in self.net.constants:
                self._need(self.available(name))

    def _read_by_chain(self, chain: Chain) -> None:
        if not chain.feeder:
            self._need(key_of(chain.source, self.shape(chain.source), chain.axis))
        for row, (_, axis) in zip(chain.rows, chain.tensors[1:], strict=True):
            if row.other is None:
                continue
            if row.other in self.chains.parts:
                self._need(self.available(self.chains.parts[row.other][0]))
            key = key_of(row.other, self.shape(row.other), axis)
            if row.kind == Row.MULTIPLY_IMAGE:
                key = self._contiguous(key, chain)
            self._need(key)

    def _need(self, key: Key) -> None:
        if key in self.needed:
            return
        self.needed.add(key)
        parent = self._parent.get(key)
        if parent is not None and not parent.is_slot:
            self._need(parent.key)
        for slot in self._slots_of.get(key, ()):
            self._need(slot)
