"""What only layers read that quantize their own inputs is not rounded before.

A sign of a rounded value costs a rounding, and moves the sign's threshold by half a step.
"""

from __future__ import annotations

from larqlite.graph import Edge, LayerGraph, LayerUse, facts_of
from larqlite.layers import QuantLayer
from larqlite.qat.passes._predicates import is_ours, leave_to
from larqlite.qat.wrapper import BEFORE, name_of


def run(graph: LayerGraph) -> None:
    """Leaves outputs to the input quantizers of the layers that read them."""
    for use in graph.uses:
        if (
            is_ours(use)
            and not graph.is_shared(use.entry)
            and name_of(getattr(use.layer, "activation", None)) not in BEFORE
            and (use.entry.config.activations or use.entry.config.outputs)
        ):
            readers = [reader_with_quantizer(graph, edge) for edge in use.outputs]
            if all(readers):
                leave_to(use, readers[0])


def reader_with_quantizer(graph: LayerGraph, edge: Edge) -> LayerUse | None:
    """The first layer that reads an edge, if all quantize what they read; else None."""
    found = []
    for use in graph.consumers(edge):
        if use is None or use.entry.graph is not None:
            return None
        if isinstance(use.layer, QuantLayer):
            found.append(use if use.layer.input_quantizer is not None else None)
        elif facts_of(use.layer).keeps_signs:
            found += [reader_with_quantizer(graph, output) for output in use.outputs]
        else:
            return None
    return found[0] if found and all(found) else None
