"""`Integers`: the nearest of the integers from `low` to `high`."""

from __future__ import annotations

import numpy as np

from larqlite_runtime.format import _value_types
from larqlite_runtime.format._attributes import integer
from larqlite_runtime.format._operation import (
    Attributes,
    QonnxGraph,
    QonnxNode,
    QuantizerOperation,
)

_MOST = _value_types.MOST_INTEGER


def _type_of(attributes: Attributes) -> _value_types.ValueType:
    return _value_types.integers(int(attributes["low"]), int(attributes["high"]))


def _planes_of(v: np.ndarray, attributes: Attributes) -> list[np.ndarray]:
    """Halves go to the even integer; a NaN is `low`."""
    low, high = np.float32(attributes["low"]), np.float32(attributes["high"])
    whole = np.rint(np.fmin(np.fmax(v, low), high))
    codes = (whole - low).astype(np.int32)
    return [(codes >> plane & 1) == 0 for plane in range(_type_of(attributes).bits)]


def _to_qonnx(graph: QonnxGraph, node: QonnxNode) -> None:
    low, high = (int(node.attributes[name]) for name in ("low", "high"))
    bits, signed = _type_of(node.attributes).bits, low < 0
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    source, narrow = node.source, signed and (low, high) == (ends[0] + 1, ends[1])
    if (low, high) != ends and not narrow:
        inputs = [source, graph.number(low), graph.number(high)]
        source = graph.add("Clip", inputs, f"{node.name}/clipped", like=node.output)
        bits += 1
    graph.integer(source, node.name, bits, signed, narrow, output=node.output)


INTEGERS = QuantizerOperation(
    name="Integers",
    since=2,
    attributes={"low": integer(-_MOST, 0), "high": integer(1, _MOST)},
    type_of=_type_of,
    planes_of=_planes_of,
    # Each plane is +1 in turns.
    is_thresholded=False,
    to_qonnx=_to_qonnx,
    body="""
Integers <low, high> (x) => (y) {
    first = Constant <value_int: int = @low> ()
    last = Constant <value_int: int = @high> ()
    least = Cast <to: int = 1> (first)
    most = Cast <to: int = 1> (last)
    clipped = Clip (x, least, most)
    y = Round (clipped)
}""",
)
