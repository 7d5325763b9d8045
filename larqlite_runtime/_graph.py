"""A checked model as plain data: nodes in order, constants, shapes and dtypes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

# Sizes of a tensor; None only as the first one, the batch.
Shape = tuple[int | None, ...]


@dataclass
class GraphNode:
    """One operation.

    Attributes:
        op: name of the operation, `"Conv"` or `"BConv2D"`.
        domain: `""` for standard operations, `"ai.larqlite"` for ours.
        name: as in the file (the Keras layer), or `op:number`; unique.
        inputs: names of tensors; `""` for an optional one that is absent.
        outputs: names of tensors; `""` for an optional one that is absent.
        attributes: those in the file: `int`, `float`, `str`, lists of `int` or
            `float`, or a NumPy array.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, object] = field(default_factory=dict)


@dataclass
class CheckedGraph:
    """A model that passed every check of `read`.

    Attributes:
        inputs: name and shape of what is fed, in order; all are float32.
        outputs: name and shape of what comes out, in order.
        nodes: in an order in which each comes after those it reads from.
        constants: read-only arrays: initializers and `Constant` nodes (these are
            no longer among `nodes`).
        shapes: of every tensor, constants included.
        dtypes: of every tensor, constants included.
        metadata: `metadata_props` of the file, as text.
        opset: version of the standard operations.
        products: of one sample that each node makes, or values that its window reads, by
            name of the node.
    """

    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    nodes: list[GraphNode] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, np.dtype] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    opset: int = 18
    products: dict[str, int] = field(default_factory=dict)
