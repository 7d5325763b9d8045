"""Each floating-point input that a quantized layer reads is quantized first."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerEntry, LayerGraph, LayerUse
from larqlite.qat import quantizers
from larqlite.qat.wrapper import QuantizeLayer


def run(graph: LayerGraph) -> None:
    """Puts a `QuantizeLayer` after each input of the whole model."""
    if graph.is_nested:
        return
    for _, edge in graph.inputs:
        readers = [use for use in graph.consumers(edge) if use is not None]
        quantized = [use for use in readers if _is_quantized(use)]
        if not quantized or not edge.tensor.dtype.is_floating:
            continue
        quantizer = _widest(_wanted(quantized))
        if quantizer is not None:
            graph.insert_after(edge, LayerEntry(QuantizeLayer(quantizer), is_new=True))


def _is_quantized(use: LayerUse) -> bool:
    if type(use.layer) is tf_keras.layers.Embedding:
        return False  # it reads numbers of rows, which no rounding may change
    if use.entry.graph is not None:
        return any(entry.config for entry in _all_entries(use.entry.graph))
    return use.entry.config is not None or use.entry.scheme is not None


def _all_entries(graph: LayerGraph):
    for part in graph.graphs():
        yield from part.entries()


def _wanted(uses: list[LayerUse]) -> list:
    """What the schemes of these uses want; 8 bits where a user's own config has none."""
    found = []
    for use in uses:
        scheme = use.entry.scheme
        if use.entry.graph is not None:
            inside = (e.scheme for e in _all_entries(use.entry.graph) if e.config)
            scheme = next((s for s in inside if s), None)
        found.append(
            scheme.input_quantizer() if scheme else quantizers.AllValuesQuantizer()
        )
    return found


def _widest(wanted: list):
    """The quantizer with the most bits."""
    wanted = [quantizer for quantizer in wanted if quantizer is not None]
    return max(wanted, key=lambda q: q.precision or 32, default=None)
