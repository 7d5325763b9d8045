"""Nodes in an order in which each comes after those it reads from."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Container, Sequence

from larqlite_runtime._errors import ModelFileError, quoted
from larqlite_runtime._graph import GraphNode
from larqlite_runtime.reader._wire import DAMAGED

LONGEST_NAME = 1000


def require_name(name: str, what: str) -> None:
    """Refuses a name that is empty, very long, or not printable."""
    if 0 < len(name) <= LONGEST_NAME and name.isprintable():
        return
    shown = f"the name {quoted(name)}" if name else "no name"
    raise ModelFileError(
        f"{what} has {shown}; 1 to {LONGEST_NAME} printable characters are needed"
        + DAMAGED
    )


def in_order(nodes: Sequence[GraphNode], known: Container[str]) -> list[GraphNode]:
    """The nodes, sorted; an order that is right already is kept.

    Args:
        nodes: in any order.
        known: names of inputs and constants.

    Raises:
        ModelFileError: a tensor that nothing makes or that two nodes make, two nodes of
            one name, or a cycle.
    """
    maker: dict[str, int] = {}
    names: set[str] = set()
    for number, node in enumerate(nodes):
        require_name(node.name, "a node")
        if node.name in names:
            raise ModelFileError(
                f"two nodes have the name {quoted(node.name)}" + DAMAGED
            )
        names.add(node.name)
        for output in node.outputs:
            require_name(output, f"an output of node {quoted(node.name)}")
            if output in known or output in maker:
                raise ModelFileError(
                    f"node {quoted(node.name)} makes the tensor {quoted(output)}, which "
                    "exists already" + DAMAGED
                )
            maker[output] = number
    readers: dict[int, list[int]] = defaultdict(list)
    missing = [0] * len(nodes)
    for number, node in enumerate(nodes):
        for name in node.inputs:
            if name == "" or name in known:
                continue
            if name not in maker:
                raise ModelFileError(
                    f"node {quoted(node.name)} reads the tensor {quoted(name)}, which "
                    "nothing makes" + DAMAGED
                )
            readers[maker[name]].append(number)
            missing[number] += 1
    if all(
        maker.get(name, -1) < number
        for number, node in enumerate(nodes)
        for name in node.inputs
    ):
        return list(nodes)
    return _sorted(nodes, readers, missing)


def _sorted(
    nodes: Sequence[GraphNode], readers: dict[int, list[int]], missing: list[int]
) -> list[GraphNode]:
    ready = deque(number for number, count in enumerate(missing) if not count)
    result = []
    while ready:
        number = ready.popleft()
        result.append(nodes[number])
        for reader in readers[number]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(result) < len(nodes):
        name = next(
            node.name for node, count in zip(nodes, missing, strict=True) if count
        )
        raise ModelFileError(
            f"node {quoted(name)} depends on itself: the graph has a cycle" + DAMAGED
        )
    return result
