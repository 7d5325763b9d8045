"""Bounds on memory and work, computed before anything of that size exists."""

from __future__ import annotations

from collections.abc import Sequence

from larqlite_runtime._errors import ModelFileError, quoted, shape_text
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.reader._shapes import Cost
from larqlite_runtime.reader.operators import size

DEFAULT_BUDGET = 2 << 30
MAX_NODES = 20_000
MAX_MACS = 10**12  # of one sample; ResNet-152 has 1.2e10


def memory(graph: CheckedGraph, costs: Sequence[Cost], batch: int = 1) -> int:
    """Bytes that a model can need: an upper bound, whatever the order of its nodes.

    The sum of all constants, of packed weights once they are unpacked, of every tensor
    between nodes for one batch, and of the scratch memory of the node that needs most.

    Args:
        graph: with shapes and dtypes.
        costs: of its nodes.
        batch: samples that run together.
    """
    tensors = sum(
        _bytes(graph, name, batch)
        for name in graph.shapes
        if name not in graph.constants
    )
    constants = sum(array.nbytes for array in graph.constants.values())
    unpacked = sum(cost.unpacked for cost in costs)
    scratch = max((cost.scratch for cost in costs), default=0) * batch
    return constants + unpacked + tensors + scratch


def check(graph: CheckedGraph, costs: Sequence[Cost], budget: int, batch: int) -> None:
    """Refuses a model that needs too much.

    Raises:
        ModelFileError: more than `budget` bytes or `MAX_MACS` products.
    """
    needed = memory(graph, costs, batch)
    if needed > budget:
        largest = max(graph.shapes, key=lambda name: _bytes(graph, name, batch))
        raise ModelFileError(
            f"the model can need {needed:,} bytes for a batch of {batch}, more than the "
            f"budget of {budget:,}; its largest tensor is {quoted(largest)}, "
            f"{shape_text(graph.shapes[largest])}.\n  Fix: if the file is yours, give "
            f"`budget=` that number of bytes or more, or run smaller batches."
        )
    macs = sum(cost.macs for cost in costs)
    if macs > MAX_MACS:
        largest = max(costs, key=lambda cost: cost.macs).node
        raise ModelFileError(
            f"the model makes {macs:,} products for one sample, more than the limit of "
            f"{MAX_MACS:,}; most of them in {quoted(largest.op, '')} "
            f"{quoted(largest.name)}.\n  Fix: the file is damaged, or the network is too "
            "large to run with this runtime."
        )


def _bytes(graph: CheckedGraph, name: str, batch: int) -> int:
    shape = graph.shapes[name]
    samples = batch if shape[:1] == (None,) else 1
    return size(shape) * samples * graph.dtypes[name].itemsize
