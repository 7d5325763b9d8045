"""Binary and ternary codes of integers."""

from __future__ import annotations

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, whole
from larqlite.integer.export._writer import IntegerWriter, onnx_kind
from larqlite.integer.export.onnx._arithmetic import wide
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.layers.internal import least_beyond


@converts(layers.QuantizedSign, layers.QuantizedApproxSign, layers.QuantizedSwishSign)
def convert_sign(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """-1 where an integer is below zero, else 1."""
    x = wide(graph, x, x.low, x.high)
    zero = graph.along_channels(0, x, "zero", x.kind)
    is_negative = graph.node("Less", [x.name, zero])
    ends = [graph.exact(end, "sign", "int8") for end in (-1, 1)]
    name = graph.node("Where", [is_negative, *ends])
    return graph.like(x, name, kind="int8", low=whole(-1), high=whole(1))


@converts(layers.QuantizedTernary)
def convert_ternary(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """1 from an integer threshold on, -1 up to its opposite, else 0."""
    scales = np.float32(1) if x.qparams.scales is None else x.qparams.scales
    least = least_beyond(layer.threshold_value, scales, x.qparams.frac_bits).numpy()
    least = whole(np.minimum(least, 2.0**52).astype(np.int64))
    x = wide(graph, x, np.minimum(x.low, -least), np.maximum(x.high, least))
    sides = []
    for op, bound in (("GreaterOrEqual", least), ("LessOrEqual", -least)):
        end = graph.along_channels(bound, x, "threshold", x.kind)
        is_beyond = graph.node(op, [x.name, end])
        sides.append(graph.node("Cast", [is_beyond], to=onnx_kind("int32")))
    name = graph.node("Sub", sides)
    y = graph.like(x, name, kind="int32", low=whole(-1), high=whole(1))
    return graph.as_kind(y, "int8")
