"""`Sign`: -1 below zero, else +1."""

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
    """0, -0 and NaN are not below zero."""
    return [v < 0]


def _to_qonnx(graph: QonnxGraph, node: QonnxNode) -> None:
    graph.bipolar(node.source, node.name, output=node.output)


SIGN = QuantizerOperation(
    name="Sign",
    type_of=lambda attributes: _value_types.sign(),
    planes_of=_planes_of,
    to_qonnx=_to_qonnx,
    body="""
Sign (x) => (y) {
    zero = Constant <value_float: float = 0.0> ()
    plus = Constant <value_float: float = 1.0> ()
    minus = Constant <value_float: float = -1.0> ()
    is_negative = Less (x, zero)
    y = Where (is_negative, minus, plus)
}""",
)
