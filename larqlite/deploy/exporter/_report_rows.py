"""What an export reports: its packed layers, and which compute in float, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import larqlite_runtime
from larqlite.deploy._report import FloatRow, PackedRow, Report
from larqlite.models import ModelProfile
from larqlite.onnx_graph import Writer


def report_of(
    graph: Writer, costs: ModelProfile, path: Path, size: int, in_float: list[FloatRow]
) -> Report:
    """What is in a file that was written.

    Args:
        graph: the finished graph.
        costs: the summary of the model.
        path, size: of the file.
        in_float: see `float_rows`.
    """
    weight_bytes = sum(graph.constants[name].nbytes for name in graph.weights)
    notes = list(dict.fromkeys(graph.notes))
    if weight_bytes != costs.deployed_bytes:
        reason = "a converter stores weights that the summary does not know, or leaves some out"
        if weight_bytes - _gained_by_tables(graph) == costs.deployed_bytes:
            reason = (
                "each bit of a kernel with a table is a stream of whole bytes, and a bit "
                "that its levels do not need is left out"
            )
        notes.append(
            f"the summary counts {costs.deployed_bytes:,} bytes of weights, the file holds "
            f"{weight_bytes:,}: {reason}"
        )
    return Report(
        path=path,
        bytes=size,
        weight_bytes=weight_bytes,
        scale_bytes=sum(graph.constants[name].nbytes for name in graph.scales),
        packed=tuple(_packed_row(graph, packed) for packed in graph.packed),
        in_float=tuple(in_float),
        notes=tuple(notes),
    )


def _gained_by_tables(graph: Writer) -> int:
    """By how many bytes kernels with a table are larger in the file than in the summary,
    which has the codes of all bits in one stream."""
    streams = (name for name in graph.weights if name.startswith(tuple(graph.tables)))
    held = sum(graph.constants[name].nbytes for name in streams)
    return held - sum(graph.tables.values())


def _packed_row(graph: Writer, packed: Any) -> PackedRow:
    kernels = {
        name
        for name, stored in graph.weights.items()
        if stored.layer == packed.path and stored.bits < 32
    }
    node = next(node for node in graph.nodes if node.name == packed.nodes[-1])
    return PackedRow(
        layer=packed.path,
        class_name=type(packed.layer).__name__,
        operation=node.op if packed.accumulator else "float",
        weight_bits=packed.weight_bits,
        weight_bytes=sum(graph.constants[name].nbytes for name in kernels),
    )


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
            why = (
                f"its weights of {bits} bits are unpacked, since its input is not rounded "
                "to at most 8 bits with one range"
            )
            rows.setdefault(layer.path, FloatRow(layer.path, layer.class_name, why))
    for packed in graph.packed:
        if packed.why_float is not None:
            rows[packed.path] = _float_row(packed, packed.why_float)
    try:
        slow = larqlite_runtime.float_layers(content)
    except larqlite_runtime.RuntimeModelError as error:
        graph.notes.append(f"larqlite_runtime cannot run the file: {error}")
        slow = {}
    for packed in graph.packed:
        for node in packed.nodes:
            if node in slow:
                why = f"larqlite_runtime leaves it to ONNX Runtime, since {slow[node]}"
                rows.setdefault(packed.path, _float_row(packed, why))
    return list(rows.values())


def _float_row(packed: Any, why: str) -> FloatRow:
    return FloatRow(packed.path, type(packed.layer).__name__, why)
