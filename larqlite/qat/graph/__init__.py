"""A model as a graph that passes edit, and the model that is built from it."""

from larqlite.qat.graph._layer_graph import Edge, LayerEntry, LayerGraph, LayerUse, read
from larqlite.qat.graph._rebuild import Builder

__all__ = [
    "Builder",
    "Edge",
    "LayerEntry",
    "LayerGraph",
    "LayerUse",
    "read",
]
