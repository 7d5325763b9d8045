"""`Ternary`: -1 below -threshold, +1 above threshold, else 0."""

from __future__ import annotations

import numpy as np

from larqlite_runtime.format import _value_types
from larqlite_runtime.format._attributes import number
from larqlite_runtime.format._operation import (
    Attributes,
    QonnxGraph,
    QonnxNode,
    QuantizerOperation,
)


def _planes_of(v: np.ndarray, attributes: Attributes) -> list[np.ndarray]:
    """sgn(sgn(v + threshold) + sgn(v - threshold)) in float32; a NaN is 0."""
    threshold = np.float32(attributes["threshold"])
    t = _signum(v + threshold) + _signum(v - threshold)
    return [~(t >= 0), ~(t > 0)]


def _signum(v: np.ndarray) -> np.ndarray:
    return (v > 0).astype(np.float32) - (v < 0)


def _to_qonnx(graph: QonnxGraph, node: QonnxNode) -> None:
    """+1 from `threshold` on, -1 from `-threshold` down: half of two signs' difference."""
    threshold = graph.number(abs(node.attributes["threshold"]))
    like = {"like": node.output}

    def sign_from_threshold(tensor: str, name: str) -> str:
        distance = graph.add("Sub", [tensor, threshold], f"{name}_distance", **like)
        return graph.bipolar(distance, name, **like)

    above = sign_from_threshold(node.source, f"{node.name}/above")
    minus_one = graph.number(-1)
    negated = graph.add("Mul", [node.source, minus_one], f"{node.name}/negated", **like)
    below = sign_from_threshold(negated, f"{node.name}/below")
    twice = graph.add("Sub", [above, below], f"{node.name}/twice", **like)
    half = graph.add("Mul", [twice, graph.number(0.5)], f"{node.name}/half", **like)
    graph.integer(half, node.name, 2, True, True, output=node.output)


TERNARY_QUANTIZER = QuantizerOperation(
    name="Ternary",
    attributes={"threshold": number()},
    type_of=lambda attributes: _value_types.ternary(),
    planes_of=_planes_of,
    to_qonnx=_to_qonnx,
    body="""
Ternary <threshold> (x) => (y) {
    t = Constant <value_float: float = @threshold> ()
    above = Add (x, t)
    below = Sub (x, t)
    sign_above = Sign (above)
    sign_below = Sign (below)
    total = Add (sign_above, sign_below)
    y = Sign (total)
}""",
)
