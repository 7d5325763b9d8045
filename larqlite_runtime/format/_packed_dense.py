"""`BDense`, `TDense`, `QDense`: packed weights times the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from larqlite_runtime.format._operation import Attributes
from larqlite_runtime.format._packed_layer import (
    KINDS,
    LayerOperation,
    QonnxLayers,
    attributes_of,
    body_of,
)

_LINES = """
    kernel = Transpose <perm: ints = [1, 0]> (w)
    {integers}
    sums = MatMul (integers, kernel)"""


def _sums_of(x: np.ndarray, w: np.ndarray, attributes: Attributes) -> np.ndarray:
    """`(..., channels_in)` and `(channels_out, channels_in)` to `(..., channels_out)`."""
    return x @ w.T


def _to_qonnx(graph: QonnxLayers, node: Any) -> None:
    source, _ = graph.input_of(node)
    kernel = graph.kernel_of(node, (1, 0))
    graph.add("MatMul", [source, kernel], node.name, node.outputs[0])


PACKED_DENSE = [
    LayerOperation(
        name=f"{kind}Dense",
        kind=kind,
        family="Dense",
        inputs=2,
        uses=("Unpack",),
        attributes=attributes_of(kind),
        sums_of=_sums_of,
        to_qonnx=_to_qonnx,
        body=body_of(kind, f"{kind}Dense", "", _LINES, "x"),
    )
    for kind in KINDS
]
