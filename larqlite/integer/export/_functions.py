"""The integer operations of the domain `ai.larqlite`, as functions of standard ones.

Convolutions and matrix products run in a float type that holds every partial sum exactly:
a stock ONNX Runtime has no convolution of int32, and its 8-bit ones saturate pairs of
products at 16 bits on some processors. Everything else is integer arithmetic.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from larqlite import onnx_graph

if TYPE_CHECKING:
    import onnx

_TEXTS = {
    "IntConv": """
IntConv <strides, dilations, group, pads, to> (x, kernel, bias) => (y) {
    numbers = Cast <to: int = 1> (x)
    weights = Cast <to: int = 1> (kernel)
    offsets = Cast <to: int = 1> (bias)
    sums = Conv <strides: ints = @strides, dilations: ints = @dilations,
        group: int = @group, pads: ints = @pads> (numbers, weights, offsets)
    y = Cast <to: int = @to> (sums)
}""",
    "IntConvTranspose": """
IntConvTranspose <strides, dilations, group, pads, output_padding, to>
(x, kernel, bias) => (y) {
    numbers = Cast <to: int = 1> (x)
    weights = Cast <to: int = 1> (kernel)
    offsets = Cast <to: int = 1> (bias)
    sums = ConvTranspose <strides: ints = @strides, dilations: ints = @dilations,
        group: int = @group, pads: ints = @pads,
        output_padding: ints = @output_padding> (numbers, weights, offsets)
    y = Cast <to: int = @to> (sums)
}""",
    "IntMatMul": """
IntMatMul <through, to> (x, w) => (y) {
    left = Cast <to: int = @through> (x)
    right = Cast <to: int = @through> (w)
    sums = MatMul (left, right)
    y = Cast <to: int = @to> (sums)
}""",
    # floor((x * multiplier + half) / 2^shift); `base` keeps the dividend above zero,
    # because ONNX shifts only what has no sign.
    "IntRequantize": """
IntRequantize <to> (x, multiplier, offset, shift, base, low, high) => (y) {
    wide = Cast <to: int = 7> (x)
    product = Mul (wide, multiplier)
    moved = Add (product, offset)
    bits = Cast <to: int = 13> (moved)
    shifted = BitShift <direction: string = "RIGHT"> (bits, shift)
    counted = Cast <to: int = 7> (shifted)
    quotient = Sub (counted, base)
    above = Max (quotient, low)
    limited = Min (above, high)
    y = Cast <to: int = @to> (limited)
}""",
    "IntMaxPool": """
IntMaxPool <kernel_shape, strides, pads, through, to> (x) => (y) {
    numbers = Cast <to: int = @through> (x)
    largest = MaxPool <kernel_shape: ints = @kernel_shape, strides: ints = @strides,
        pads: ints = @pads> (numbers)
    y = Cast <to: int = @to> (largest)
}""",
    "IntClip": """
IntClip <to> (x, low, high) => (y) {
    above = Max (x, low)
    limited = Min (above, high)
    y = Cast <to: int = @to> (limited)
}""",
    # `offsets` lead to the first entry of a channel's part of the table.
    "IntLookup": """
IntLookup (x, offsets, table) => (y) {
    wide = Cast <to: int = 6> (x)
    places = Add (wide, offsets)
    y = Gather <axis: int = 0> (table, places)
}""",
    "IntDequantize": """
IntDequantize <through> (x, unit, scale) => (y) {
    numbers = Cast <to: int = @through> (x)
    fixed = Mul (numbers, unit)
    single = Cast <to: int = 1> (fixed)
    y = Mul (single, scale)
}""",
}


@functools.cache
def _function(name: str) -> onnx.FunctionProto:
    import onnx.parser

    header = f'<domain: "{onnx_graph.DOMAIN}", opset_import: ["": {onnx_graph.OPSET}]>'
    return onnx.parser.parse_function(header + _TEXTS[name])


def used_by(operations: set[str]) -> list[onnx.FunctionProto]:
    """The functions of these operations, those of `larqlite.deploy` too, in a fixed order."""
    own = sorted(operations & set(_TEXTS))
    return [
        *map(_function, own),
        *onnx_graph.functions_used_by(operations - set(_TEXTS)),
    ]
