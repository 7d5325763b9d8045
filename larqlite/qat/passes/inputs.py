"""Each floating-point input that a quantized layer reads is quantized first."""

from __future__ import annotations

import tf_keras

from larqlite.qat.graph._graph import Entry, Graph, Use
from larqlite.qat.schemes._schemes import Default8BitQuantizeScheme
from larqlite.qat.wrapper._quantize_layer import QuantizeLayer


def run(graph: Graph) -> None:
    """Puts a `QuantizeLayer` after each input of the whole model."""
    if graph.is_nested:
        return
    for _, edge in graph.inputs:
        readers = [use for use in graph.consumers(edge) if use is not None]
        quantized = [use for use in readers if _is_quantized(use)]
        if not quantized or not edge.tensor.dtype.is_floating:
            continue
        quantizer = _widest(_schemes(quantized))
        if quantizer is not None:
            graph.insert_after(edge, Entry(QuantizeLayer(quantizer), is_new=True))


def _is_quantized(use: Use) -> bool:
    if type(use.layer) is tf_keras.layers.Embedding:
        return False  # it reads numbers of rows, which no rounding may change
    if use.entry.graph is not None:
        return any(entry.config for entry in _all_entries(use.entry.graph))
    return use.entry.config is not None or use.entry.scheme is not None


def _all_entries(graph: Graph):
    for part in graph.graphs():
        yield from part.entries()


def _schemes(uses: list[Use]) -> list:
    """The schemes of these uses; 8 bits where the user gave a config of their own."""
    found = []
    for use in uses:
        if use.entry.graph is not None:
            inside = (e.scheme for e in _all_entries(use.entry.graph) if e.config)
            found.append(next((s for s in inside if s), Default8BitQuantizeScheme()))
        else:
            found.append(use.entry.scheme or Default8BitQuantizeScheme())
    return found


def _widest(schemes: list):
    """The quantizer with the most bits that one of the schemes wants."""
    wanted = [scheme.input_quantizer() for scheme in schemes]
    wanted = [quantizer for quantizer in wanted if quantizer is not None]
    return max(wanted, key=lambda q: q.precision or 32, default=None)
