"""What is scheduled: fusion groups of the kernels, nodes of ONNX Runtime, views."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.planner._bit_tensors import Bits
from larqlite_runtime.planner._codebooks import Codebook
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._layouts import StoredTensor
from larqlite_runtime.planner._partition import Partition
from larqlite_runtime.planner._rearrange import Rearrangement
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._thresholds import Interval
from larqlite_runtime.planner._views import Structure
from larqlite_runtime.planner._window import Triple
from larqlite_runtime.planner.producers import FloatConv, Numbers, Packed, Pool


@dataclass(eq=False)
class PlanItem:
    """Something that runs at one point of the program.

    Attributes:
        number: of its first node, for an order among equals.
        level: how many changes from kernels to ONNX Runtime come before it.
        copies: groups that bring tensors into the layout in which it reads them.
    """

    number: int
    level: int = 0
    copies: list[FusionGroup] = field(default_factory=list)

    def reads(self) -> list[str]:
        """Tensors that have to be there before."""
        raise NotImplementedError

    def after(self) -> list[PlanItem]:
        """Items that have to run before, beside the makers of `reads()`."""
        return list(self.copies)


@dataclass(eq=False)
class OnnxRuntimeNode(PlanItem):
    """A node that ONNX Runtime runs."""

    node: GraphNode | None = None

    def reads(self) -> list[str]:
        return [name for name in self.node.inputs if name]


@dataclass(eq=False)
class ViewNode(PlanItem):
    """A node that only says where values lie."""

    node: GraphNode | None = None
    structure: Structure | None = None

    def reads(self) -> list[str]:
        return [name for name in self.node.inputs if name]


@dataclass(frozen=True)
class IntegerSums:
    """Sums of whole numbers, and what makes them the values of a tensor.

    Attributes:
        low, high: the least and the largest of each channel, int64.
        epilogues: that they pass through, as floats, to be those values.
    """

    low: np.ndarray
    high: np.ndarray
    epilogues: tuple[Epilogue, ...] = ()


@dataclass(eq=False)
class RearrangedNode(PlanItem):
    """A node that moves values, as a step of its own."""

    node: GraphNode | None = None
    moved: Rearrangement | None = None

    def reads(self) -> list[str]:
        return [self.node.inputs[0]]


@dataclass(eq=False)
class FusionGroup(PlanItem):
    """Nodes that are one step of the kernels: a producer of rows, and its epilogues.

    Attributes:
        source: the float tensor that is loaded, pooled, or whose bits are read.
        axis: of the channels in the source.
        packed, pool, conv: the producer; none of them if rows are loaded.
        input_group: the group, or the move, that makes what `packed` or `conv` reads, if that
            is no tensor.
        nodes: names of the nodes, for people.
        epilogues: what rows pass through.
        tensors: name and channel axis of what there is before and after each epilogue; a
            number in this list is a *position*.
        stores: further tensors that the one of a position is stored as.
        bit_readers: groups that read the tensor of a position as bits.
        bit_parts: what is packed for moves of bits, and which.
        padded_readers: groups that read the tensor of a position with borders around it.
    """

    source: str = ""
    axis: int = 1
    packed: Packed | None = None
    pool: Pool | None = None
    conv: FloatConv | None = None
    input_group: PlanItem | None = None
    nodes: list[str] = field(default_factory=list)
    epilogues: list[Epilogue] = field(default_factory=list)
    tensors: list[tuple[str, int]] = field(default_factory=list)
    stores: list[tuple[int, StoredTensor]] = field(default_factory=list)
    bit_readers: list[tuple[int, FusionGroup]] = field(default_factory=list)
    bit_parts: list[tuple[BitPart, BitMove]] = field(default_factory=list)
    padded_readers: list[tuple[int, FusionGroup]] = field(default_factory=list)

    @property
    def sums(self) -> IntegerSums | None:
        """The whole numbers that its rows begin as, if they do."""
        if self.packed is not None:
            return IntegerSums(*self.packed.range())
        conv = self.conv
        if conv is None or conv.numbers is not Numbers.BYTES:
            return None
        scaled = Epilogue(self.source, EpilogueKind.MULTIPLY, conv.sums.scale)
        moved = Epilogue(self.source, EpilogueKind.ADD, conv.bias)
        return IntegerSums(
            *conv.sums.range(), (scaled,) if conv.bias is None else (scaled, moved)
        )

    @property
    def loads(self) -> bool:
        """Whether the rows are those of a float tensor."""
        return self.packed is None and self.pool is None and self.conv is None

    def reads(self) -> list[str]:
        others = [epilogue.other for epilogue in self.epilogues if epilogue.other]
        return others if self.input_group else [self.source, *others]

    def after(self) -> list[PlanItem]:
        return [*self.copies, *([self.input_group] if self.input_group else [])]

    def position(self, tensor: str, axis: int) -> int | None:
        """Where a tensor is in the group."""
        if (tensor, axis) not in self.tensors:
            return None
        return self.tensors.index((tensor, axis))


@dataclass(eq=False)
class BitPart:
    """Some channels of a tensor of bits, as one item makes them.

    Attributes:
        maker: a group, which packs a tensor of its rows, or a move.
        channels: of what that makes.
        position: of the tensor in the group.
        epilogues: what it passes through before it is packed, for these bits alone.
        intervals: of the sums of the group that are +1, if it makes sums and has them.
        above: of floats whose largest value of a window is found in their bits, what
            `LQ_PACK_ABOVE` takes: a bound and a side of each channel.
    """

    maker: PlanItem
    channels: int
    position: int = 0
    epilogues: list[Epilogue] = field(default_factory=list)
    intervals: list[Interval] | None = None
    above: Interval | None = None


@dataclass(eq=False)
class BitMove(PlanItem):
    """A tensor of bits that is put together of others: where each of its channels comes from.

    Attributes:
        tensor: the float tensor whose bits they are.
        codebook: how they are made.
        size: depth, height and width of the parts.
        parts: in the order of the channels.
        part_of, channel_of: of each channel, its part and its channel there.
        pool: a window whose largest values they are, and the sizes of what comes out.
        turned: of each channel, whether its least values are taken instead.
        bits: how readers want them; None if they are a part of another move.
        whole: that move, and which part of it.
        readers: groups that read them.
        nodes: names of the nodes that it stands for.
    """

    tensor: str = ""
    codebook: Codebook | None = None
    size: Triple = (1, 1, 1)
    parts: list[BitPart] = field(default_factory=list)
    part_of: np.ndarray | None = None
    channel_of: np.ndarray | None = None
    pool: tuple[Pool, Triple] | None = None
    turned: np.ndarray | None = None
    bits: Bits | None = None
    whole: tuple[BitMove, int] | None = None
    readers: list[FusionGroup] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)

    def reads(self) -> list[str]:
        return []

    def after(self) -> list[PlanItem]:
        return [part.maker for part in self.parts]

    @property
    def group(self) -> int:
        """Channels that begin at a word of their own; 0 if there is one group."""
        return self.bits.group if self.bits is not None else 0

    @property
    def is_direct(self) -> bool:
        """Whether its parts are made where they have to lie, so that nothing moves."""
        return self.pool is None and self.is_in_order and not self.group

    @property
    def is_in_order(self) -> bool:
        """Whether its words are those of its parts, one part after another."""
        parts = [np.full(part.channels, at) for at, part in enumerate(self.parts)]
        channels = [np.arange(part.channels) for part in self.parts]
        return (
            all(part.channels % 32 == 0 for part in self.parts[:-1])
            and np.array_equal(np.concatenate(parts), self.part_of)
            and np.array_equal(np.concatenate(channels), self.channel_of)
        )


@dataclass
class FusionGroups:
    """All items of a graph.

    Attributes:
        items: in no order.
        maker: the item that makes a tensor.
        item_of: the item of a node, by its number.
        open: the group that ends with a tensor.
        loaders: groups that load a tensor with its channels at an axis.
        parts: for a name that stands for channels of a tensor: that tensor, one of the
            same shape as the part, the first channel, and the axis of channels.
    """

    subgraph: Subgraph
    partition: Partition
    items: list[PlanItem] = field(default_factory=list)
    maker: dict[str, PlanItem] = field(default_factory=dict)
    item_of: dict[int, PlanItem] = field(default_factory=dict)
    open: dict[str, FusionGroup] = field(default_factory=dict)
    loaders: dict[tuple[str, int], FusionGroup] = field(default_factory=dict)
    parts: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)

    def add(self, item: PlanItem, outputs: tuple[str, ...]) -> None:
        """An item that makes these tensors."""
        self.items.append(item)
        for name in filter(None, outputs):
            self.maker[name] = item

    def load(self, number: int, tensor: str, axis: int) -> FusionGroup:
        """A new group of the rows of a float tensor."""
        group = FusionGroup(number, source=tensor, axis=axis, tensors=[(tensor, axis)])
        self.items.append(group)
        return group

    def depends(self, tensor: str, group: FusionGroup) -> bool:
        """Whether a tensor can only be there after a group has run."""
        maker = self.maker.get(tensor)
        return maker is not None and self.needs(maker, group)

    def needs(self, item: PlanItem, other: PlanItem) -> bool:
        """Whether an item can only run after another, or is that one."""
        seen: set[int] = set()
        waiting = [item]
        while waiting:
            item = waiting.pop()
            if item is other:
                return True
            if id(item) in seen:
                continue
            seen.add(id(item))
            waiting += self.before(item)
        return False

    def before(self, item: PlanItem) -> list[PlanItem]:
        """The items that one needs at once."""
        made = [self.maker.get(name) for name in item.reads()]
        found = [*filter(None, made), *item.after()]
        return [other for other in found if other is not item]

    def dissolve(self) -> None:
        """Cuts what items know of one another, so that weights are freed at once."""
        for item in self.items:
            item.copies = []
            if isinstance(item, FusionGroup):
                item.input_group = None
                item.bit_readers, item.padded_readers = [], []
                item.bit_parts = []
            elif isinstance(item, BitMove):
                item.parts, item.readers, item.whole = [], [], None
