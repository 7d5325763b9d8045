"""Quantizers and packed layers as floats, where no packed layer of the kernels takes their bits."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import (
    DOMAIN,
    PACKED_LAYERS,
    float_weights,
    input_steps,
    integer_pad_value,
    windows_of,
)
from larqlite_runtime.planner._graph_writer import GraphWriter

# Added and taken off again, it leaves no bits below one of |v| < 2^22: halves go to the even one.
_NO_BITS_BELOW_ONE = 12582912.0


def _heaviside(writer: GraphWriter, node: GraphNode) -> bool:
    """(1 - sign(-v)) / 2, with a sign that is 1 up to 0 and for NaN."""
    sign = writer.add("Sign", [writer.add("Neg", [node.inputs[0]])], domain=DOMAIN)
    half = writer.add("Mul", [sign, writer.constant(-0.5)])
    return writer.last("Add", [half, writer.constant(0.5)])


def _ternary(writer: GraphWriter, node: GraphNode) -> bool:
    """(sign(v - t) - sign(-v - t)) / 2, with t at least 0; 0 for the sign of standard nodes."""
    x, least = node.inputs[0], -abs(float(node.attributes.get("threshold", 0.0)))
    least = writer.constant(least)
    above = writer.add("Sign", [writer.add("Add", [x, least])], domain=DOMAIN)
    below = writer.add("Add", [writer.add("Neg", [x]), least])
    below = writer.add("Neg", [writer.add("Sign", [below], domain=DOMAIN)])
    twice = writer.add("Add", [below, above])
    return writer.last("Mul", [twice, writer.constant(0.5)])


def _rounded(writer: GraphWriter, x: str) -> str:
    """Whole numbers of |v| < 2^22, halves to the even one."""
    shifted = writer.add("Add", [x, writer.constant(_NO_BITS_BELOW_ONE)])
    return writer.add("Add", [shifted, writer.constant(-_NO_BITS_BELOW_ONE)])


def _steps(writer: GraphWriter, node: GraphNode) -> bool:
    last = float((1 << int(node.attributes["bits"])) - 1)
    ends = writer.constant(0.0), writer.constant(1.0)
    clipped = writer.add("Clip", [node.inputs[0], *ends])
    code = _rounded(writer, writer.add("Mul", [clipped, writer.constant(last)]))
    return writer.last("Div", [code, writer.constant(last)])


def _integers(writer: GraphWriter, node: GraphNode) -> bool:
    ends = [float(node.attributes[name]) for name in ("low", "high")]
    clipped = writer.add("Clip", [node.inputs[0], *map(writer.constant, ends)])
    return writer.last("Identity", [_rounded(writer, clipped)])


def _layer(writer: GraphWriter, node: GraphNode) -> bool:
    """A packed layer that no kernel sums, in floats: exact as long as its sums are below 2^24."""
    stream = writer.value(node.inputs[1])
    if stream is None:
        return False
    weights, family = float_weights(node, stream), PACKED_LAYERS[node.op].family
    x, given, rank = node.inputs[0], node.attributes, weights.ndim - 2
    if "input_steps" in given:
        x = _rounded(
            writer, writer.add("Mul", [x, writer.constant(float(input_steps(node)))])
        )
    if family == "Dense":
        return writer.last("MatMul", [x, writer.constant(weights.T.copy())])
    windows, groups = windows_of(given, rank), int(given.get("group", 1))
    if family == "ConvTranspose":
        moved = np.ascontiguousarray(np.moveaxis(weights, -1, 0))
        padding = [int(value) for value in given.get("output_padding") or [0] * rank]
        return writer.last(
            "ConvTranspose",
            [x, writer.constant(moved)],
            output_padding=padding,
            group=groups,
            **windows,
        )
    border = integer_pad_value(node)
    if border and any(windows["pads"]):
        x = _with_border(writer, x, float(border), windows["pads"])
        windows["pads"] = [0] * 2 * rank
    moved = np.ascontiguousarray(np.moveaxis(weights, -1, 1))
    return writer.last("Conv", [x, writer.constant(moved)], group=groups, **windows)


def _absmax_scale(writer: GraphWriter, node: GraphNode) -> bool:
    """The largest magnitude of rows as that of windows, each a row, of an image."""
    shape = writer.shape(node.inputs[0])
    if None in shape[1:]:
        return False
    length, rows = shape[-1], int(np.prod(shape[1:-1]))
    magnitudes = writer.add("Abs", [node.inputs[0]])
    sizes = writer.constant(np.array([-1, rows, length], np.int64))
    image = writer.add("Reshape", [magnitudes, sizes], (shape[0], rows, length))
    most = writer.add("MaxPool", [image], (shape[0], rows, 1), kernel_shape=[length])
    sizes = writer.constant(np.array([-1, *shape[1:-1], 1], np.int64))
    largest = writer.add("Reshape", [most, sizes], (*shape[:-1], 1))
    steps = writer.constant(np.float32(node.attributes["steps"]))
    scale = writer.add("Div", [largest, steps])
    smallest = writer.constant(np.float32(np.finfo(np.float32).tiny))
    return writer.last("Clip", [scale, smallest])


def _with_border(writer: GraphWriter, x: str, border: float, pads: list[int]) -> str:
    """Whole numbers with a border of another than 0, which is taken off and added again."""
    rank, shape = len(pads) // 2, list(writer.shape(x))
    around = [0, 0, *pads[:rank], 0, 0, *pads[rank:]]
    for axis in range(rank):
        shape[2 + axis] += pads[axis] + pads[rank + axis]
    low = writer.add("Add", [x, writer.constant(-border)])
    padded = writer.add(
        "Pad", [low, writer.constant(np.array(around, np.int64))], tuple(shape)
    )
    return writer.add("Add", [padded, writer.constant(border)])


QUANTIZER_RULES = {
    ("", "Sign"): _ternary,
    (DOMAIN, "Heaviside"): _heaviside,
    (DOMAIN, "Ternary"): _ternary,
    (DOMAIN, "Steps"): _steps,
    (DOMAIN, "Integers"): _integers,
}
ROW_RULES = {(DOMAIN, "AbsmaxScale"): _absmax_scale}
LAYER_RULES = {(DOMAIN, name): _layer for name in PACKED_LAYERS}
