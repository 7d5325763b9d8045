"""The operations that a packed model may use, one file for each family."""

from __future__ import annotations

from collections.abc import Mapping

from larqlite_runtime.format import DOMAIN, OPSET, REQUIRED, VERSIONS, Attribute
from larqlite_runtime.reader.operators import (
    _elementwise,
    _layout,
    _packed,
    _pooling,
    _products,
    _resize,
)
from larqlite_runtime.reader.operators._elementwise import unary
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)

# Versions of the two sets of operations that the tables describe.
OPSETS: dict[str, tuple[int, ...]] = {"": (OPSET,), DOMAIN: VERSIONS}

OPERATORS: dict[str, Mapping[str, Operator]] = {
    "": {
        **_elementwise.TABLE,
        **_layout.TABLE,
        **_pooling.TABLE,
        **_products.TABLE,
        **_resize.TABLE,
    },
    DOMAIN: _packed.TABLE,
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
