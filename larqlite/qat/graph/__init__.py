"""A model as a graph that passes edit, and the quantization-aware model that is built from it.

The graph is that of `larqlite.graph`.
"""

from larqlite.graph import Edge, LayerEntry, LayerGraph, LayerUse
from larqlite.qat.graph._wrapping import WrappingBuilder, read

Builder = WrappingBuilder

__all__ = [
    "Builder",
    "Edge",
    "LayerEntry",
    "LayerGraph",
    "LayerUse",
    "WrappingBuilder",
    "read",
]
