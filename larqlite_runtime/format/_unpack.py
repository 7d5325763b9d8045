"""`Unpack`: float32 weights from codes of a few bits."""

from __future__ import annotations

from larqlite_runtime.format._attributes import REQUIRED, integer, integers, number
from larqlite_runtime.format._operation import Operation
from larqlite_runtime.format._value_types import MOST_BITS

MAX_SIZE = (1 << 31) - 1
WEIGHTS = {"weight_shape": integers(1, MAX_SIZE, default=REQUIRED)}
CODES = {"bits": integer(1, MOST_BITS), "step": number(), "offset": number()}

# Bits of a byte, low first, are a row; the rows are the stream.
UNPACK = Operation(
    name="Unpack",
    attributes={**WEIGHTS, **CODES},
    body="""
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
}""",
)
