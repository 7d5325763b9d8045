"""Native nodes joined into chains: one source of rows and all that rows pass through."""

from __future__ import annotations

from dataclasses import replace

from larqlite_runtime._graph import Node
from larqlite_runtime.planner._epilogues import RowNode
from larqlite_runtime.planner._fuse_in_place import add_in_place
from larqlite_runtime.planner._fusion_group import Chain, Item, Segment, View
from larqlite_runtime.planner._partition import Roles
from larqlite_runtime.planner._subgraph import Net
from larqlite_runtime.planner._views import Structure
from larqlite_runtime.planner.producers._float_conv import FloatConv
from larqlite_runtime.planner.producers._packed import Packed


class Chains:
    """All items of a graph.

    Attributes:
        items: in no order.
        maker: the item that makes a tensor.
        item_of: the item of a node, by its number.
        open: the chain that ends with a tensor.
        parts: for a name that stands for channels of a tensor: that tensor, one of the
            same shape as the part, the first channel, and the axis of channels.
    """

    def __init__(self, net: Net, roles: Roles) -> None:
        self.net, self.roles = net, roles
        self.items: list[Item] = []
        self.maker: dict[str, Item] = {}
        self.item_of: dict[int, Item] = {}
        self.open: dict[str, Chain] = {}
        self.parts: dict[str, tuple[str, str, int, int]] = {}
        self._loaders: dict[tuple[str, int], Chain] = {}
        for number, node in enumerate(net.nodes):
            if number not in roles.absorbed:
                self._place(number, node)
                made = next(filter(None, node.outputs))
                self.item_of[number] = self.maker[made]

    def dissolve(self) -> None:
        """Cuts what items know of one another, so that weights are freed at once."""
        for item in self.items:
            item.copies = []
            if isinstance(item, Chain):
                item.feeder, item.packs, item.borders = None, [], []

    def _place(self, number: int, node: Node) -> None:
        roles = self.roles
        if number in roles.packed:
            self._packed(number, roles.packed[number])
        elif number in roles.pools:
            pool = roles.pools[number]
            chain = Chain(number, source=node.inputs[0], axis=pool.axis, pool=pool)
            self._start(chain, node)
        elif number in roles.convs:
            self._conv(number, node, roles.convs[number])
        elif number in roles.rows:
            self._row(number, node, roles.rows[number])
        elif number in roles.structures:
            self._structure(number, node, roles.structures[number])
        else:
            self._add(Segment(number, node=node), node.outputs)

    def _add(self, item: Item, outputs: tuple[str, ...]) -> None:
        self.items.append(item)
        for name in filter(None, outputs):
            self.maker[name] = item

    def _start(self, chain: Chain, node: Node) -> None:
        """A chain that begins with a node."""
        output = node.outputs[0]
        chain.nodes.append(node.name)
        chain.tensors.append((output, self.roles.axes[output]))
        self._add(chain, node.outputs)
        self.open[output] = chain

    def load(self, number: int, tensor: str, axis: int) -> Chain:
        """A new chain of the rows of a float tensor."""
        chain = Chain(number, source=tensor, axis=axis, tensors=[(tensor, axis)])
        self.items.append(chain)
        return chain

    def _packed(self, number: int, packed: Packed) -> None:
        wanted = packed.source, packed.axis
        feeder = self._feeder(*wanted, self._name_of_pack(packed), number)
        chain = Chain(number, source=wanted[0], axis=wanted[1], packed=packed)
        chain.feeder = feeder
        feeder.packs.append((feeder.position(*wanted), chain))
        self._start(chain, packed.node)

    def _conv(self, number: int, node: Node, conv: FloatConv) -> None:
        if conv.grid is not None:
            conv = self._reading_whole(conv)
        chain = Chain(number, source=conv.source, axis=1, conv=conv)
        if conv.grid is not None:
            feeder = self._feeder(conv.source, 1, node.name + "/pad", number)
            feeder.borders.append((feeder.position(conv.source, 1), chain))
            chain.feeder = feeder
        self._start(chain, node)

    def _reading_whole(self, conv: FloatConv) -> FloatConv:
        """The convolution as one of some channels of a tensor, if its input is such a part.

        Convolutions of several parts then read from the same bordered memory.
        """
        view = self.maker.get(conv.source)
        while isinstance(view, View) and view.structure.kind == "slice":
            number = view.node.outputs.index(conv.source)
            whole = view.node.inputs[0]
            conv = replace(
                conv,
                source=whole,
                first=conv.first + view.structure.parts[number],
                channels=self.net.shapes[whole][1],
            )
            view = self.maker.get(whole)
        return conv

    def _feeder(self, tensor: str, axis: int, name: str, number: int) -> Chain:
        """The chain that has a tensor in its rows."""
        maker = self.maker.get(tensor)
        if isinstance(maker, Chain) and maker.position(tensor, axis) is not None:
            return maker
        if (tensor, axis) not in self._loaders:
            chain = self.load(number, tensor, axis)
            chain.nodes.append(name)
            self._loaders[tensor, axis] = chain
        return self._loaders[tensor, axis]

    def _name_of_pack(self, packed: Packed) -> str:
        quantizer = self.net.made_by(packed.node.inputs[0])
        absorbs = quantizer is not None and packed.source in quantizer.inputs
        return quantizer.name if absorbs else packed.node.name + "/pack"

    def _row(self, number: int, node: Node, ways: list[RowNode]) -> None:
        if add_in_place(self, number, node):
            return
        ends = [(self.open.get(way.flowing), way) for way in ways]
        ends = [(chain, way) for chain, way in ends if chain is not None]
        ends.sort(key=lambda end: -self.items.index(end[0]))
        for chain, way in ends:
            if way.other is None or not self._depends(way.other, chain):
                self._extend(chain, node, way)
                return
        way = ways[0]
        chain = self.load(number, way.flowing, self.roles.axes.get(way.flowing, 1))
        axis = self.roles.axes[node.outputs[0]]
        chain.axis, chain.tensors = axis, [(way.flowing, axis)]
        self._extend(chain, node, way)

    def _extend(self, chain: Chain, node: Node, way: RowNode) -> None:
        output = node.outputs[0]
        self.open.pop(way.flowing, None)
        chain.rows.append(way)
        chain.tensors.append((output, self.roles.axes[output]))
        chain.nodes.append(node.name)
        self.maker[output] = chain
        self.open[output] = chain

    def _structure(self, number: int, node: Node, structure: Structure) -> None:
        """A view; rows pass through one that leaves rows alone."""
        source = node.inputs[0]
        chain = self.open.get(source)
        self._add(View(number, node=node, structure=structure), node.outputs)
        if structure.kind == "same" and chain is not None:
            self._extend(chain, node, RowNode(source))

    def _depends(self, tensor: str, chain: Chain) -> bool:
        """Whether a tensor can only be there after a chain has run."""
        maker = self.maker.get(tensor)
        return maker is not None and self.needs(maker, chain)

    def needs(self, item: Item, other: Item) -> bool:
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

    def before(self, item: Item) -> list[Item]:
        """The items that one needs at once."""
        made = [self.maker.get(name) for name in item.reads()]
        found = [*filter(None, made), *item.after()]
        return [other for other in found if other is not item]
