"""Which layers of a file compute in float, and why."""

from __future__ import annotations

from typing import Any

import larqlite_runtime
from larqlite.deploy._report import FloatRow
from larqlite.models import ModelProfile
from larqlite.onnx_graph import Writer


def float_rows(graph: Writer, costs: ModelProfile, content: bytes) -> list[FloatRow]:
    """A row for each layer that multiplies in float.

    Args:
        graph: the finished graph.
        costs: the summary of the model.
        content: of the file; the runtime tells what no kernel of it can run.
    """
    rows: dict[str, FloatRow] = {}
    for layer in costs.layers:
        bits = [weight_bits for weight_bits, _ in layer.macs_by_bits or {}]
        if any(weight_bits > 8 for weight_bits in bits):
            rows[layer.path] = FloatRow(
                layer.path, layer.class_name, "its weights are float32"
            )
    coded = {s.layer: s.bits for s in graph.weights.values() if s.bits <= 8}
    for packed in graph.packed:
        coded.pop(packed.path, None)
    for layer in costs.layers:
        if layer.path in coded and layer.macs_by_bits:
            bits = coded[layer.path]
            why = f"its weights of {bits} bits are unpacked, and rounded inputs are floats"
            rows.setdefault(layer.path, FloatRow(layer.path, layer.class_name, why))
    for packed in graph.packed:
        if packed.why_float is not None:
            rows[packed.path] = _row(packed, packed.why_float)
    try:
        slow = larqlite_runtime.float_layers(content)
    except larqlite_runtime.RuntimeModelError as error:
        graph.notes.append(f"larqlite_runtime cannot run the file: {error}")
        slow = {}
    for packed in graph.packed:
        for node in packed.nodes:
            if node in slow:
                why = f"larqlite_runtime leaves it to ONNX Runtime, since {slow[node]}"
                rows.setdefault(packed.path, _row(packed, why))
    return list(rows.values())


def _row(packed: Any, why: str) -> FloatRow:
    return FloatRow(packed.path, type(packed.layer).__name__, why)
