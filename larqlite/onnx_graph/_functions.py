"""The operations of the domain `ai.larqlite`, each as a function of standard ones.

A file carries the functions that it uses, so that other runtimes can run it. A `Pad` in
them has no axes, which older ones refuse where attributes of a function stand for numbers.
`Round` at the end leaves integers as they are; it keeps runtimes from folding a scale that
follows into the weights, which would make the sums inexact.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from larqlite.errors import ArgumentError

if TYPE_CHECKING:
    import onnx

DOMAIN = "ai.larqlite"
DOMAIN_VERSION = 1
OPSET = 18

_SIGN = """
Sign (x) => (y) {
    zero = Constant <value_float: float = 0.0> ()
    plus = Constant <value_float: float = 1.0> ()
    minus = Constant <value_float: float = -1.0> ()
    is_negative = Less (x, zero)
    y = Where (is_negative, minus, plus)
}"""

_HEAVISIDE = """
Heaviside (x) => (y) {
    zero = Constant <value_float: float = 0.0> ()
    is_positive = Greater (x, zero)
    y = Cast <to: int = 1> (is_positive)
}"""

_TERNARY = """
Ternary <threshold> (x) => (y) {
    t = Constant <value_float: float = @threshold> ()
    above = Add (x, t)
    below = Sub (x, t)
    sign_above = Sign (above)
    sign_below = Sign (below)
    total = Add (sign_above, sign_below)
    y = Sign (total)
}"""

_STEPS = """
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
}"""

# Bits of a byte, low first, are a row; the rows are the stream.
_UNPACK = """
Unpack <weight_shape, bits, step, offset> (packed) => (w) {
    shape = Constant <value_ints: ints = @weight_shape> ()
    k = Constant <value_int: int = @bits> ()
    scale = Constant <value_float: float = @step> ()
    shift = Constant <value_float: float = @offset> ()
    zero = Constant <value_int: int = 0> ()
    one = Constant <value_int: int = 1> ()
    two = Constant <value_float: float = 2.0> ()
    minus_one = Constant <value_ints: ints = [-1]> ()
    first = Constant <value_ints: ints = [0]> ()
    column = Constant <value_ints: ints = [-1, 1]> ()
    places = Constant <value: tensor = uint8[8] {0, 1, 2, 3, 4, 5, 6, 7}> ()
    last_bit = Constant <value: tensor = uint8 {1}> ()
    bytes = Reshape (packed, column)
    shifted = BitShift <direction: string = "RIGHT"> (bytes, places)
    bits_of_bytes = BitwiseAnd (shifted, last_bit)
    stream = Reshape (bits_of_bytes, minus_one)
    count = ReduceProd <keepdims: int = 1> (shape)
    length = Mul (count, k)
    used = Slice (stream, first, length)
    digits = Cast <to: int = 1> (used)
    width = Reshape (k, minus_one)
    row_shape = Concat <axis: int = 0> (minus_one, width)
    rows = Reshape (digits, row_shape)
    exponents = Range (zero, k, one)
    float_exponents = Cast <to: int = 1> (exponents)
    powers = Pow (two, float_exponents)
    weighted = Mul (rows, powers)
    axis = Constant <value_ints: ints = [1]> ()
    codes = ReduceSum <keepdims: int = 0> (weighted, axis)
    scaled = Mul (codes, scale)
    moved = Add (scaled, shift)
    w = Reshape (moved, shape)
}"""

_WEIGHTS = {
    "B": "bits: int = 1, step: float = -2.0, offset: float = 1.0",
    "T": "bits: int = 2, step: float = 1.0, offset: float = -1.0",
    "Q": "bits: int = @bits, step: float = @step, offset: float = @offset",
}
_MORE_ATTRIBUTES = {"B": "", "T": "", "Q": ", bits, step, offset, input_steps"}

_UNPACKED = """
    w = ai.larqlite.Unpack <weight_shape: ints = @weight_shape, {weights}> (packed)"""

_UNSCALED = {
    "B": """
    integers = Identity (x)""",
    "T": """
    integers = Identity (x)""",
    "Q": """
    n = Constant <value_float: float = @input_steps> ()
    multiples = Mul (x, n)
    integers = Round (multiples)""",
}

_CONVOLUTION = """
{kind}Conv{rank}D <weight_shape, strides, dilations, group, pads, pad_value, input{more}>
(x, packed) => (y) {{{unpacked}
    kernel = Transpose <perm: ints = {kernel_order}> (w)
    around = Constant <value_ints: ints = @pads> ()
    none = Constant <value_ints: ints = [0, 0]> ()
    begins, ends = Split <axis: int = 0, num_outputs: int = 2> (around)
    amounts = Concat <axis: int = 0> (none, begins, none, ends)
    border = Constant <value_float: float = @pad_value> ()
    padded = Pad <mode: string = "constant"> (x, amounts, border)
    {unscaled}
    sums = Conv <strides: ints = @strides, dilations: ints = @dilations,
        group: int = @group> (integers, kernel)
    y = Round (sums)
}}"""

_TRANSPOSED = """
{kind}ConvTranspose{rank}D <weight_shape, strides, dilations, group, pads, output_padding,
    input{more}>
