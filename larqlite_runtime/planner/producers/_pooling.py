"""Pooling nodes in the terms of the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import StepKind
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._window import Triple


@dataclass(frozen=True)
class Pool:
    """A window over a float tensor, or the mean over all of it."""

    kind: StepKind
    axis: int
    kernel: Triple = (1, 1, 1)
    stride: Triple = (1, 1, 1)
    pad: Triple = (0, 0, 0)
    dilation: Triple = (1, 1, 1)


def pool_of(node: GraphNode, subgraph: Subgraph, axis: int) -> Pool | None:
    """A pooling node whose channels are at `axis`; None if it is none that kernels know."""
    if node.domain or len([name for name in node.outputs if name]) != 1:
        return None
    shape = subgraph.shapes[node.inputs[0]] if node.inputs else ()
    if not 2 <= len(shape) <= 5 or subgraph.dtypes[node.outputs[0]] != np.float32:
        return None
    if node.op in ("GlobalAveragePool", "ReduceMean"):
        axes = _mean_axes(node, subgraph)
        others = [number for number in range(1, len(shape)) if number != axis]
        return Pool(StepKind.MEAN, axis) if axes == others else None
    if node.op not in ("MaxPool", "AveragePool") or axis != 1:
        return None
    given = node.attributes
    if given.get("ceil_mode", 0) or given.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    rank = len(shape) - 2

    def triple(name: str, missing: int) -> Triple:
        values = given.get(name) or [missing] * rank
        return (missing,) * (3 - rank) + tuple(int(value) for value in values[:rank])

    kind = StepKind.POOL_MAX
    if node.op == "AveragePool":
        padded = given.get("count_include_pad", 0)
        kind = StepKind.POOL_AVERAGE_PADDED if padded else StepKind.POOL_AVERAGE
    return Pool(
        kind,
        axis,
        triple("kernel_shape", 1),
        triple("strides", 1),
        triple("pads", 0),
        triple("dilations", 1),
    )


def _mean_axes(node: GraphNode, subgraph: Subgraph) -> list[int] | None:
    rank = len(subgraph.shapes[node.inputs[0]])
    if node.op == "GlobalAveragePool":
        return list(range(2, rank))
    axes = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        axes = subgraph.constant_input(node, 1)
    if axes is None:
        return None
    return sorted(int(axis) % rank for axis in np.asarray(axes).reshape(-1))
