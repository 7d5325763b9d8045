"""Random single nodes of every operation, sensible ones and nonsense alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

SIZES = st.integers(1, 6)
FLOAT, INT, BOOL = np.float32, np.int64, np.bool_


@dataclass
class Case:
    """A node with inputs `i0`, `i1`...: arrays that are fed, and constants.

    A fed array has its batch of 2 first; `static` are fed neither nor stored, but
    computed in the graph without a batch.
    """

    op: str
    fed: dict[int, np.ndarray] = field(default_factory=dict)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, object] = field(default_factory=dict)
    outputs: int = 1
    domain: str = ""

    @property
    def inputs(self) -> list[str]:
        count = max([*self.fed, *self.constants], default=-1) + 1
        known = {**self.fed, **self.constants}
        return [f"i{number}" if number in known else "" for number in range(count)]


Strategy = Callable[[st.DrawFn, str], Case]
STRATEGIES: dict[str, Strategy] = {}


def strategy(*ops: str) -> Callable[[Strategy], Strategy]:
    def register(function: Strategy) -> Strategy:
        STRATEGIES.update(dict.fromkeys(ops, function))
        return function

    return register


def case_of(op: str) -> st.SearchStrategy[Case]:
    return st.composite(lambda draw: STRATEGIES[op](draw, op))()


def array(draw: st.DrawFn, shape, dtype=FLOAT) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    if dtype is BOOL:
        return rng.random(shape) > 0.5
    values = rng.normal(size=shape) * 2
    return np.asarray(values).astype(dtype)


def shape(draw: st.DrawFn, least: int = 0, most: int = 4) -> tuple[int, ...]:
    return tuple(draw(st.lists(SIZES, min_size=least, max_size=most)))


def maybe(draw: st.DrawFn, attributes: dict[str, st.SearchStrategy]) -> dict:
    """Some of the attributes."""
    return {
        name: draw(values) for name, values in attributes.items() if draw(st.booleans())
    }


def ints(draw: st.DrawFn, length: int, low: int, high: int) -> list[int]:
    return [draw(st.integers(low, high)) for _ in range(length)]


def list_of(values) -> np.ndarray:
    return np.array(list(values), np.int64)


@strategy("Abs", "Neg", "Sign", "Identity")
def any_unary(draw, op):
    dtype = draw(st.sampled_from([FLOAT, INT, np.int32]))
    return Case(op, {0: array(draw, (2, *shape(draw)), dtype)})


@strategy(
    *("Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Log", "Mish", "Reciprocal"),
    *("Relu", "Round", "Sigmoid", "Sin", "Softplus", "Softsign", "Sqrt", "Tanh"),
    *("LeakyRelu", "ThresholdedRelu", "Elu", "Celu", "Selu", "HardSigmoid"),
)
def unary(draw, op):
    names = {"HardSigmoid": ["alpha", "beta"], "Selu": ["alpha", "gamma"]}.get(op, [])
    if op in ("LeakyRelu", "ThresholdedRelu", "Elu", "Celu"):
        names = ["alpha"]
    given = maybe(draw, {name: st.sampled_from([0.1, 1.5, 3.0]) for name in names})
    return Case(op, {0: array(draw, (2, *shape(draw)))}, attributes=given)


@strategy("Not")
def logical_not(draw, op):
    return Case(op, {0: array(draw, (2, *shape(draw)), BOOL)})


@strategy(
    *("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Less", "LessOrEqual"),
    *("Greater", "GreaterOrEqual", "Equal", "Max", "Min", "Sum", "Mean", "PRelu"),
)
def binary(draw, op):
    dtype = BOOL if op in ("And", "Or", "Xor") else FLOAT
    if op in ("Add", "Mul", "Less", "Equal") and draw(st.booleans()):
        dtype = INT
    case = Case(op)
    count = draw(st.integers(1, 4)) if op in ("Max", "Min", "Sum", "Mean") else 2
    full = shape(draw, 1, 3)
    for index in range(count):
        sizes = [1 if draw(st.integers(0, 3)) == 0 else n for n in full]
        if draw(st.integers(0, 9)) == 0:
            sizes[0] += 1
        if draw(st.booleans()) or index == 0:
            case.fed[index] = array(draw, (2, *sizes), dtype)
        else:
            lead = [1] * draw(st.integers(0, 2))
            sizes = [*lead, *sizes][draw(st.integers(0, 2)) :]
            case.constants[index] = array(draw, sizes, dtype)
    return case


@strategy("Clip")
def clip(draw, op):
    case = Case(op, {0: array(draw, (2, *shape(draw)))})
    for index in (1, 2):
        if draw(st.booleans()):
            sizes = draw(st.sampled_from([(), (), (1,), (2,)]))
            case.constants[index] = array(draw, sizes)
    return case


@strategy("Where")
def where(draw, op):
    case = binary(draw, "Add")
    known = {**case.fed, **case.constants}
    chosen = known[0].astype(bool)
    other = {1: case.fed.get(1), 2: known[0]}
    fed = {0: chosen, **{k: v for k, v in other.items() if v is not None}}
    return Case(op, fed, {k: case.constants[k] for k in case.constants})


@strategy("Cast")
def cast(draw, op):
    to = draw(st.sampled_from([1, 6, 7, 9, 10, 13]))
    return Case(op, {0: array(draw, (2, *shape(draw)))}, attributes={"to": to})


@strategy("Softmax", "LogSoftmax", "LayerNormalization", "Flatten")
def along_axis(draw, op):
    sizes = shape(draw)
    given = maybe(draw, {"axis": st.integers(-5, 4)})
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes=given)
    if op == "LayerNormalization":
        axis = given.get("axis", -1)
        ours = (2, *sizes)[axis:] if axis else ()
        case.constants[1] = array(draw, ours)
        if draw(st.booleans()):
            case.constants[2] = array(draw, ours)
    return case


def window(draw, op: str, rank: int) -> dict:
    given = {
        "strides": st.just(ints(draw, rank, 1, 3)),
        "dilations": st.just(ints(draw, rank, 1, 2)),
        "pads": st.just(ints(draw, 2 * rank, 0, 3)),
    }
    return maybe(draw, given)


@strategy("Conv", "ConvTranspose")
def convolution(draw, op):
    rank = draw(st.integers(1, 3))
    group = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = ints(draw, rank, 1, 4)
    sizes = ints(draw, rank, 1, 7)
    given = {**window(draw, op, rank), "group": group}
    if draw(st.booleans()):
        given["kernel_shape"] = kernel
    channels = inputs * group + (draw(st.integers(0, 12)) == 0)
    if op == "Conv":
        weights, bias = (outputs * group, inputs, *kernel), outputs * group
    else:
        weights, bias = (inputs * group, outputs, *kernel), outputs * group
        if draw(st.booleans()):
            given["output_padding"] = ints(draw, rank, 0, 2)
    case = Case(op, {0: array(draw, (2, channels, *sizes))}, attributes=given)
    case.constants[1] = array(draw, weights)
    if draw(st.booleans()):
        case.constants[2] = array(draw, (bias,))
    return case


@strategy("MatMul")
def matrix_product(draw, op):
    inner = draw(SIZES)
    if draw(st.integers(0, 3)) == 0:
        right = array(draw, (2, *shape(draw, 0, 2), inner, draw(SIZES)))
        return Case(op, {1: right}, {0: array(draw, (draw(SIZES), inner))})
    left = (2, *shape(draw, 0, 2), inner)
    case = Case(op, {0: array(draw, left)})
    if draw(st.booleans()):
        case.constants[1] = array(draw, (*shape(draw, 0, 1), inner, draw(SIZES)))
    else:
        case.fed[1] = array(draw, (*left[:-2], inner, draw(SIZES)))
    return case


@strategy("Gemm")
def gemm(draw, op):
    inner, outputs = draw(SIZES), draw(SIZES)
    given = maybe(
        draw, {"transB": st.integers(0, 1), "alpha": st.just(0.5), "beta": st.just(2.0)}
    )
    weights = (outputs, inner) if given.get("transB") else (inner, outputs)
    case = Case(op, {0: array(draw, (2, inner))}, {1: array(draw, weights)}, given)
    if draw(st.booleans()):
        sizes = draw(st.sampled_from([(outputs,), (1, outputs), (1,), (), (2, 1)]))
        case.constants[2] = array(draw, sizes)
    return case


@strategy("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")
def pool(draw, op):
    rank = draw(st.integers(1, 3))
    case = Case(op, {0: array(draw, (2, draw(SIZES), *ints(draw, rank, 1, 7)))})
    if not op.startswith("Global"):
        case.attributes = window(draw, op, rank)
        case.attributes.pop("dilations", None)
        case.attributes["kernel_shape"] = ints(draw, rank, 1, 3)
        if op == "AveragePool" and draw(st.booleans()):
            case.attributes["count_include_pad"] = 1
    return case


@strategy(
    *("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)
def reduction(draw, op):
    flags = st.integers(0, 1)
    given = maybe(draw, {"keepdims": flags, "noop_with_empty_axes": flags})
    case = Case(op, {0: array(draw, (2, *shape(draw, 1)))}, attributes=given)
    if draw(st.integers(0, 4)):
        axes = draw(st.lists(st.integers(-4, 4), max_size=3, min_size=1))
        case.constants[1] = list_of(axes)
    return case
