"""Random single nodes of every operation, sensible ones and nonsense alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from tests.runtime.files import PACKED, codes

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


@strategy("Reshape")
def reshape(draw, op):
    sizes = shape(draw, 1)
    target = draw(st.permutations(sizes))
    if draw(st.booleans()):
        target = [math.prod(target)]
    target = [draw(st.sampled_from([0, -1, 2])), *target]
    if draw(st.booleans()):
        target[draw(st.integers(0, len(target) - 1))] = draw(
            st.sampled_from([-1, 0, 3])
        )
    return Case(op, {0: array(draw, (2, *sizes))}, {1: list_of(target)})


@strategy("Transpose")
def transpose(draw, op):
    sizes = shape(draw)
    order = draw(st.permutations(range(1, len(sizes) + 1)))
    if draw(st.integers(0, 5)):
        return Case(op, {0: array(draw, (2, *sizes))}, attributes={"perm": [0, *order]})
    return Case(op, {0: array(draw, (2, *sizes))}, attributes={"perm": [*order, 0]})


@strategy("Squeeze", "Unsqueeze")
def squeeze(draw, op):
    sizes = [1 if draw(st.booleans()) else n for n in shape(draw)]
    axes = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=2))
    if op == "Squeeze" and draw(st.booleans()):
        axes = [axis for axis, n in enumerate(sizes, 1) if n == 1] or axes
    return Case(op, {0: array(draw, (2, *sizes))}, {1: list_of(axes)})


@strategy("Expand", "Tile")
def stretch(draw, op):
    sizes = [1 if draw(st.booleans()) else n for n in shape(draw)]
    wanted = [
        1,
        *(n if draw(st.booleans()) else draw(st.integers(0, 3)) for n in sizes),
    ]
    wanted = wanted[draw(st.integers(0, 1)) :] or [1]
    return Case(op, {0: array(draw, (2, *sizes))}, {1: list_of(wanted)})


@strategy("Concat")
def concat(draw, op):
    sizes = (2, *shape(draw, 1, 3))
    axis = draw(st.integers(-4, 3))
    case = Case(op, attributes={"axis": axis})
    for index in range(draw(st.integers(1, 3))):
        new = list(sizes)
        if -len(sizes) <= axis < len(sizes) and axis % len(sizes):
            new[axis] = draw(SIZES)
        case.fed[index] = array(draw, new)
    return case


@strategy("Split")
def split(draw, op):
    sizes = shape(draw, 1)
    axis = draw(st.integers(-len(sizes), len(sizes)))
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes={"axis": axis})
    if draw(st.booleans()):
        parts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
        if axis % (len(sizes) + 1) and draw(st.integers(0, 3)):
            new = list(case.fed[0].shape)
            new[axis] = sum(parts)
            case.fed[0] = array(draw, new)
        case.constants[1] = list_of(parts)
        case.outputs = len(parts)
    else:
        case.outputs = case.attributes["num_outputs"] = draw(st.integers(1, 4))
    return case


@strategy("Slice")
def slices(draw, op):
    sizes = shape(draw, 1, 3)
    count = draw(st.integers(1, len(sizes)))
    bounds = st.sampled_from([-100, -5, -3, -2, -1, 0, 1, 2, 3, 5, 100, 2**62])
    axes = draw(st.permutations(range(1, len(sizes) + 1)))[:count]
    if draw(st.booleans()):
        axes = [axis - len(sizes) - 1 for axis in axes]
    constants = {
        1: list_of(draw(bounds) for _ in axes),
        2: list_of(draw(bounds) for _ in axes),
        3: list_of(axes),
    }
    if draw(st.booleans()):
        constants[4] = list_of(draw(st.sampled_from([-3, -1, 1, 2, 5])) for _ in axes)
    return Case(op, {0: array(draw, (2, *sizes))}, constants)


@strategy("Pad")
def pad(draw, op):
    sizes = shape(draw, 1, 3)
    mode = draw(st.sampled_from(["constant", "edge", "reflect"]))
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes={"mode": mode})
    if draw(st.booleans()):
        axes = list(draw(st.permutations(range(1, len(sizes) + 1))))
        axes = axes[: draw(st.integers(1, len(axes)))]
        case.constants[3] = list_of(axes)
        case.constants[1] = list_of(ints(draw, 2 * len(axes), 0, 3))
    else:
        before, after = ints(draw, len(sizes), 0, 3), ints(draw, len(sizes), 0, 3)
        case.constants[1] = list_of([0, *before, 0, *after])
    if draw(st.booleans()):
        case.constants[2] = array(draw, draw(st.sampled_from([(), (), (1,)])))
    return case


@strategy("Gather")
def gather(draw, op):
    given = {"axis": draw(st.integers(-3, 3))}
    indices = st.integers(-4, 5)
    if draw(st.booleans()):
        table = array(draw, shape(draw, 1, 2))
        rows = np.array(draw(st.lists(indices, min_size=2, max_size=2)))
        rows = np.clip(rows, 0, len(table) - 1).astype(np.int64)
        return Case(op, {1: rows}, {0: table}, {})
    chosen = np.array(draw(st.lists(indices, min_size=1, max_size=3)), np.int64)
    if draw(st.booleans()):
        chosen = chosen[0].reshape(())
    return Case(op, {0: array(draw, (2, *shape(draw)))}, {1: chosen}, given)


@strategy("Resize")
def resize(draw, op):
    rank = draw(st.integers(1, 3))
    sizes = (draw(SIZES), *ints(draw, rank, 1, 5))
    modes = st.sampled_from(
        ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    )
    nearest = st.sampled_from(
        ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
    )
    given = maybe(
        draw,
        {
            "mode": st.sampled_from(["nearest", "linear", "cubic"]),
            "coordinate_transformation_mode": modes,
            "nearest_mode": nearest,
        },
    )
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes=given)
    if draw(st.booleans()):
        factors = [
            draw(st.sampled_from([0.5, 1.0, 1.7, 2.0, 3.0])) for _ in range(rank)
        ]
        case.constants[2] = np.array([1, 1, *factors], np.float32)
    else:
        given["axes"] = list(range(2, rank + 2))
        case.constants[3] = list_of(ints(draw, rank, 1, 9))
    return case


@strategy("DepthToSpace", "SpaceToDepth")
def blocks(draw, op):
    block = draw(st.integers(1, 3))
    many = block**2 if op == "DepthToSpace" else 1
    side = block if op == "SpaceToDepth" else 1
    sizes = (draw(SIZES) * many, draw(SIZES) * side, draw(SIZES) * side)
    given = {"blocksize": block}
    if op == "DepthToSpace":
        given |= maybe(draw, {"mode": st.sampled_from(["DCR", "CRD"])})
    return Case(op, {0: array(draw, (2, *sizes))}, attributes=given)


@strategy("Heaviside", "Ternary", "Steps")
def quantizer(draw, op):
    given = {"Ternary": {"threshold": 0.5}, "Steps": {"bits": draw(st.integers(1, 8))}}
    fed = {0: array(draw, (2, *shape(draw)))}
    return Case(op, fed, attributes=given.get(op, {}), domain=PACKED)


def coded(draw, op: str) -> tuple[int, dict]:
    """Bits of a weight, and the attributes of its codes."""
    bits = {"B": 1, "T": 2}.get(op[0], draw(st.integers(1, 8)))
    if op[0] in "BT":
        return bits, {}
    return bits, {"bits": bits, "step": 2.0, "offset": 1.0 - 2**bits}


def layer_input(draw, op: str) -> dict:
    words = ["sign", "heaviside", "ternary", "integer"] + ["steps"] * (op[0] == "Q")
    steps = {"input_steps": float(draw(st.integers(1, 15)))} if op[0] == "Q" else {}
    return {"input": draw(st.sampled_from(words)), **steps}


def whole(draw, sizes) -> np.ndarray:
    return np.round(array(draw, sizes))


@strategy("BDense", "TDense", "QDense")
def packed_dense(draw, op):
    sizes = (2, *shape(draw, 1, 3))
    weights = [draw(SIZES), sizes[-1]]
    bits, attributes = coded(draw, op)
    attributes |= {"weight_shape": weights, **layer_input(draw, op)}
    stored = codes(math.prod(weights), bits)
    return Case(op, {0: whole(draw, sizes)}, {1: stored}, attributes, domain=PACKED)


@strategy(*(f"{kind}Conv{rank}D" for kind in "BTQ" for rank in (1, 2, 3)))
def packed_convolution(draw, op):
    rank = int(op[-2])
    group = draw(st.sampled_from([1, 1, 2, 3]))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = ints(draw, rank, 1, 3)
    weights = [outputs * group, *kernel, inputs]
    bits, attributes = coded(draw, op)
    attributes |= {
        "weight_shape": weights,
        **layer_input(draw, op),
        "strides": ints(draw, rank, 1, 3),
        "dilations": ints(draw, rank, 1, 2),
        "group": group,
        "pads": ints(draw, 2 * rank, 0, 2),
        "pad_value": draw(st.sampled_from([-1.0, 0.0, 1.0])),
    }
    fed = {0: whole(draw, (2, inputs * group, *ints(draw, rank, 1, 6)))}
    stored = codes(math.prod(weights), bits)
    return Case(op, fed, {1: stored}, attributes, domain=PACKED)


@strategy(*(f"{kind}ConvTranspose{rank}D" for kind in "BTQ" for rank in (1, 2, 3)))
def packed_transposed(draw, op):
    rank = int(op[-2])
    case = packed_convolution(draw, op)
    given = case.attributes
    given["weight_shape"][-1] = case.fed[0].shape[1]
    bits = {"B": 1, "T": 2}.get(op[0]) or given["bits"]
    case.constants[1] = codes(math.prod(given["weight_shape"]), bits)
    del given["pad_value"]
    given["group"] = 1
    given["output_padding"] = ints(draw, rank, 0, 1)
    return case
