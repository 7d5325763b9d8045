"""What goes into a concatenation alone is quantized after it, with one common range.

A concatenation that others read too, or that joins tensors with ranges of their own, keeps
its range: only where all of them wait for one range is it handed on to a concatenation
behind.
"""

from __future__ import annotations

import tf_keras

from larqlite.graph import JOINING, LayerGraph, LayerUse
from larqlite.qat.passes._predicates import is_ours, leave_to
from larqlite.qat.wrapper import BEFORE, name_of


def run(graph: LayerGraph) -> None:
    """Leaves the quantization of what is concatenated to the concatenation."""
    without_ranges: set[int] = set()  # concatenations of nothing but what was left
    for use in graph.uses:
        if not _joins(use):
            continue
        waiting = [edge for edge in use.inputs if _waits(graph, edge, use)]
        waiting = [
            edge
            for edge in waiting
            if not _joins(edge.source) or id(edge.source) in without_ranges
        ]
        for edge in waiting:
            leave_to(edge.source, use, keep_sums=True)
        if len(waiting) == len(use.inputs):
            without_ranges.add(id(use))


def _joins(use: LayerUse) -> bool:
    """Whether a use puts tensors together, and a scheme quantizes what comes out."""
    if type(use.layer) is tf_keras.layers.Concatenate:
        return is_ours(use)
    symbol = getattr(use.layer, "symbol", None)
    return (
        isinstance(symbol, str)
        and symbol.rpartition(".")[2] in JOINING
        and use.entry.scheme is not None
    )


def _waits(graph: LayerGraph, edge, use: LayerUse) -> bool:
    """Whether a layer's output, which nothing else reads, can be quantized after `use`."""
    source = edge.source
    return (
        is_ours(source)
        and graph.only_consumer(source) is use
        and not graph.is_shared(source.entry)
        and name_of(getattr(source.layer, "activation", None)) not in BEFORE
        and bool(source.entry.config.activations or source.entry.config.outputs)
    )
