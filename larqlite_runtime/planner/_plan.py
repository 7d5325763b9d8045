"""From a graph to stages: parts of a program for the kernels, segments for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from larqlite_runtime._graph import Graph, Node
from larqlite_runtime._program import Program
from larqlite_runtime.planner._arena import Memory
from larqlite_runtime.planner._buffers import Place, Places
from larqlite_runtime.planner._fuse import Chains
from larqlite_runtime.planner._fusion_group import Chain, Item, Segment
from larqlite_runtime.planner._layouts import FILE, Key
from larqlite_runtime.planner._lower import Lowering
from larqlite_runtime.planner._order import ordered
from larqlite_runtime.planner._partition import find_roles
from larqlite_runtime.planner._subgraph import Net


@dataclass(frozen=True)
class Port:
    """A tensor in a buffer, in one order of memory.

    Attributes:
        tensor: its name.
        key: the order; `key[1]` is true where axis 1 of the file lies innermost.
        buffer: its number.
    """

    tensor: str
    key: Key
    buffer: int


@dataclass
class Stage:
    """What runs at one moment.

    Attributes:
        part: number of the part of the program; None for a segment.
        nodes: of a segment.
        inputs, outputs: of a segment.
    """

    part: int | None = None
    nodes: list[Node] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


@dataclass(frozen=True)
class Output:
    """An output of the model: its buffer, and where in the pixels of that it lies."""

    port: Port
    place: Place


@dataclass
class Plan:
    """A graph ready to run.

    Attributes:
        net: the graph.
        program: buffers and steps of the native parts.
        stages: in the order in which they run.
        inputs, outputs: of the model; an output that is a constant is missing.
        why_float: for packed nodes that ONNX Runtime runs in float, by name, the reason.
    """

    net: Net
    program: Program
    stages: list[Stage]
    inputs: list[Port]
    outputs: dict[str, Output]
    why_float: dict[str, str] = field(default_factory=dict)


def plan(
    graph: Graph,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    float_kernels: bool = True,
) -> Plan:
    """Plans how a graph runs.

    Args:
        graph: a checked model.
        inputs: tensors that are fed; those of the model by default.
        outputs: tensors that are asked for; those of the model by default.
        float_kernels: whether the kernels are fast with floats too.

    Raises:
        InputError: a name that the model does not have, or outputs that depend on an
            input that is not fed.
    """
    net = Net(
        graph,
        list(inputs or graph.inputs),
        list(outputs or graph.outputs),
        float_kernels,
    )
    roles = find_roles(net)
    chains = Chains(net, roles)
    places = Places(chains)
    return _Planner(net, chains, places).plan()


class _Planner:
    def __init__(self, net: Net, chains: Chains, places: Places) -> None:
        self.net, self.chains, self.places = net, chains, places
        self.memory = Memory(Program())
        self.lowering = Lowering(net, places, self.memory)
        self.made: set[str] = set()

    def plan(self) -> Plan:
        inputs = [self._port(name, (name, FILE)) for name in self.net.inputs]
        stages = []
        for is_segment, items in self._groups():
            if is_segment:
                stages.append(self._segment([item.node for item in items]))
            else:
                stages += self._part(items)
        self.memory.moment += 1
        outputs = {}
        for name in self.net.outputs:
            if name not in self.net.constants:
                key = self.places.available(name)
                outputs[name] = Output(self._port(name, key), self.places.place(key))
        self.memory.arrange()
        why = self.chains.roles.why_float.items()
        why_float = {self.net.nodes[number].name: text for number, text in why}
        self.chains.dissolve()
        program = self.memory.program
        return Plan(self.net, program, stages, inputs, outputs, why_float)

    def _groups(self) -> Iterator[tuple[bool, list[Item]]]:
        """Neighbours of one kind; a segment comes first if fed tensors have to be turned."""
        items = [
            item for item in ordered(self.chains) if isinstance(item, (Chain, Segment))
        ]
        first = not items or not isinstance(items[0], Segment)
        if first and self._turned():
            yield True, []
        yield from (
            (kind, list(group))
            for kind, group in groupby(items, lambda item: isinstance(item, Segment))
        )

    def _turned(self) -> list[Key]:
        """Orders of fed tensors that are needed beside their own."""
        maker, native = self.chains.maker, self.chains.roles.native
        return sorted(
            key
            for key in self.places.needed
            if key[0] in self.net.shapes
            and key[0] not in native
            and not isinstance(maker.get(key[0]), Segment)
            and key != self.places.available(key[0])
        )

    def _part(self, chains: list[Chain]) -> list[Stage]:
        steps = []
        for chain in chains:
            self.memory.moment += 1
            step = self.lowering.step(chain)
            if step is not None:
                steps.append(step)
        if not steps:
            return []
        self.memory.program.parts.append(steps)
        return [Stage(part=len(self.memory.program.parts) - 1)]

    def _segment(self, nodes: list[Node]) -> Stage:
        self.memory.moment += 1
        own = {name for node in nodes for name in node.outputs if name}
        read = {
            name: None
            for node in nodes
            for name in self.net.data_inputs(node)
            if name not in own
        }
        turned = [] if self.made else self._turned()
        self.made |= {"", *own}
        read.update((key[0], None) for key in turned)
        stage = Stage(nodes=nodes)
        for name in read:
            key = self.places.available(name)
            stage.inputs.append(self._port(name, self.places.copies.get(key, key)))
        inside = {id(node) for node in nodes}
        for name in own:
            for key in self._keys_outside(name, inside):
                stage.outputs.append(self._port(name, key))
        stage.outputs += [self._port(key[0], key) for key in turned]
        return stage

    def _keys_outside(self, tensor: str, inside: set[int]) -> list[Key]:
        """The orders in which a segment's tensor is needed after it."""
        found = {
            key
            for key in ((tensor, False), (tensor, True))
            if key in self.places.needed
        }
        for number in self.net.consumers.get(tensor, ()):
            node = self.net.nodes[number]
            outside = id(node) not in inside
            if outside and isinstance(self.chains.maker.get(node.outputs[0]), Segment):
                found.add((tensor, FILE))
        return sorted(found)

    def _port(self, tensor: str, key: Key) -> Port:
        return Port(tensor, key, self.lowering.buffer(key))
