"""Which inputs hold indices of tables, and whether they are in range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._errors import InputError
from larqlite_runtime._text import quoted
from larqlite_runtime.planner import Subgraph

# All values that go into one of these come out of it.
_KEEPING = ("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
_KEEPING += ("Transpose", "Expand", "Tile")


@dataclass(frozen=True)
class Table:
    """Rows that an input chooses from."""

    node: str
    rows: int


def tables(subgraph: Subgraph) -> dict[str, Table]:
    """For each input that holds indices, the smallest table that they are for."""
    found: dict[str, Table] = {}
    for node in subgraph.nodes:
        if node.domain or node.op != "Gather" or node.inputs[1] in subgraph.constants:
            continue
        name = node.inputs[1]
        while name in subgraph.producer:
            maker = subgraph.nodes[subgraph.producer[name]]
            if maker.domain or maker.op not in _KEEPING:
                break
            name = maker.inputs[0]
        if name not in subgraph.inputs:
            continue
        shape = subgraph.shapes[node.inputs[0]]
        table = Table(node.name, shape[node.attributes["axis"]])
        if name not in found or table.rows < found[name].rows:
            found[name] = table
    return found


def check_indices(found: Mapping[str, Table], inputs: Mapping[str, np.ndarray]) -> None:
    """Refuses an index that its table does not have, as Keras does.

    Raises:
        InputError: a negative index, one from the number of rows up, or NaN.
    """
    for name, table in found.items():
        low, high = inputs[name].min(), inputs[name].max()
        # A cast to integers cuts off what is behind the point.
        if low > -1 and high < table.rows:
            continue
        wrong = low if not low > -1 else high
        raise InputError(
            f"the input {quoted(name)} holds the index {wrong:.9g}, but "
            f"{quoted(table.node)} has {table.rows} rows, 0 to {table.rows - 1}.\n"
            "  Fix: give indices of that range; words that are unknown need a row of "
            "their own."
        )
