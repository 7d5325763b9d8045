"""`Steps`: the nearest of 0, 1/n, ..., 1 with n = 2^bits - 1."""

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


def _planes_of(v: np.ndarray, attributes: Attributes) -> list[np.ndarray]:
    """clip(v, 0, 1) * n in float32, halves to even; a NaN is 0."""
    bits = int(attributes["bits"])
    last = np.float32((1 << bits) - 1)
    clipped = np.fmin(np.fmax(v, np.float32(0)), np.float32(1))
    codes = np.rint(clipped * last).astype(np.int32)
    return [(codes >> plane & 1) == 0 for plane in range(bits)]


def _to_qonnx(graph: QonnxGraph, node: QonnxNode) -> None:
    bits, output = node.attributes["bits"], node.output
    count = graph.number(2**bits - 1)
    multiples = graph.add(
        "Mul", [node.source, count], f"{node.name}/multiples", like=output
    )
    integers = graph.integer(
        multiples, f"{node.name}/integers", bits, False, like=output
    )
    graph.add("Div", [integers, count], node.name, output)
    graph.integers[output] = (integers, float(2**bits - 1))


STEPS = QuantizerOperation(
    name="Steps",
    attributes={"bits": integer(1, _value_types.MOST_BITS)},
    type_of=lambda attributes: _value_types.steps(int(attributes["bits"])),
    planes_of=_planes_of,
    # Each plane is +1 in turns.
    is_thresholded=False,
    to_qonnx=_to_qonnx,
    body="""
Steps <bits> (x) => (y) {
    zero = Constant <value_float: float = 0.0> ()
    one = Constant <value_float: float = 1.0> ()
    two = Constant <value_float: float = 2.0> ()
    k = Constant <value_int: int = @bits> ()
    exponent = Cast <to: int = 1> (k)
    count = Pow (two, exponent)
    n = Sub (count, one)
    clipped = Clip (x, zero, one)
    scaled = Mul (clipped, n)
    rounded = Round (scaled)
    y = Div (rounded, n)
}""",
)
