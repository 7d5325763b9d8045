"""A ReLU right after a layer with sums is part of it: only its output is quantized.

The kernel before it stays quantized, in training as in the integer model.
"""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph, facts_of
from larqlite.qat.passes._predicates import (
    computes_with_kernel,
    is_linear,
    is_matchable,
    is_ours,
    is_relu,
    leave_to,
)

_MERGES = ("add", "subtract", "multiply")


def _computes_sums(layer: tf_keras.layers.Layer) -> bool:
    return computes_with_kernel(layer) or facts_of(layer).merge in _MERGES


def run(graph: LayerGraph) -> None:
    """Leaves the quantization of sums to the ReLU that follows."""
    for use in graph.uses:
        if not is_matchable(graph, use, _computes_sums) or not is_linear(use):
            continue
        relu = graph.only_consumer(use)
        if is_relu(relu) and is_ours(relu) and not graph.is_shared(relu.entry):
            leave_to(use, relu)
