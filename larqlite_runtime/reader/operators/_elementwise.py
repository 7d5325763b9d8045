"""Operations on each value by itself, with broadcasting where there are several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larqlite_runtime._errors import shape_text
from larqlite_runtime.format import axis, integer, number, only
from larqlite_runtime.reader._tensors import DTYPES
from larqlite_runtime.reader.operators._node_call import NodeCall, Operator, Results

_BOOL, _FLOAT = np.dtype(bool), np.dtype(np.float32)


def elementwise(
    kinds: str, result: np.dtype | None = None
) -> Callable[[NodeCall], Results]:
    """A rule: inputs of one dtype, stretched to each other.

    `kinds` are the NumPy kinds of dtypes that are allowed; `result` the dtype that
    comes out, if it is not that of the inputs.
    """

    def rule(call: NodeCall) -> Results:
        dtype = call.same_dtype(call.given, kinds)
        shape = call.broadcast(*[call.shape(index) for index in call.given])
        return [(shape, dtype if result is None else result)]

    return rule


def unary(kinds: str = "f", **attributes) -> Operator:
    """An operation on one tensor."""
    return Operator(elementwise(kinds), (1, 1), attributes, is_elementwise=True)


def binary(kinds: str, result: np.dtype | None = None) -> Operator:
    """An operation on two tensors."""
    return Operator(elementwise(kinds, result), (2, 2), is_elementwise=True)


def several() -> Operator:
    """An operation on any number of tensors."""
    return Operator(elementwise("f"), (1, 64), is_elementwise=True)


def _prelu(call: NodeCall) -> Results:
    dtype = call.same_dtype([0, 1], "f")
    shape = call.broadcast(call.shape(0), call.shape(1))
    call.require(
        shape == call.shape(0),
        f"the slopes {shape_text(call.shape(1))} do not fit into the input "
        f"{shape_text(call.shape(0))}",
    )
    return [(shape, dtype)]


def _clip(call: NodeCall) -> Results:
    dtype = call.same_dtype(call.given, "fi")
    for index in call.given[1:]:
        call.require(call.shape(index) == (), "its bounds must be single numbers")
    return [(call.shape(0), dtype)]


def _where(call: NodeCall) -> Results:
    call.same_dtype([0], "b")
    dtype = call.same_dtype([1, 2], "fib")
    return [(call.broadcast(*map(call.shape, range(3))), dtype)]


def _cast(call: NodeCall) -> Results:
    to = call.attribute("to")
    call.require(
        to in DTYPES, f"it casts to the data type {to}, which is not supported"
    )
    return [(call.shape(0), DTYPES[to])]


def _softmax(call: NodeCall) -> Results:
    dtype = call.same_dtype([0], "f")
    shape = call.shape(0)
    call.axis(call.attribute("axis"), len(shape), call.has_batch(0))
    return [(shape, dtype)]


def _layer_normalization(call: NodeCall) -> Results:
    dtype = call.same_dtype(call.given, "f")
    shape = call.shape(0)
    first = call.axis(call.attribute("axis"), len(shape), call.has_batch(0))
    for index in call.given[1:]:
        call.require(
            call.shape(index) == shape[first:],
            f"scale and offset must have the shape {shape_text(shape[first:])}, not "
            f"{shape_text(call.shape(index))}",
        )
    return [(shape, dtype)]


# Bytes of all constants of the file, and of what exclusive ors have made of them.
_MADE = ("", "bytes of exclusive ors")


def _bitwise_xor(call: NodeCall) -> Results:
    """Bits of two constants, which is a constant: the planes of a table's codes."""
    first, second = (call.constant(index, np.uint8) for index in range(2))
    call.require(first.shape == second.shape, "its inputs differ in their sizes")
    # A table of 4 bits needs 11 of them, of a quarter of its kernel each.
    made = call.facts.setdefault(_MADE, [0, 0])
    if not made[0]:
        made[0] = sum(array.nbytes for array in call.graph.constants.values())
    made[1] += first.nbytes
    call.require(made[1] <= 16 * made[0], "too many bits are made of those of the file")
    call.graph.constants[call.node.outputs[0]] = first ^ second
    return [(call.shape(0), np.dtype(np.uint8))]


# Integers are divided nowhere: a zero in them would end the process.
TABLE: dict[str, Operator] = {
    "BitwiseXor": Operator(_bitwise_xor, (2, 2)),
    **{name: unary("fi") for name in ("Abs", "Neg", "Sign")},
    **{name: unary("fiub") for name in ("Identity",)},
    **{
        name: unary()
        for name in (
            *("Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Log", "Mish"),
            *("Reciprocal", "Relu", "Round", "Sigmoid", "Sin", "Softplus", "Softsign"),
            *("Sqrt", "Tanh"),
        )
    },
    "LeakyRelu": unary(alpha=number(0.01)),
    "ThresholdedRelu": unary(alpha=number(1.0)),
    "Elu": unary(alpha=number(1.0)),
    "Celu": unary(alpha=number(1.0, low=1e-6)),
    "Selu": unary(alpha=number(1.6732631921768188), gamma=number(1.0507010221481323)),
    "HardSigmoid": unary(alpha=number(0.2), beta=number(0.5)),
    "Not": unary("b"),
    **{name: binary("fi") for name in ("Add", "Sub", "Mul")},
    **{name: binary("f") for name in ("Div", "Pow")},
    **{name: binary("b") for name in ("And", "Or", "Xor")},
    **{
        name: binary("fi", _BOOL)
        for name in ["Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
    },
    "Equal": binary("fib", _BOOL),
    **{name: several() for name in ("Max", "Min", "Sum", "Mean")},
    "PRelu": Operator(_prelu, (2, 2), is_elementwise=True),
    "Clip": Operator(_clip, (1, 3), is_elementwise=True),
    "Where": Operator(_where, (3, 3), is_elementwise=True),
    "Cast": Operator(_cast, (1, 1), {"to": integer(0, 255)}, is_elementwise=True),
    "Softmax": Operator(_softmax, (1, 1), {"axis": axis(-1)}),
    "LogSoftmax": Operator(_softmax, (1, 1), {"axis": axis(-1)}),
    "LayerNormalization": Operator(
        _layer_normalization,
        (2, 3),
        {"axis": axis(-1), "epsilon": number(1e-5, low=0.0), "stash_type": only(1)},
    ),
}
