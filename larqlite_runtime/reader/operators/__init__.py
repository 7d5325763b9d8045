"""The operations that a packed model may use, one file for each family."""

from __future__ import annotations

from larqlite_runtime._graph import PACKED
from larqlite_runtime.reader.operators import (
    _elementwise,
    _layout,
    _packed,
    _pooling,
    _products,
    _resize,
)
from larqlite_runtime.reader.operators._attributes import REQUIRED, Attribute
from larqlite_runtime.reader.operators._elementwise import unary
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)

# Versions of the two sets of operations that the tables describe.
OPSETS: dict[str, int] = {"": 18, PACKED: 1}

OPERATORS: dict[str, dict[str, Operator]] = {
    "": {
        **_elementwise.TABLE,
        **_layout.TABLE,
        **_pooling.TABLE,
        **_products.TABLE,
        **_resize.TABLE,
    },
    PACKED: _packed.TABLE,
}

__all__ = [
    "OPERATORS",
    "OPSETS",
    "REQUIRED",
    "Attribute",
    "NodeCall",
    "Operator",
    "Results",
    "size",
    "unary",
]
