"""The pass `assign_buffers`: where tensors lie, in memory of their own or of another."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from larqlite_runtime._graph import Shape
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.planner._fuse_in_place import IN_PLACE
from larqlite_runtime.planner._fusion_group import (
    FusionGroup,
    FusionGroups,
    OnnxRuntimeNode,
    PlanItem,
    RearrangedNode,
    ViewNode,
)
from larqlite_runtime.planner._layouts import StoredTensor, key_of
from larqlite_runtime.planner._partition import Partition
from larqlite_runtime.planner._subgraph import Subgraph


@dataclass(frozen=True)
class BufferSlice:
    """Some channels of the pixels of a root tensor.

    Attributes:
        root: the tensor that has memory of its own.
        first: the first channel.
        channels: how many.
        pixel: channels of the root; None if all of them are meant.
    """

    root: StoredTensor
    first: int = 0
    channels: int = 0
    pixel: int | None = None

    @property
    def is_contiguous(self) -> bool:
        """Whether the tensor fills its root."""
        return self.pixel in (None, self.channels)


@dataclass(frozen=True)
class Parent:
    """The tensor within which another lies; `channels` of its `pixel`, None: all.

    Attributes:
        is_written: whether the group that makes the other writes it there.
    """

    key: StoredTensor
    first: int = 0
    channels: int = 0
    pixel: int | None = None
    is_written: bool = False


@dataclass
class BufferAssignment:
    """Where tensors lie.

    Attributes:
        needed: tensors in the layouts that are read from outside of the segment that
            makes them, if one does.
        copies: for a tensor that lies between others, its contiguous copy.
        zeros: roots with channels that stay zero.
        parents: the tensor within which another lies.
        virtual_shapes: of copies, and of parts that are written in place.
    """

    subgraph: Subgraph
    partition: Partition
    needed: set[StoredTensor] = field(default_factory=set)
    copies: dict[StoredTensor, StoredTensor] = field(default_factory=dict)
    zeros: set[StoredTensor] = field(default_factory=set)
    parents: dict[StoredTensor, Parent] = field(default_factory=dict)
    virtual_shapes: dict[str, Shape] = field(default_factory=dict)

    def shape(self, tensor: str) -> Shape:
        """The shape of a tensor of the graph or of a copy."""
        return self.virtual_shapes.get(tensor) or self.subgraph.shapes[tensor]

    def available(self, tensor: str) -> StoredTensor:
        """The layout in which a tensor is there without being asked for another."""
        axis = self.partition.axes.get(tensor, len(self.subgraph.shapes[tensor]) - 1)
        return key_of(tensor, self.subgraph.shapes[tensor], axis)

    def slice_of(self, key: StoredTensor) -> BufferSlice:
        """Where a tensor lies."""
        parent = self.parents.get(key)
        if parent is None:
            return BufferSlice(key)
        whole = self.slice_of(parent.key)
        if parent.pixel is None:
            return whole
        pixel = whole.pixel or parent.pixel
        return BufferSlice(
            whole.root, whole.first + parent.first, parent.channels, pixel
        )

    def is_stored(self, key: StoredTensor) -> bool:
        """Whether the group that makes a tensor has to store it."""
        parent = self.parents.get(key)
        return key in self.needed and (parent is None or parent.is_written)

    def elements(self, key: StoredTensor) -> int:
        """Values of one image (of all, if there is no batch)."""
        shape = self.shape(key.tensor)
        return math.prod(shape[1:] if shape and shape[0] is None else shape)


def assign_buffers(groups: FusionGroups) -> BufferAssignment:
    """Finds for every tensor in which layouts it is needed, and where it lies.

    Views need no memory; what is concatenated is made where it is needed. For the copies
    that cannot be avoided, groups are added, or store a tensor twice.
    """
    return _Assignment(groups).found()


class _Assignment:
    """An assignment being made."""

    def __init__(self, groups: FusionGroups) -> None:
        self._groups, self._subgraph = groups, groups.subgraph
        self._found = BufferAssignment(groups.subgraph, groups.partition)
        self._written_into: dict[StoredTensor, list[StoredTensor]] = {}
        self._copiers: dict[StoredTensor, FusionGroup] = {}
        self._views = [item for item in groups.items if isinstance(item, ViewNode)]
        self._views.sort(key=lambda item: item.number)
        self._whole = self._read_whole()

    def found(self) -> BufferAssignment:
        """The assignment."""
        for view in self._views:
            self._relate(view)
        for name, part in self._groups.parts.items():
            self._relate_part(name, *part)
        for view in self._views:
            if view.structure.kind == "concat":
                self._concatenate(view)
        for view in self._views:
            if view.structure.kind == "reshaped":
                self._reshape(view)
        self._read(list(self._groups.items))
        found = self._found
        found.zeros = {found.slice_of(key).root for key in found.zeros}
        return found

    def _read_whole(self) -> set[str]:
        """Tensors that have to lie contiguously for a reader."""
        names = set(self._subgraph.outputs)
        for item in self._groups.items:
            if isinstance(item, (OnnxRuntimeNode, RearrangedNode)):
                names.update(item.reads())
            if isinstance(item, FusionGroup):
                names.update(
                    epilogue.other
                    for epilogue in item.epilogues
                    if epilogue.kind == EpilogueKind.MULTIPLY_IMAGE
                )
        for view in self._views:
            if view.structure.kind == "reshaped":
                names.update(view.reads())
        return names

    def _relate(self, view: ViewNode) -> None:
        """What needs no memory: parts and other shapes of a tensor."""
        structure, node = view.structure, view.node
        if structure.kind == "concat":
            return
        source = self._found.available(node.inputs[0])
        for name, first in zip(node.outputs, structure.parts, strict=False):
            if not name or self._found.available(name) == source:
                continue
            parent = Parent(source)
            if structure.kind == "slice":
                whole, own = (
                    self._subgraph.shapes[tensor][structure.axis]
                    for tensor in (node.inputs[0], name)
                )
                parent = Parent(source, first, own, whole)
            self._found.parents[self._found.available(name)] = parent

    def _relate_part(self, name: str, whole: str, like: str, first: int, axis: int):
        """A part of a tensor that is written where that one lies."""
        self._found.virtual_shapes[name] = self._subgraph.shapes[like]
        channels = self._found.virtual_shapes[name][axis]
        self._found.parents[key_of(name, self._found.virtual_shapes[name], axis)] = (
            Parent(
                self._found.available(whole),
                first,
                channels,
                self._subgraph.shapes[whole][axis],
                is_written=True,
            )
        )

    def _concatenate(self, view: ViewNode) -> None:
        """Gives each input channels of the output, and copies those that lie elsewhere."""
        subgraph, structure = self._subgraph, view.structure
        whole = self._found.available(view.node.outputs[0])
        inputs = list(
            view.node.inputs if view.node.op == "Concat" else view.node.inputs[:1]
        )
        pixel = subgraph.shapes[view.node.outputs[0]][structure.axis]
        if sum(subgraph.shapes[name][structure.axis] for name in inputs) < pixel:
            self._found.zeros.add(whole)
        for name, first in zip(inputs, structure.parts, strict=True):
            key = key_of(name, subgraph.shapes[name], structure.axis)
            root = self._movable(name, key)
            target = root or self._virtual(f"in {whole.tensor}", key)
            own = subgraph.shapes[name][structure.axis]
            self._found.parents[target] = Parent(
                whole, first, own, pixel, is_written=True
            )
            self._written_into.setdefault(whole, []).append(target)
            if root is None:
                self._store_also(name, structure.axis, target, view)

    def _reshape(self, view: ViewNode) -> None:
        source = self._contiguous(self._found.available(view.node.inputs[0]), view)
        self._found.parents[self._found.available(view.node.outputs[0])] = Parent(
            source
        )

    def _movable(self, name: str, key: StoredTensor) -> StoredTensor | None:
        """The root of a tensor, if that may lie within another."""
        maker = self._groups.maker.get(name)
        if name in self._whole:
            return None
        if isinstance(maker, ViewNode) and maker.node.op == IN_PLACE:
            return self._movable(maker.node.inputs[0], self._found.parents[key].key)
        made_here = isinstance(maker, FusionGroup) or (
            isinstance(maker, ViewNode) and maker.structure.kind == "concat"
        )
        return key if made_here and key not in self._found.parents else None

    def _virtual(self, purpose: str, key: StoredTensor) -> StoredTensor:
        """The name of a copy of a tensor."""
        name = f"{key.tensor} {purpose}"
        while name in self._found.virtual_shapes:
            name += "'"
        self._found.virtual_shapes[name] = self._found.shape(key.tensor)
        return StoredTensor(name, key.layout)

    def _store_also(
        self, tensor: str, axis: int, target: StoredTensor, reader: PlanItem
    ) -> None:
        """Has a tensor stored a second time, by its maker or by a copying group."""
        maker = self._groups.maker.get(tensor)
        if isinstance(maker, FusionGroup) and (tensor, axis) in maker.tensors:
            maker.stores.append((maker.position(tensor, axis), target))
            return
        copy = self._loader(tensor, axis, reader)
        copy.stores.append((0, target))
        self._copiers[target] = copy
        reader.copies.append(copy)

    def _loader(self, tensor: str, axis: int, reader: PlanItem) -> FusionGroup:
        """A group that has a tensor in its rows already, or a new one."""
        for item in self._groups.items:
            if (
                isinstance(item, FusionGroup)
                and item.loads
                and item.tensors[0] == (tensor, axis)
                and not self._groups.needs(item, reader)
            ):
                return item
        group = self._groups.load(reader.number, tensor, axis)
        group.nodes.append(reader.node.name + "/copy")
        return group

    def _contiguous(self, key: StoredTensor, reader: PlanItem) -> StoredTensor:
        """A tensor as it is, or its contiguous copy."""
        if self._found.slice_of(key).is_contiguous:
            return key
        if key not in self._found.copies:
            copy = self._virtual("alone", key)
            self._store_also(
                key.tensor, self._groups.partition.axes[key.tensor], copy, reader
            )
            self._found.copies[key] = copy
            self._need(copy)
        elif self._found.copies[key] in self._copiers:
            reader.copies.append(self._copiers[self._found.copies[key]])
        return self._found.copies[key]

    def _read(self, items: list[PlanItem]) -> None:
        """Finds which layouts are needed."""
        for item in items:
            if isinstance(item, OnnxRuntimeNode):
                for name in self._subgraph.data_inputs(item.node):
                    if not isinstance(self._groups.maker.get(name), OnnxRuntimeNode):
                        self._need(self._contiguous(self._found.available(name), item))
            elif isinstance(item, RearrangedNode):
                source, made = item.node.inputs[0], item.node.outputs[0]
                self._need(self._contiguous(self._found.available(source), item))
                if item.moved.has_gaps:
                    self._found.zeros.add(self._found.available(made))
            elif isinstance(item, FusionGroup):
                self._read_by_group(item)
        for item in self._groups.items:
            if isinstance(item, FusionGroup) and item.stores and item.loads:
                self._need(
                    key_of(item.source, self._found.shape(item.source), item.axis)
                )
        for name in self._subgraph.outputs:
            if name not in self._subgraph.constants:
                self._need(self._found.available(name))

    def _read_by_group(self, group: FusionGroup) -> None:
        if not group.input_group:
            self._need(
                key_of(group.source, self._found.shape(group.source), group.axis)
            )
        for epilogue, (_, axis) in zip(group.epilogues, group.tensors[1:], strict=True):
            if epilogue.other is None:
                continue
            if epilogue.other in self._groups.parts:
                self._need(self._found.available(self._groups.parts[epilogue.other][0]))
            key = key_of(epilogue.other, self._found.shape(epilogue.other), axis)
            if epilogue.kind == EpilogueKind.MULTIPLY_IMAGE:
                key = self._contiguous(key, group)
            self._need(key)

    def _need(self, key: StoredTensor) -> None:
        if key in self._found.needed:
            return
        self._found.needed.add(key)
        parent = self._found.parents.get(key)
        if parent is not None and not parent.is_written:
            self._need(parent.key)
        for target in self._written_into.get(key, ()):
            self._need(target)
