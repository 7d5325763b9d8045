"""`Heaviside`: 1 above zero, else 0."""

from __future__ import annotations

import numpy as np

from larqlite_runtime.format import _value_types
from larqlite_runtime.format._operation import (
    Attributes,
    QonnxGraph,
    QonnxNode,
    QuantizerOperation,
)


def _planes_of(v: np.ndarray, attributes: Attributes) -> list[np.ndarray]:
    """0, -0 and NaN are not above zero."""
    return [~(v > 0)]


def _to_qonnx(graph: QonnxGraph, node: QonnxNode) -> None:
    """Half of one minus the sign of what is negated: that sign is +1 up to zero."""
    made, like = node.source, {"like": node.output}

    def then(op: str, number: float, name: str) -> None:
        nonlocal made
        operands = [made, graph.number(number)]
        made = graph.add(op, operands, f"{node.name}/{name}", **like)

    then("Mul", -1, "negated")
    made = graph.bipolar(made, f"{node.name}/sign", **like)
    then("Mul", -0.5, "half")
    then("Add", 0.5, "sum")
    graph.integer(made, node.name, 1, False, output=node.output)


HEAVISIDE = QuantizerOperation(
    name="Heaviside",
    type_of=lambda attributes: _value_types.heaviside(),
    planes_of=_planes_of,
    to_qonnx=_to_qonnx,
    body="""
Heaviside (x) => (y) {
    zero = Constant <value_float: float = 0.0> ()
    is_positive = Greater (x, zero)
    y = Cast <to: int = 1> (is_positive)
}""",
)
