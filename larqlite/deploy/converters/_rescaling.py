"""Rescaling of inputs by fixed numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite.deploy._registry import converter
from larqlite.deploy.converters._elementwise import elementwise

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer


@converter(tf_keras.layers.Rescaling)
def convert_rescaling(graph: Writer, layer, value: Value) -> Value:
    """`x * scale + offset`."""
    for op, operand, neutral in (("Mul", layer.scale, 1), ("Add", layer.offset, 0)):
        operand = np.asarray(operand, np.float32)
        if (operand != neutral).any():
            value = elementwise(graph, layer, op, [value, operand])
    return value
