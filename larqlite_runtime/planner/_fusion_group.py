"""What a plan is made of before it is a program: chains of the kernels, segments, views."""

from __future__ import annotations

from dataclasses import dataclass, field

from larqlite_runtime._graph import Node
from larqlite_runtime.planner._epilogues import RowNode
from larqlite_runtime.planner._layouts import Key
from larqlite_runtime.planner._views import Structure
from larqlite_runtime.planner.producers._float_conv import FloatConv
from larqlite_runtime.planner.producers._packed import Packed
from larqlite_runtime.planner.producers._pooling import Pool


@dataclass(eq=False)
class Item:
    """Something that runs at one moment.

    Attributes:
        number: of its first node, for an order among equals.
        level: how many changes from kernels to ONNX Runtime come before it.
        copies: chains that bring tensors into the order in which it reads them.
    """

    number: int
    level: int = 0
    copies: list[Chain] = field(default_factory=list)

    def reads(self) -> list[str]:
        """Tensors that have to be there before."""
        raise NotImplementedError

    def after(self) -> list[Item]:
        """Items that have to run before, beside the makers of `reads()`."""
        return list(self.copies)


@dataclass(eq=False)
class Segment(Item):
    """A node that ONNX Runtime runs."""

    node: Node | None = None

    def reads(self) -> list[str]:
        return [name for name in self.node.inputs if name]


@dataclass(eq=False)
class View(Item):
    """A node that only says where values lie."""

    node: Node | None = None
    structure: Structure | None = None

    def reads(self) -> list[str]:
        return [name for name in self.node.inputs if name]


@dataclass(eq=False)
class Chain(Item):
    """One step of the kernels.

    Attributes:
        source: the float tensor that is loaded, pooled, or whose bits are read.
        axis: of the channels in the source.
        packed, pool, conv: what makes the rows; none of them if they are loaded.
        feeder: the chain that makes what `packed` or `conv` reads, if that is no tensor.
        nodes: names of the nodes, for people.
        rows: what rows pass through.
        tensors: name and channel axis of what there is before and after each of `rows`.
        slots: places beside its own in which the tensor of a position is stored.
        packs: chains that take bits from the tensor of a position.
        borders: chains that take the tensor of a position with borders around it.
    """

    source: str = ""
    axis: int = 1
    packed: Packed | None = None
    pool: Pool | None = None
    conv: FloatConv | None = None
    feeder: Chain | None = None
    nodes: list[str] = field(default_factory=list)
    rows: list[RowNode] = field(default_factory=list)
    tensors: list[tuple[str, int]] = field(default_factory=list)
    slots: list[tuple[int, Key]] = field(default_factory=list)
    packs: list[tuple[int, Chain]] = field(default_factory=list)
    borders: list[tuple[int, Chain]] = field(default_factory=list)

    @property
    def loads(self) -> bool:
        """Whether the rows are those of a float tensor."""
        return self.packed is None and self.pool is None and self.conv is None

    def reads(self) -> list[str]:
        others = [row.other for row in self.rows if row.other]
        return others if self.feeder else [self.source, *others]

    def after(self) -> list[Item]:
        return [*self.copies, *([self.feeder] if self.feeder else [])]

    def position(self, tensor: str, axis: int) -> int | None:
        """Where a tensor is in the chain."""
        if (tensor, axis) not in self.tensors:
            return None
        return self.tensors.index((tensor, axis))
