"""The graph of an ONNX file: nodes, constants, and who gives out and takes each tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.onnx_graph._parts import OnnxNode, Shape

Nodes = tuple[OnnxNode, ...]


class OnnxGraph:
    """Operations in the order in which they run.

    Nodes are never changed in place: all edits go through the methods here, which keep
    what `producer` and `consumers` know. A pass over a graph is a function that returns
    whether it changed something.

    Args:
        nodes: in the order in which they run.

    Attributes:
        constants: initializers by name.
        shapes: sizes of tensors by name, where they are known; None for open ones.

    Example:
        >>> from larqlite.onnx_graph import OnnxGraph, OnnxNode
        >>> graph = OnnxGraph([OnnxNode("Relu", ("x",), ("y",))])
        >>> relu = graph.producer("y")
        >>> graph.insert(OnnxNode("Neg", ("x",), ("minus",)), before=relu)
        >>> graph.redirect("x", "minus", [relu])
        True
        >>> [(node.op, *node.inputs) for node in graph.nodes]
        [('Neg', 'x'), ('Relu', 'minus')]
    """

    def __init__(self, nodes: Iterable[OnnxNode] = ()) -> None:
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, Shape] = {}
        self._nodes: list[OnnxNode] = []
        self._seen: Nodes | None = None
        self._positions: dict[OnnxNode, int] | None = None
        self._producers: dict[str, OnnxNode] = {}
        # How often each node takes a tensor.
        self._consumers: dict[str, dict[OnnxNode, int]] = {}
        for node in nodes:
            self.insert(node)

    # What there is.

    @property
    def nodes(self) -> Nodes:
        """All nodes, in the order in which they run; edits make another tuple."""
        if self._seen is None:
            self._seen = tuple(self._nodes)
        return self._seen

    def producer(self, tensor: str) -> OnnxNode | None:
        """The node that gives out a tensor; None for an input or a constant."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> list[OnnxNode]:
        """The nodes that take a tensor, also inside their subgraphs, in their order."""
        found = self._consumers.get(tensor, ())
        return sorted(found, key=self.position) if len(found) > 1 else list(found)

    def uses(self, tensor: str) -> int:
        """How often nodes take a tensor; a node that takes it twice counts twice."""
        return sum(self._consumers.get(tensor, {}).values())

    def position(self, node: OnnxNode) -> int:
        """The number of a node in `nodes`."""
        if self._positions is None:
            self._positions = {node: at for at, node in enumerate(self._nodes)}
        return self._positions[node]

    def upstream(self, tensor: str, ops: Container[str]) -> list[str]:
        """A tensor, and those that it was made of, back through nodes of some types.

        Args:
            tensor: where to begin.
            ops: types of standard operations; what other nodes give out comes last.
        """
        found = [tensor]
        while (node := self.producer(found[-1])) and node.op in ops and not node.domain:
            found.append(node.inputs[0])
        return found

    # Edits.

    def insert(
        self,
        node: OnnxNode,
        before: OnnxNode | None = None,
        after: OnnxNode | None = None,
    ) -> None:
        """Adds a node, at the end unless it is said before or after which other one.

        Raises:
            ArgumentError: another node gives out one of its outputs.
        """
        self._require_new([node])
        if before is not None:
            self._nodes.insert(self._nodes.index(before), node)
            self._changed()
        elif after is not None:
            self._nodes.insert(self._nodes.index(after) + 1, node)
            self._changed()
        else:
            if self._positions is not None:
                self._positions[node] = len(self._nodes)
            self._nodes.append(node)
            self._seen = None
        self._enter(node)

    def remove(self, node: OnnxNode) -> None:
        """Takes a node out; who takes its outputs is left as it is."""
        self._nodes.remove(node)
        self._changed()
        self._leave(node)

    def replace(self, node: OnnxNode, *others: OnnxNode) -> None:
        """Puts others, which may give out the same tensors, in the place of a node.

        Raises:
            ArgumentError: a third node gives out one of their outputs.
        """
        self._require_new(others, instead_of=node)
        at = self._nodes.index(node)
        following = self._nodes[at + 1] if at + 1 < len(self._nodes) else None
        self.remove(node)
        for other in others:
            self.insert(other, before=following)

    def change(self, node: OnnxNode, **changes: Any) -> OnnxNode:
        """Puts a node in its own place, with other fields; returns the new one."""
        changed = dataclasses.replace(node, **changes)
        self.replace(node, changed)
        return changed

    def move(
        self,
        node: OnnxNode,
        before: OnnxNode | None = None,
        after: OnnxNode | None = None,
    ) -> None:
        """Puts a node elsewhere; see `insert`."""
        self.remove(node)
        self.insert(node, before, after)

    def redirect(
        self, tensor: str, other: str, nodes: Iterable[OnnxNode] | None = None
    ) -> bool:
        """Lets nodes take another tensor.

        Args:
            tensor: what they take; within subgraphs it stays.
            other: what they take from then on.
            nodes: which ones; all that take it by default.

        Returns:
            Whether there were any.
        """
        taking = self.consumers(tensor) if nodes is None else list(nodes)
        taking = [node for node in taking if tensor in node.inputs]
        for node in taking:
            inputs = tuple(other if name == tensor else name for name in node.inputs)
            self.change(node, inputs=inputs)
        return bool(taking)

    def sort(self) -> bool:
        """Brings the nodes into an order in which they can run, near that which they have.

        Returns:
            Whether they were in another order.

        Raises:
            ArgumentError: nodes wait for each other.
        """
        before, ordered = self.nodes, list(self._in_order())
        self._nodes = ordered
        self._changed()
        return self.nodes != before

    def _in_order(self) -> Iterator[OnnxNode]:
        """Nodes, each right after those that it waits for, if these come later."""
        done: set[OnnxNode] = set()
        for first in self._nodes:
            pending: dict[OnnxNode, None] = {first: None}
            while pending:
                node = next(reversed(pending))
                producers = map(self.producer, node.taken)
                waits_for = [p for p in producers if p is not None and p not in done]
                for other in waits_for:
                    if other in pending:
                        raise ArgumentError(
                            f'the nodes {other.op} "{other.name}" and {node.op} '
                            f'"{node.name}" wait for each other.\n'
                            "  Fix: let one of them take another tensor."
                        )
                if waits_for:
                    pending[waits_for[0]] = None
                    continue
                del pending[node]
                if node not in done:
                    done.add(node)
                    yield node

    def _require_new(
        self, nodes: Iterable[OnnxNode], instead_of: OnnxNode | None = None
    ) -> None:
        """Refuses nodes that give out what another one does already."""
        made: dict[str, OnnxNode] = {}
        for node in nodes:
            for tensor in node.given:
                other = made.get(tensor, self._producers.get(tensor, instead_of))
                if other is not instead_of:
                    raise ArgumentError(
                        f'two nodes of the graph give out "{tensor}": {other.op} '
                        f'"{other.name}" and {node.op} "{node.name}".\n'
                        "  Fix: give one of them an output of its own name."
                    )
                made[tensor] = node

    def _enter(self, node: OnnxNode) -> None:
        self._producers.update(dict.fromkeys(node.given, node))
        for tensor in node.taken:
            takers = self._consumers.setdefault(tensor, {})
            takers[node] = takers.get(node, 0) + 1

    def _leave(self, node: OnnxNode) -> None:
        for tensor in node.given:
            del self._producers[tensor]
        for tensor in dict.fromkeys(node.taken):
            takers = self._consumers[tensor]
            del takers[node]
            if not takers:
                del self._consumers[tensor]

    def _changed(self) -> None:
        self._seen = self._positions = None
