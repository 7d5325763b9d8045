"""A batch normalization after a convolution or dense layer is quantized once, at its end.

An integer engine computes kernel, normalization and ReLU as one operation; in training
they stay apart, and only what comes out of the last of them is quantized.
"""

from __future__ import annotations

from larqlite.graph import LayerGraph
from larqlite.qat.passes._predicates import (
    computes_with_kernel,
    is_batch_normalization,
    is_linear,
    is_matchable,
    is_ours,
    is_relu,
    leave_to,
)


def run(graph: LayerGraph) -> None:
    """Normalizations right after a kernel take over the quantization of its output."""
    for use in graph.uses:
        if not is_matchable(graph, use, computes_with_kernel) or not is_linear(use):
            continue
        normalization = graph.only_consumer(use)
        if not is_matchable(graph, normalization, is_batch_normalization):
            continue
        leave_to(use, normalization)
        relu = graph.only_consumer(normalization)
        if is_relu(relu) and is_ours(relu) and not graph.is_shared(relu.entry):
            leave_to(normalization, relu)
