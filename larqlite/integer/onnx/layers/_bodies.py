"""Pieces of the functions of integer layers, in the text language of ONNX.

float32 holds the operands of a sum whose every partial sum was proven to fit in 24 bits.
Other sums are made of unsigned bytes with a zero point, which no processor saturates, or of
digits: small integers whose sums fit, added up in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from larqlite import onnx_graph

if TYPE_CHECKING:
    import onnx

__all__ = [
    "digits",
    "limited",
    "nodes",
    "per_channel",
    "requantize",
    "rounded_half_up",
    "saturated",
    "signed_to_bytes",
]


def nodes(body: str) -> list[onnx.NodeProto]:
    """The nodes of a body; tensors of capital letters come from outside."""
    import onnx.parser

    header = f'<domain: "{onnx_graph.DOMAIN}", opset_import: ["": {onnx_graph.OPSET}]>'
    function = onnx.parser.parse_function(f"{header} Body () => () {{{body}\n}}")
    return list(function.node)


def per_channel(name: str, shaped: str, is_image: bool) -> str:
    """A vector of channels, as it broadcasts to accumulators."""
    if not is_image:
        return f"\n    {shaped} = Identity ({name})"
    return f"""
    {shaped}_shape = Constant <value_ints: ints = [-1, 1, 1]> ()
    {shaped} = Reshape ({name}, {shaped}_shape)"""


def signed_to_bytes(name: str, out: str) -> str:
    """int8 as uint8 with the zero point 128."""
    return f"""
    {out}_whole = Cast <to: int = 6> ({name})
    {out}_middle = Constant <value: tensor = int32 {{128}}> ()
    {out}_moved = Add ({out}_whole, {out}_middle)
    {out} = Cast <to: int = 2> ({out}_moved)
    {out}_zero = Constant <value: tensor = uint8 {{128}}> ()"""


def limited(op_type: str, sums: str, is_image: bool) -> tuple[str, str]:
    """ReLU, if the type has it, with its upper bound; and what to requantize then.

    The requantization ends at zero instead if nothing is between.
    """
    if "Clipped" not in op_type and not (
        "ReLU" in op_type and _sees_negatives(op_type)
    ):
        return "", sums
    body = f"\n    positive = Relu ({sums})"
    if "Clipped" not in op_type:
        return body, "positive"
    body += per_channel("max_value", "bound", is_image)
    body += f"""
    limit = CastLike (bound, {sums})
    bounded = Min (positive, limit)"""
    return body, "bounded"


def _sees_negatives(op_type: str) -> bool:
    """Whether something else than a requantization follows the ReLU."""
    return "GlobalAvgPool" in op_type or "Scaled" not in op_type


def requantize(op_type: str, accumulators: str, out: str, is_image: bool) -> str:
    """`clip(floor(accumulators * M / 2^S_out + 1/2), -128, 127)` as int8, or as int16.

    With ReLU, from zero on: the scale is positive, and what is below zero rounds to at
    most zero.

    In float64, where a product of 44 bits with 8 bits and at most 50 bits behind the
    point is exact.
    """
    return (
        per_channel("M", "multiplier", is_image)
        + per_channel("S_out", "shift", is_image)
        + f"""
    unit = Constant <value: tensor = uint64 {{1}}> ()
    wide_shift = Cast <to: int = 13> (shift)
    power = BitShift <direction: string = "LEFT"> (unit, wide_shift)
    divisor = Cast <to: int = 11> (power)
    dividend = Cast <to: int = 11> (multiplier)
    factor = Div (dividend, divisor)
    exact = Cast <to: int = 11> ({accumulators})
    product = Mul (exact, factor)"""
        + rounded_half_up("product", "floored")
        + saturated(op_type, "floored", out)
    )


def rounded_half_up(name: str, out: str) -> str:
    """`floor(name + 1/2)`, float64."""
    return f"""
    half = Constant <value: tensor = double {{0.5}}> ()
    raised = Add ({name}, half)
    {out} = Floor (raised)"""


def saturated(op_type: str, name: str, out: str) -> str:
    """Whole numbers in float64 as int8, or int16 `To16`; with ReLU, from zero on."""
    least, most, dtype = (-32768, 32767, 5) if "To16" in op_type else (-128, 127, 3)
    lowest = 0 if "ReLU" in op_type else least
    return f"""
    lowest = Constant <value: tensor = double {{{lowest}.0}}> ()
    highest = Constant <value: tensor = double {{{most}.0}}> ()
    clipped = Clip ({name}, lowest, highest)
    {out} = Cast <to: int = {dtype}> (clipped)"""


def digits(name: str, count: int, width: int) -> tuple[str, list[str]]:
    """Integers as `count` digits of `width` bits, float32, the last one with the most.

    `name = sum(digit_i * 2^(width * i))`, `|digit_i| <= 2^(width - 1)`.
    """
    if count == 1:
        return f"\n    {name}_0 = Cast <to: int = 1> ({name})", [f"{name}_0"]
    body = f"""
    {name}_rest_0 = Cast <to: int = 1> ({name})
    {name}_base = Constant <value_float: float = {2.0**width}> ()
    {name}_middle = Constant <value_float: float = {2.0 ** (width - 1)}> ()"""
    for i in range(count - 1):
        body += f"""
    {name}_raised_{i} = Add ({name}_rest_{i}, {name}_middle)
    {name}_parts_{i} = Div ({name}_raised_{i}, {name}_base)
    {name}_rest_{i + 1} = Floor ({name}_parts_{i})
    {name}_whole_{i} = Mul ({name}_rest_{i + 1}, {name}_base)
    {name}_{i} = Sub ({name}_rest_{i}, {name}_whole_{i})"""
    last = count - 1
    body += f"\n    {name}_{last} = Identity ({name}_rest_{last})"
    return body, [f"{name}_{i}" for i in range(count)]
