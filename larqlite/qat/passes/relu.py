"""A ReLU right after a layer with sums is part of it: only its output is quantized.

The kernel before it stays quantized, in training as in the integer model.
"""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph
from larqlite.qat.passes._predicates import (
    WITH_KERNEL,
    is_linear,
    is_matchable,
    is_ours,
    is_relu,
    leave_to,
)

layers = tf_keras.layers
WITH_SUMS = (*WITH_KERNEL, layers.Add, layers.Subtract, layers.Multiply)


def run(graph: LayerGraph) -> None:
    """Leaves the quantization of sums to the ReLU that follows."""
    for use in graph.uses:
        if not is_matchable(graph, use, WITH_SUMS) or not is_linear(use):
            continue
        relu = graph.only_consumer(use)
        if is_relu(relu) and is_ours(relu) and not graph.is_shared(relu.entry):
            leave_to(use, relu)
