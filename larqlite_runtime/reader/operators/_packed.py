"""The operations of the domain `ai.larqlite`: quantizers, and layers of packed weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from larqlite_runtime._errors import shape_text
from larqlite_runtime._graph import Shape
from larqlite_runtime.format import (
    EXACT,
    NAMED_INPUTS,
    OPERATIONS,
    LayerOperation,
    Operation,
    QuantizerOperation,
    RowOperation,
    grid_of,
    input_steps,
    type_of_input,
    unpack_codes,
)
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)
from larqlite_runtime.reader.operators._products import (
    FLOAT_BYTES,
    count_convolution,
    transposed_sizes,
    window_sizes,
)


def _quantizer(call: NodeCall) -> Results:
    return [(call.shape(0), call.same_dtype([0], "f"))]


def _row(call: NodeCall) -> Results:
    shape = call.shape(0)
    call.require(
        len(shape) > 1 and call.has_batch(0), "its input has no rows in a batch"
    )
    return [((*shape[:-1], 1), call.same_dtype([0], "f"))]


def _codes(call: NodeCall, index: int) -> tuple[Shape, int]:
    """`weight_shape` and the width of packed weights; their bytes must be as many."""
    shape = tuple(call.attribute("weight_shape"))
    bits = grid_of(call.node).bits
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
    largest = 1
    said = type_of_input(call.attribute("input"), input_steps(call.node))
    steps = int(input_steps(call.node)) if said is None else said.largest
    if call.node.op.startswith("Q"):
        step, offset = call.attribute("step"), call.attribute("offset")
        call.require(
            step == int(step) and offset == int(offset),
            f"step {step} and offset {offset} must be integers",
        )
        largest = int(max(abs(offset), abs(offset + step * ((1 << bits) - 1))))
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
    codes = unpack_codes(stored, rows * count, bits).reshape(rows, count)
    return np.stack([np.bincount(row, minlength=1 << bits) for row in codes])


def _input_fits(call: NodeCall) -> None:
    said = call.attribute("input")
    if said not in NAMED_INPUTS and not call.node.op.startswith("Q"):
        word = said.partition(":")[0]
        call.fail(f'input "{word}" is only for operations of k-bit weights (Q...)')


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


_FAMILIES = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Dense": _dense,
}


def _rule(operation: Operation) -> Callable[[NodeCall], Results]:
    if isinstance(operation, LayerOperation):
        return _FAMILIES[operation.family]
    if isinstance(operation, RowOperation):
        return _row
    return _quantizer if isinstance(operation, QuantizerOperation) else _unpack


class _Table(Mapping[str, Operator]):
    """The operations of the format, as they are when they are asked for."""

    def __getitem__(self, name: str) -> Operator:
        operation = OPERATIONS[name]
        inputs = (operation.inputs,) * 2
        return Operator(_rule(operation), inputs, operation.attributes)

    def __iter__(self) -> Iterator[str]:
        return iter(OPERATIONS)

    def __len__(self) -> int:
        return len(OPERATIONS)


TABLE = _Table()
