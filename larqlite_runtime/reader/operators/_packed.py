"""The operations of the domain `ai.larqlite`: quantizers, and layers of packed weights."""

from __future__ import annotations

import math

import numpy as np

from larqlite_runtime._errors import shape_text
from larqlite_runtime._graph import Shape
from larqlite_runtime.format import unpacked_codes
from larqlite_runtime.reader.operators._attributes import (
    REQUIRED,
    Attribute,
    choice,
    integer,
    integers,
    number,
)
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)
from larqlite_runtime.reader.operators._products import (
    CONVOLUTION,
    FLOAT_BYTES,
    count_convolution,
    transposed_sizes,
    window_sizes,
)

# Sums of integers are exact in float32, which the function bodies use, below this.
EXACT = 1 << 24
MAX_BITS = 8
MAX_SIZE = (1 << 31) - 1


def _quantizer(call: NodeCall) -> Results:
    return [(call.shape(0), call.same_dtype([0], "f"))]


def _codes(call: NodeCall, index: int) -> tuple[Shape, int]:
    """`weight_shape` and the width of packed weights; their bytes must be as many."""
    shape = tuple(call.attribute("weight_shape"))
    bits = call.attribute("bits") or {"B": 1, "T": 2}[call.node.op[0]]
    stored = call.constant(index, np.uint8)
    count = math.prod(shape)
    wanted = -(-count * bits // 8)
    if stored.shape != (wanted,):
        call.fail(
            f"its weights have the sizes {shape_text(stored.shape)}, but weight_shape "
            f"{list(shape)} at {bits} bits takes {wanted} bytes"
        )
    if call.node.op[0] == "T" and call.fact(index, "code 3", _has_code_3):
        call.fail("its ternary weights hold the code 3, which stands for nothing")
    call.unpacked = FLOAT_BYTES * count
    return shape, bits


def _has_code_3(stored: np.ndarray) -> bool:
    return bool((stored & (stored >> 1) & 0x55).any())


def _unpack(call: NodeCall) -> Results:
    shape, _ = _codes(call, 0)
    return [(shape, np.dtype(np.float32))]


def _require_exact(call: NodeCall, shape: Shape, bits: int) -> None:
    """Fails if a sum of integers could leave the range in which float32 is exact.

    What the attributes allow is looked at first. Weights of few bits rarely have the
    largest code everywhere, so where that is too much, the codes themselves decide.
    """
    largest = steps = 1
    if call.node.op.startswith("Q"):
        step, offset = call.attribute("step"), call.attribute("offset")
        call.require(
            step == int(step) and offset == int(offset),
            f"step {step} and offset {offset} must be integers",
        )
        largest = int(max(abs(offset), abs(offset + step * ((1 << bits) - 1))))
        steps = int(call.attribute("input_steps"))
    count = math.prod(shape[1:])
    if call.attribute("input") == "integer" or largest * steps * count < EXACT:
        return
    bound = largest * steps * count
    if largest < EXACT and call.node.op.startswith("Q"):
        often = call.fact(
            1,
            f"codes of {shape[0]} rows, {bits} bits",
            lambda stored: _occurrences(stored, shape[0], count, bits),
        )
        values = np.abs(np.arange(1 << bits) * int(step) + int(offset))
        bound = steps * int((often @ values).max(initial=0))
    if bound >= EXACT:
        call.fail(
            f"its sums may reach {bound}, beyond 2^24 = {EXACT}, where float32 is no "
            "longer exact"
        )


def _occurrences(stored: np.ndarray, rows: int, count: int, bits: int) -> np.ndarray:
    """How often each code occurs in each row of `count` codes."""
    codes = unpacked_codes(stored, rows * count, bits).reshape(rows, count)
    return np.stack([np.bincount(row, minlength=1 << bits) for row in codes])


def _input_fits(call: NodeCall) -> None:
    if call.attribute("input") == "steps" and not call.node.op.startswith("Q"):
        call.fail('input "steps" is only for operations of k-bit weights (Q...)')


def _rank(call: NodeCall) -> int:
    """The number of spatial axes that the name of the operation says."""
    return int(call.node.op[-2])


def _image(call: NodeCall, weights: Shape) -> Shape:
    shape = call.float_image()
    rank = _rank(call)
    if len(shape) != rank + 2 or len(weights) != rank + 2:
        call.fail(
            f"its input {shape_text(shape)} and weight_shape {list(weights)} must have "
            f"{rank + 2} sizes"
        )
    return shape


def _convolution(call: NodeCall) -> Results:
    weights, bits = _codes(call, 1)
    shape = _image(call, weights)
    group = call.attribute("group")
    if shape[1] != weights[-1] * group or weights[0] % group:
        call.fail(
            f"weight_shape {list(weights)} with group {group} does not fit the input "
            f"{shape_text(shape)}"
        )
    _input_fits(call)
    _require_exact(call, weights, bits)
    kernel = weights[1:-1]
    out = window_sizes(call, shape[2:], kernel)
    count_convolution(call, shape, kernel, out, size(weights))
    return [((None, weights[0], *out), call.dtype(0))]


def _transposed_convolution(call: NodeCall) -> Results:
    weights, bits = _codes(call, 1)
    shape = _image(call, weights)
    if shape[1] != weights[-1]:
        call.fail(
            f"weight_shape {list(weights)} does not fit the input {shape_text(shape)}"
        )
    _input_fits(call)
    _require_exact(call, weights, bits)
    kernel = weights[1:-1]
    out = transposed_sizes(call, shape[2:], kernel)
    image = (None, weights[0], *out)
    count_convolution(call, image, kernel, shape[2:], size(weights))
    return [(image, call.dtype(0))]


def _dense(call: NodeCall) -> Results:
    weights, bits = _codes(call, 1)
    shape = call.shape(0)
    call.same_dtype([0], "f")
    if len(weights) != 2 or len(shape) < 2 or shape[-1] != weights[1]:
        call.fail(
            f"weight_shape {list(weights)} does not fit the input {shape_text(shape)}"
        )
    call.require(call.has_batch(0), "its input has no batch")
    _input_fits(call)
    _require_exact(call, weights, bits)
    call.macs = size(shape) * weights[0]
    return [((*shape[:-1], weights[0]), call.dtype(0))]


_WEIGHTS = {"weight_shape": integers(1, MAX_SIZE, default=REQUIRED)}
_CODES = {"bits": integer(1, MAX_BITS), "step": number(), "offset": number()}
_INPUT = {
    "input": choice(
        "sign", "heaviside", "ternary", "steps", "integer", default=REQUIRED
    )
}
_PAD_VALUE = Attribute("float", "-1, 0 or 1", lambda value: value in (-1, 0, 1), 0.0)
_STEPS = Attribute(
    "float",
    "a whole number, 1 to 255",
    lambda value: 1 <= value <= 255 and value.is_integer(),
    REQUIRED,
)
# Attributes by the first letter of the name: binary, ternary, k bits.
_WIDTHS = {"B": {}, "T": {}, "Q": {**_CODES, "input_steps": _STEPS}}


def _layers() -> dict[str, Operator]:
    table = {}
    for letter, codes in _WIDTHS.items():
        common = {**_WEIGHTS, **_INPUT, **codes}
        table[f"{letter}Dense"] = Operator(_dense, (2, 2), common)
        convolution = {**common, **CONVOLUTION, "pad_value": _PAD_VALUE}
        transposed = {
            **common,
            **CONVOLUTION,
            "group": integer(1, 1, 1),
            "output_padding": integers(0),
        }
        for rank in (1, 2, 3):
            table[f"{letter}Conv{rank}D"] = Operator(_convolution, (2, 2), convolution)
            table[f"{letter}ConvTranspose{rank}D"] = Operator(
                _transposed_convolution, (2, 2), transposed
            )
    return table


TABLE: dict[str, Operator] = {
    "Sign": Operator(_quantizer),
    "Heaviside": Operator(_quantizer),
    "Ternary": Operator(_quantizer, (1, 1), {"threshold": number()}),
    "Steps": Operator(_quantizer, (1, 1), {"bits": integer(1, MAX_BITS)}),
    "Unpack": Operator(_unpack, (1, 1), {**_WEIGHTS, **_CODES}),
    **_layers(),
}
