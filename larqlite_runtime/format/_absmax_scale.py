"""`AbsmaxScale`: of each row the scale at which its largest magnitude is a whole number."""

from __future__ import annotations

import numpy as np

from larqlite_runtime.format._attributes import integer
from larqlite_runtime.format._operation import (
    Attributes,
    QonnxGraph,
    QonnxNode,
    RowOperation,
)
from larqlite_runtime.format._value_types import MOST_INTEGER

# A row of zeros has this one, the smallest normal number: 0 divided by it is 0.
SMALLEST = float(np.finfo(np.float32).tiny)


def _values_of(x: np.ndarray, attributes: Attributes) -> np.ndarray:
    largest = np.abs(x).max(axis=-1, keepdims=True)
    return np.maximum(largest / np.float32(attributes["steps"]), np.float32(SMALLEST))


def _to_qonnx(graph: QonnxGraph, node: QonnxNode) -> None:
    like = {"like": node.output}
    magnitudes = graph.add(
        "Abs", [node.source], f"{node.name}/magnitudes", like=node.source
    )
    axes = graph.indices([-1])
    largest = graph.add("ReduceMax", [magnitudes, axes], f"{node.name}/largest", **like)
    steps = graph.number(node.attributes["steps"])
    scale = graph.add("Div", [largest, steps], f"{node.name}/of_all", **like)
    graph.add("Max", [scale, graph.number(SMALLEST)], node.name, node.output)


ABSMAX_SCALE = RowOperation(
    name="AbsmaxScale",
    since=3,
    attributes={"steps": integer(1, MOST_INTEGER)},
    values_of=_values_of,
    to_qonnx=_to_qonnx,
    body="""
AbsmaxScale <steps> (x) => (y) {
    count = Constant <value_int: int = @steps> ()
    n = Cast <to: int = 1> (count)
    smallest = Constant <value_float: float = 1.1754943508222875e-38> ()
    last = Constant <value_ints: ints = [-1]> ()
    magnitudes = Abs (x)
    largest = ReduceMax <keepdims: int = 1> (magnitudes, last)
    scale = Div (largest, n)
    y = Max (scale, smallest)
}""",
)
