"""Nodes of a graph that is written anew, some of them spelled out in others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from larqlite_runtime._graph import GraphNode, Shape
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner._rearrange import EXPAND
from larqlite_runtime.planner._subgraph import Subgraph


@dataclass
class GraphWriter:
    """Nodes of the new graph so far."""

    subgraph: Subgraph
    nodes: list[GraphNode] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, np.dtype] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    _node: GraphNode | None = None
    _first: int = 0

    def begin(self, node: GraphNode) -> None:
        """A node is to be spelled out."""
        self._node, self._first = node, len(self.nodes)

    def undo(self) -> None:
        """It is not, after all."""
        del self.nodes[self._first :]

    def graph(self) -> Subgraph:
        """The graph of these nodes."""
        return self.subgraph.with_nodes(
            self.nodes, self.shapes, self.dtypes, self.constants
        )

    def shape(self, tensor: str) -> Shape:
        """That of a tensor, new or not."""
        known = self.shapes if tensor in self.shapes else self.subgraph.shapes
        return known[tensor]

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor is a constant."""
        return tensor in self.subgraph.constants or tensor in self.constants

    def value(self, tensor: str) -> np.ndarray | None:
        """A constant."""
        return self.constants.get(tensor, self.subgraph.constants.get(tensor))

    def _fresh(self, word: str) -> str:
        name = f"{self._node.name}/{word}"
        while name in self.shapes or name in self.subgraph.shapes:
            name += "'"
        return name

    def constant(self, array) -> str:
        """A new constant; float32 unless it says otherwise."""
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = self._fresh("constant")
        self.constants[name] = array
        self.shapes[name], self.dtypes[name] = array.shape, array.dtype
        return name

    def add(
        self,
        op: str,
        inputs: list[str],
        shape: Shape | None = None,
        output: str | None = None,
        domain: str = "",
        **attributes,
    ) -> str:
        """A node of floats; what comes out has a shape, that of the first input by default."""
        name = output or self._fresh(op.lower())
        if output is None:
            self.shapes[name] = shape or self.shape(inputs[0])
            self.dtypes[name] = np.dtype(np.float32)
        own = self._node.name if output else name
        self.nodes.append(
            GraphNode(op, domain, own, tuple(inputs), (name,), attributes)
        )
        return name

    def last(self, op: str, inputs: list[str], domain: str = "", **attributes) -> bool:
        """The node that makes what the one that is spelled out makes."""
        self.add(op, inputs, output=self._node.outputs[0], domain=domain, **attributes)
        return True

    def again(self, node: GraphNode) -> str:
        """A second node like one, of one output, whose name is returned."""
        name = self._fresh("bits")
        self.shapes[name] = self.shape(node.outputs[0])
        self.dtypes[name] = self.subgraph.dtypes[node.outputs[0]]
        self.nodes.append(
            GraphNode(node.op, node.domain, name, node.inputs, (name,), node.attributes)
        )
        return name

    def stretched(self, tensor: str, shape: Shape) -> str | None:
        """An operand in the shape of what comes out; None if that is no repetition."""
        own = self.shape(tensor)
        if own == shape:
            return tensor
        if self.is_constant(tensor):
            array = self.value(tensor)
            whole = (1, *shape[1:])
            if array.shape == whole:
                return tensor
            return self.constant(np.ascontiguousarray(np.broadcast_to(array, whole)))
        if len(own) != len(shape) or own[0] is not None:
            return None
        return self.add(EXPAND, [tensor], shape, domain=DOMAIN)
