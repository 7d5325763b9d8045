"""The graph that is planned: cut to what is asked for, constants computed, links known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace

import numpy as np

from larqlite_runtime._errors import InputError
from larqlite_runtime._graph import CheckedGraph, GraphNode, Shape
from larqlite_runtime.format import DOMAIN, float_weights

# What the planner makes of two nodes; it is in no file.
ADD_SCALED = "AddScaled"


class Subgraph:
    """Nodes between chosen inputs and outputs.

    Attributes:
        nodes: in topological order; none whose value is a constant that NumPy computed.
        constants: arrays by name, the computed ones included.
        shapes, dtypes: of every tensor.
        inputs: names of tensors that are fed.
        outputs: names of tensors that are asked for.
        producer: number of the node that makes a tensor.
        consumers: numbers of the nodes that read a tensor.
    """

    def __init__(
        self,
        graph: CheckedGraph,
        inputs: Iterable[str],
        outputs: Iterable[str],
    ) -> None:
        self.shapes: dict[str, Shape] = graph.shapes
        self.dtypes: dict[str, np.dtype] = graph.dtypes
        self.constants: dict[str, np.ndarray] = dict(graph.constants)
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        nodes = self._fold(_needed(graph, self.inputs, self.outputs))
        self._link(self._join_scaled(nodes))

    def _link(self, nodes: list[GraphNode]) -> None:
        self.nodes = nodes
        self.producer: dict[str, int] = {}
        self.consumers: dict[str, list[int]] = {}
        for number, node in enumerate(self.nodes):
            for name in filter(None, node.outputs):
                self.producer[name] = number
            for name in dict.fromkeys(filter(None, node.inputs)):
                self.consumers.setdefault(name, []).append(number)

    def _fold(self, nodes: Iterable[GraphNode]) -> list[GraphNode]:
        """Computes nodes of constants; the rest is returned."""
        rest = []
        for node in nodes:
            if all(name in self.constants for name in node.outputs):
                continue  # the reader has computed it
            fold = _FOLDS.get((node.domain, node.op))
            known = all(name in self.constants for name in node.inputs if name)
            if fold is None or not known or len(node.outputs) != 1:
                rest.append(node)
                continue
            arrays = [self.constants[name] for name in node.inputs]
            self.constants[node.outputs[0]] = fold(node, *arrays)
        return rest

    def _join_scaled(self, nodes: list[GraphNode]) -> list[GraphNode]:
        """One node `AddScaled` for y + scale * x, where x has one channel and y has more.

        Such an x is what all output channels of a packed layer add alike. Nothing is
        broadcast but its channel.
        """
        readers = Counter(name for node in nodes for name in node.inputs)
        readers.update(self.outputs)
        made: dict[str, GraphNode] = {}
        joined, gone = [], set()
        for node in nodes:
            if not node.domain and node.op == "Add":
                for number, name in enumerate(node.inputs):
                    product = made.get(name)
                    other = node.inputs[1 - number]
                    if (
                        product is not None
                        and readers[name] == 1
                        and self.shapes[name] == self.shapes[node.outputs[0]]
                        and self.shapes[other] == self.shapes[node.outputs[0]]
                    ):
                        gone.add(id(product))
                        inputs = (other, *product.inputs)
                        name = f"{product.name}, {node.name}"
                        node = GraphNode(ADD_SCALED, DOMAIN, name, inputs, node.outputs)
                        break
            joined.append(node)
            if self._widens(node):
                made[node.outputs[0]] = node
        return [node for node in joined if id(node) not in gone]

    def _widens(self, node: GraphNode) -> bool:
        """Whether a node multiplies one channel with a constant for each of more."""
        if node.domain or node.op != "Mul" or node.inputs[1] not in self.constants:
            return False
        one, whole = (self.shapes[name] for name in (node.inputs[0], node.outputs[0]))
        return (
            node.inputs[0] not in self.constants
            and len(one) == len(whole)
            and sum(a != b for a, b in zip(one, whole, strict=True)) == 1
        )

    def without(self, gone: set[int], fed_by: dict[str, str]) -> Subgraph:
        """A graph without some nodes.

        Args:
            gone: their numbers.
            fed_by: for each tensor that they make, the one that is read in its place.
        """
        nodes = []
        for number, node in enumerate(self.nodes):
            if number in gone:
                continue
            inputs = list(node.inputs)
            for place, name in enumerate(inputs):
                while name in fed_by:
                    name = fed_by[name]
                inputs[place] = name
            nodes.append(replace(node, inputs=tuple(inputs)))
        made = copy(self)
        made._link(nodes)
        return made

    def with_nodes(
        self,
        nodes: list[GraphNode],
        shapes: Mapping[str, Shape],
        dtypes: Mapping[str, np.dtype],
        constants: Mapping[str, np.ndarray] | None = None,
    ) -> Subgraph:
        """The graph with other nodes.

        Args:
            nodes: all of them, in topological order.
            shapes, dtypes: of the tensors that are new.
            constants: that are new.
        """
        made = copy(self)
        made.shapes = self.shapes | shapes
        made.dtypes = self.dtypes | dtypes
        made.constants = self.constants | (constants or {})
        made._link(nodes)
        return made

    def forget_constants(self) -> None:
        """Frees all constants but those that come out; nothing can be planned any more."""
        kept = set(self.outputs) & self.constants.keys()
        self.constants = {name: self.constants[name].copy() for name in kept}

    def made_by(self, tensor: str) -> GraphNode | None:
        """The node that makes a tensor; None for what is fed or constant."""
        number = self.producer.get(tensor)
        return None if number is None else self.nodes[number]

    def data_inputs(self, node: GraphNode) -> list[str]:
        """The inputs of a node that are not constants."""
        return [name for name in node.inputs if name and name not in self.constants]

    def constant_input(self, node: GraphNode, number: int) -> np.ndarray | None:
        """An input of a node if it is there and constant."""
        if number >= len(node.inputs):
            return None
        return self.constants.get(node.inputs[number])


def _needed(
    graph: CheckedGraph, inputs: list[str], outputs: list[str]
) -> list[GraphNode]:
    """The nodes that lie between."""
    _require_known(graph, [*inputs, *outputs])
    wanted, kept = set(outputs), []
    for node in reversed(graph.nodes):
        if wanted & {name for name in node.outputs if name and name not in inputs}:
            kept.append(node)
            wanted.update(filter(None, node.inputs))
    missing = [
        name
        for name in graph.inputs
        if name in wanted and name not in inputs and name not in graph.constants
    ]
    if missing:
        raise InputError(
            f'The outputs that are asked for depend on the input "{missing[0]}".\n'
            f'  Fix: add "{missing[0]}" to `inputs`.'
        )
    return kept[::-1]


def _require_known(graph: CheckedGraph, names: Iterable[str]) -> None:
    for name in names:
        if name not in graph.shapes:
            listed = ", ".join(f'"{node.outputs[0]}"' for node in graph.nodes[:8])
            raise InputError(
                f'The model has no tensor "{name}".\n'
                f"  Fix: name one of its tensors, for example {listed}."
            )


def _reshape(node: GraphNode, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    zeros_copy = not node.attributes.get("allowzero", 0)
    sizes = [
        x.shape[axis] if size == 0 and zeros_copy else int(size)
        for axis, size in enumerate(shape)
    ]
    return x.reshape(sizes)


def _gather(node: GraphNode, x: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.take(x, numbers, int(node.attributes.get("axis", 0)))


_STANDARD: dict[str, Callable[..., np.ndarray]] = {
    "Identity": lambda node, x: x,
    "Mul": lambda node, x, y: x * y,
    "Add": lambda node, x, y: x + y,
    "Sub": lambda node, x, y: x - y,
    "Neg": lambda node, x: -x,
    "Reshape": _reshape,
    "Gather": _gather,
    "Transpose": lambda node, x: np.transpose(x, node.attributes.get("perm")),
}
_FOLDS: dict[tuple[str, str], Callable[..., np.ndarray]] = {
    **{("", op): fold for op, fold in _STANDARD.items()},
    (DOMAIN, "Unpack"): float_weights,
}
