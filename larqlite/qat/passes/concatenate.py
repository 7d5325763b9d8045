"""What goes into a concatenation alone is quantized after it, with one common range."""

from __future__ import annotations

import tf_keras

from larqlite.qat._activation import BEFORE, name_of
from larqlite.qat._graph import Graph
from larqlite.qat.passes._match import is_ours, leave_to


def run(graph: Graph) -> None:
    """Leaves the quantization of what is concatenated to the concatenation."""
    for use in graph.uses:
        if type(use.layer) is not tf_keras.layers.Concatenate or not is_ours(use):
            continue
        for edge in use.inputs:
            source = edge.source
            if (
                is_ours(source)
                and graph.only_consumer(source) is use
                and not graph.is_shared(source.entry)
                and name_of(getattr(source.layer, "activation", None)) not in BEFORE
                and (source.entry.config.activations or source.entry.config.outputs)
            ):
                leave_to(source, use)