(x, packed) => (y) {{{unpacked}
    kernel = Transpose <perm: ints = {kernel_order}> (w)
    {unscaled}
    sums = ConvTranspose <strides: ints = @strides, dilations: ints = @dilations,
        group: int = @group, pads: ints = @pads,
        output_padding: ints = @output_padding> (integers, kernel)
    y = Round (sums)
}}"""

_DENSE = """
{kind}Dense <weight_shape, input{more}> (x, packed) => (y) {{{unpacked}
    kernel = Transpose <perm: ints = [1, 0]> (w)
    {unscaled}
    sums = MatMul (integers, kernel)
    y = Round (sums)
}}"""


def _texts() -> dict[str, str]:
    """The text of every function, by name."""
    texts = {
        "Sign": _SIGN,
        "Heaviside": _HEAVISIDE,
        "Ternary": _TERNARY,
        "Steps": _STEPS,
        "Unpack": _UNPACK,
    }
    for kind in "BTQ":
        common = {
            "kind": kind,
            "more": _MORE_ATTRIBUTES[kind],
            "unpacked": _UNPACKED.format(weights=_WEIGHTS[kind]),
            "unscaled": _UNSCALED[kind].strip(),
        }
        texts[f"{kind}Dense"] = _DENSE.format(**common)
        for rank in (1, 2, 3):
            spatial = list(range(1, rank + 1))
            padded = {**common, "unscaled": common["unscaled"].replace("(x", "(padded")}
            texts[f"{kind}Conv{rank}D"] = _CONVOLUTION.format(
                **padded, rank=rank, kernel_order=[0, rank + 1, *spatial]
            )
            texts[f"{kind}ConvTranspose{rank}D"] = _TRANSPOSED.format(
                **common, rank=rank, kernel_order=[rank + 1, 0, *spatial]
            )
    return texts


@functools.cache
def function(name: str) -> onnx.FunctionProto:
    """The function of an operation of this domain."""
    import onnx.parser

    uses = f', "{DOMAIN}": {DOMAIN_VERSION}' if DOMAIN in _texts()[name] else ""
    header = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}{uses}]>'
    return onnx.parser.parse_function(header + _texts()[name])


def function_from_nodes(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    imports: Mapping[str, int] | None = None,
) -> onnx.FunctionProto:
    """An operation of this domain that is made of nodes, for operations added elsewhere.

    Args:
        name: of the operation; none of those written here.
        nodes: in the order in which they run. A tensor that none of them gives out is an
            input, in the order of first use; one that none of them takes is an output;
            an attribute that refers to another is an attribute of the operation.
        imports: versions of the domains that the nodes come from.

    Raises:
        ArgumentError: the name is taken.
    """
    from onnx import helper

    if name in function_names():
        raise ArgumentError(
            f'an operation "{name}" cannot be added to {DOMAIN}: it is there already.\n'
            "  Fix: another name."
        )
    given = {tensor for node in nodes for tensor in node.output}
    taken = list(dict.fromkeys(t for node in nodes for t in node.input if t))
    attributes = [a.ref_attr_name for node in nodes for a in node.attribute]
    return helper.make_function(
        DOMAIN,
        name,
        [tensor for tensor in taken if tensor not in given],
        [t for node in nodes for t in node.output if t and t not in taken],
        nodes,
        [helper.make_opsetid(*item) for item in (imports or {"": OPSET}).items()],
        list(dict.fromkeys(filter(None, attributes))),
    )


def function_names() -> list[str]:
    """The operations that there are."""
    return list(_texts())


def functions_used_by(operations: set[str]) -> list[onnx.FunctionProto]:
    """The functions of these operations and those that they use, in a fixed order."""
    needs_unpack = operations - {"Sign", "Heaviside", "Ternary", "Steps"}
    names = sorted(operations | ({"Unpack"} if needs_unpack else set()))
    return list(map(function, names))
