"""What operators such as `a + b` give out is quantized by a layer after them."""

from __future__ import annotations

from larqlite.graph import JOINING, KEEPING_VALUES, LayerEntry, LayerGraph, LayerUse
from larqlite.qat.passes._predicates import is_ours, is_relu
from larqlite.qat.passes.own_inputs import reader_with_quantizer
from larqlite.qat.wrapper import QuantizeLayer

# Their range is known, or an engine fuses them with what comes before.
_KNOWN_RANGE = frozenset({"softmax", "sigmoid", "tanh"})
_FUSED_WITH_RELU = frozenset({"add", "subtract", "multiply", "sub", "mul"})


def run(graph: LayerGraph) -> None:
    """Puts a `QuantizeLayer` after each operator that makes new values."""
    for use in list(graph.uses):
        if use.entry.scheme is None or not _computes(graph, use):
            continue
        for edge in list(use.outputs):
            quantizer = use.entry.scheme.tensor_quantizer()
            if quantizer is None or not edge.tensor.dtype.is_floating:
                continue
            if reader_with_quantizer(graph, edge) is not None:
                continue
            layer = QuantizeLayer(quantizer, name=f"quantize_{use.layer.name}")
            graph.insert_after(
                edge, LayerEntry(layer, scheme=use.entry.scheme, is_new=True)
            )


def _computes(graph: LayerGraph, use: LayerUse) -> bool:
    """Whether a use is an operator whose values are new."""
    symbol = getattr(use.layer, "symbol", None)
    if not isinstance(symbol, str):
        return False
    name = symbol.rpartition(".")[2]
    if name in (KEEPING_VALUES - JOINING) | _KNOWN_RANGE:
        return False
    if name not in _FUSED_WITH_RELU:
        return True
    reader = graph.only_consumer(use)
    return not (is_relu(reader) and is_ours(reader)) and not _is_relu_operator(reader)


def _is_relu_operator(use: LayerUse | None) -> bool:
    """Whether a use is `tf.nn.relu` or `tf.nn.relu6`, quantized after it."""
    if use is None or use.entry.scheme is None:
        return False
    return getattr(use.layer, "symbol", None) in ("nn.relu", "nn.relu6")
