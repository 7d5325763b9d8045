"""The pass `complete`: a graph is rewritten so that the kernels have a step for each of its nodes.

Only where they have to run everything (`plan(whole=True)`): tensors get a copy in the layout that
their readers need, and nodes that are several steps are spelled out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from larqlite_runtime._errors import NoNativeStepError, quoted
from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner._partition import Partition
from larqlite_runtime.planner._rearrange import TURN
from larqlite_runtime.planner._spell_out import spelled_out
from larqlite_runtime.planner._subgraph import Subgraph

LISTED = 12  # nodes that a message names
MOST_ROUNDS = (
    100  # in which a graph is helped: what is left then is named as having no step
)


def complete(
    subgraph: Subgraph, divide: Callable[[Subgraph], Partition]
) -> tuple[Subgraph, Partition]:
    """The graph with all that can be helped helped, and who runs its nodes.

    Args:
        subgraph: the graph.
        divide: decides who runs each node of a graph.
    """
    partition = divide(subgraph)
    for _ in range(MOST_ROUNDS):
        if not partition.segment:
            break
        helped = _turned(subgraph, partition) or spelled_out(subgraph, partition)
        if helped is None:
            break
        subgraph, partition = helped, divide(helped)
    return subgraph, partition


def refuse_missing(subgraph: Subgraph, partition: Partition) -> None:
    """Refuses a graph with nodes that have no step.

    Raises:
        NoNativeStepError: there are such; says which.
    """
    missing = []
    for number in sorted(partition.segment):
        node, why = subgraph.nodes[number], partition.why_float.get(number)
        missing.append(f"{quoted(node.name)} ({node.op}{f': {why}' if why else ''})")
    if not missing:
        return
    listed = ", ".join(missing[:LISTED])
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    raise NoNativeStepError(
        f"No step of the kernels computes {listed}{more}.\n"
        "  Fix: leave these layers out of the model and compute them behind it, or use others; "
        'in Python, load(file, engine="auto") has ONNX Runtime compute them.'
    )


def _turned(subgraph: Subgraph, partition: Partition) -> Subgraph | None:
    """The graph with copies in other layouts before the nodes that need them, if any does."""
    if not partition.turns:
        return None
    nodes, shapes, dtypes = [], {}, {}
    made: dict[tuple[str, int], str] = {}
    for number, node in enumerate(subgraph.nodes):
        is_last = partition.turns.get(number)
        if is_last is None:
            nodes.append(node)
            continue
        inputs = list(node.inputs)
        for place, name in enumerate(inputs):
            if not name or name in subgraph.constants:
                continue
            axis = len(subgraph.shapes[name]) - 1 if is_last else 1
            if partition.axes[name] == axis:
                continue
            if (name, axis) not in made:
                turned = f"{name} by axis {axis}"
                while turned in subgraph.shapes:
                    turned += "'"
                made[name, axis] = turned
                shapes[turned], dtypes[turned] = (
                    subgraph.shapes[name],
                    subgraph.dtypes[name],
                )
                nodes.append(
                    GraphNode(
                        TURN,
                        DOMAIN,
                        f"{node.name}/layout",
                        (name,),
                        (turned,),
                        {"axis": axis},
                    )
                )
            inputs[place] = made[name, axis]
        nodes.append(replace(node, inputs=tuple(inputs)))
    return subgraph.with_nodes(nodes, shapes, dtypes) if made else None
