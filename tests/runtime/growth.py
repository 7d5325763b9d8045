"""Random sound models, grown node by node: whatever the reader takes may stand in one."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np

from larqlite_runtime.format import DOMAIN as PACKED
from tests.runtime.growth_model import Model

UNARY = (
    *("Relu", "Abs", "Neg", "Sigmoid", "Tanh", "Identity", "Round", "Floor"),
    *("Softplus", "HardSwish", "Sign"),
)


def grown(rng: random.Random) -> bytes:
    """A random sound model with a few outputs."""
    while True:
        model = Model(rng)
        for _ in range(rng.choice([3, 6, 10, 20, 30])):
            model.grow(GROWTH)
        made = [node["output"][0] for node in model.nodes]
        floats = [name for name in made if model.dtypes[name] == np.float32]
        if floats:
            count = rng.choice([1, 1, 1, 2, 3])
            outputs = {floats[-1], *rng.sample(floats, min(count - 1, len(floats)))}
            return model.bytes(sorted(outputs))


def _unary(model: Model, x: str, shape: tuple) -> None:
    model.node(model.rng.choice(UNARY), [x])


def _scale(model: Model, x: str, shape: tuple) -> None:
    """A constant for each channel, as normalizations have it, or of another shape."""
    rank = len(shape)
    kept = model.rng.choice([1, 1, 1, rank - 1, None])
    sizes = [n if axis == kept else 1 for axis, n in enumerate(shape)][1:]
    if model.rng.random() < 0.2:
        sizes = []
    model.node(
        model.rng.choice(["Mul", "Add", "Sub", "Mul", "Max"]), [x, model.floats(*sizes)]
    )


def _normalize(model: Model, x: str, shape: tuple) -> None:
    if len(shape) < 2:
        return
    sizes = (shape[1], *[1] * (len(shape) - 2))
    model.node("Mul", [x, model.floats(*sizes)])
    model.node("Add", [model.nodes[-1]["output"][0], model.floats(*sizes)])


def _activation(model: Model, x: str, shape: tuple) -> None:
    rng = model.rng
    choice = rng.randrange(4)
    if choice == 0:
        model.node("LeakyRelu", [x], alpha=rng.choice([0.1, -0.5, 2.0]))
    elif choice == 1:
        sizes = (shape[1], *[1] * (len(shape) - 2)) if len(shape) > 1 else (1,)
        model.node("PRelu", [x, model.floats(*sizes)])
    elif choice == 2:
        low, high = rng.choice([(-1, 1), (0, 6), (0, 1), (1, -1)])
        bounds = [model.constant(np.float32(bound)) for bound in (low, high)]
        model.node("Clip", [x, *bounds])
    else:
        model.node("Softmax", [x], axis=rng.choice([-1, 1]))


def _sum(model: Model, x: str, shape: tuple) -> None:
    """Two tensors of one shape: a residual connection."""
    same = [name for name, other in model.shapes.items() if other == shape]
    op = model.rng.choice(["Add", "Add", "Add", "Mul", "Sub", "Min"])
    model.node(op, [x, model.rng.choice(same)])


def _join(model: Model, x: str, shape: tuple) -> None:
    fitting = [
        name
        for name, other in model.shapes.items()
        if len(other) == len(shape) and other[2:] == shape[2:]
    ]
    others = [model.rng.choice(fitting) for _ in range(model.rng.choice([1, 1, 2]))]
    model.node("Concat", [x, *others], axis=1)


def _quantizer(model: Model, x: str, shape: tuple) -> None:
    op = model.rng.choice(["Sign", "Sign", "Sign", "Heaviside", "Ternary", "Steps"])
    given = {
        "Ternary": {"threshold": model.rng.choice([0.5, 0.0, -0.25])},
        "Steps": {"bits": model.rng.choice([1, 2, 3, 4])},
    }
    model.node(op, [x], PACKED, **given.get(op, {}))


def _levels(model: Model, x: str, shape: tuple) -> tuple[str, dict, float]:
    """A quantized tensor, what it holds, and its steps."""
    op = model.rng.choice(["Sign", "Sign", "Heaviside", "Ternary", "Steps", ""])
    if not op:
        model.node("Round", [x])
        return model.nodes[-1]["output"][0], {"input": "integer"}, 1.0
    bits = model.rng.choice([1, 2, 3])
    given = {"Ternary": {"threshold": 0.5}, "Steps": {"bits": bits}}.get(op, {})
    model.node(op, [x], PACKED, **given)
    steps = float(2**bits - 1) if op == "Steps" else 1.0
    return model.nodes[-1]["output"][0], {"input": op.lower()}, steps


def _layer(model: Model, x: str, shape: tuple) -> tuple[str, str, dict, int]:
    """The letter, the input, the attributes and the width of a packed layer."""
    x, given, steps = _levels(model, x, shape)
    letter = model.rng.choice("BBBTQ") if given["input"] != "steps" else "Q"
    bits = {"B": 1, "T": 2}.get(letter) or model.rng.choice([1, 2, 3, 4])
    if letter == "Q":
        codes = {
            "bits": bits,
            "step": 2.0,
            "offset": 1.0 - 2**bits,
            "input_steps": steps,
        }
        if bits == 2:
            codes |= {"step": 1.0, "offset": -1.0}  # holds no code 3
        given |= codes
    return letter, x, given, bits


def _packed_convolution(model: Model, x: str, shape: tuple) -> None:
    rng, rank = model.rng, len(shape) - 2
    if rank < 1:
        return
    letter, x, given, bits = _layer(model, x, shape)
    kernel = [rng.choice([1, 1, 2, 3, 3]) for _ in range(rank)]
    group = rng.choice([1, 1, 1, 2, shape[1]])
    outputs = rng.choice([1, 2, 3, 8, 16, 17, 32, 40])
    outputs = outputs if group == 1 else group * rng.choice([1, 1, 2])
    weights = [outputs, *kernel, shape[1] // group]
    pads = [rng.choice([0, n // 2]) for n in kernel] * 2
    if rng.random() < 0.3:
        pads = [rng.randrange(3) for _ in pads]
    stored = model.codes(math.prod(weights), bits)
    model.node(
        f"{letter}Conv{rank}D",
        [x, stored],
        PACKED,
        weight_shape=weights,
        strides=[rng.choice([1, 1, 2, 3]) for _ in kernel],
        dilations=[rng.choice([1, 1, 1, 2]) for _ in kernel],
        group=group,
        pads=pads,
        pad_value=rng.choice([0.0, 0.0, 1.0, -1.0]),
        **given,
    )


def _packed_transposed(model: Model, x: str, shape: tuple) -> None:
    rng, rank = model.rng, len(shape) - 2
    if rank < 1:
        return
    letter, x, given, bits = _layer(model, x, shape)
    kernel = [rng.choice([1, 2, 3]) for _ in range(rank)]
    weights = [rng.choice([1, 2, 8, 33]), *kernel, shape[1]]
    stored = model.codes(math.prod(weights), bits)
    strides = [rng.choice([1, 2, 3]) for _ in kernel]
    model.node(
        f"{letter}ConvTranspose{rank}D",
        [x, stored],
        PACKED,
        weight_shape=weights,
        strides=strides,
        dilations=[rng.choice([1, 1, 2]) for _ in kernel],
        group=1,
        pads=[rng.choice([0, 0, 1]) for _ in kernel * 2],
        output_padding=[rng.randrange(stride) for stride in strides],
        **given,
    )


def _packed_dense(model: Model, x: str, shape: tuple) -> None:
    letter, x, given, bits = _layer(model, x, shape)
    weights = [model.rng.choice([1, 2, 10, 16, 33, 64]), shape[-1] or 1]
    stored = model.codes(math.prod(weights), bits)
    model.node(f"{letter}Dense", [x, stored], PACKED, weight_shape=weights, **given)


def _convolution(model: Model, x: str, shape: tuple) -> None:
    rng, rank = model.rng, len(shape) - 2
    if rank < 1:
        return
    size = rng.choice([1, 1, 3])
    weights = model.floats(rng.choice([1, 3, 8, 32]), shape[1], *[size] * rank)
    model.node("Conv", [x, weights], pads=[size // 2] * 2 * rank)


def _pool(model: Model, x: str, shape: tuple) -> None:
    rng, rank = model.rng, len(shape) - 2
    kernel = [rng.choice([1, 2, 3]) for _ in range(rank)]
    op = rng.choice(["MaxPool", "AveragePool", "GlobalAveragePool"])
    if op.startswith("Global") or rank < 1:
        model.node("GlobalAveragePool", [x])
        return
    strides = [rng.choice([1, 2, 3]) for _ in kernel]
    pads = [rng.randrange(n) for n in kernel * 2]
    more = (
        {"count_include_pad": 1} if op == "AveragePool" and rng.random() < 0.3 else {}
    )
    model.node(op, [x], kernel_shape=kernel, strides=strides, pads=pads, **more)


def _reshape(model: Model, x: str, shape: tuple) -> None:
    rng, rank = model.rng, len(shape)
    choice = rng.randrange(5)
    if choice == 0:
        model.node("Flatten", [x], axis=1)
    elif choice == 1:
        order = list(range(1, rank))
        rng.shuffle(order)
        model.node("Transpose", [x], perm=[0, *order])
    elif choice == 2:
        sizes = list(shape[1:])
        rng.shuffle(sizes)
        model.node("Reshape", [x, model.ints(0, *sizes)])
    elif choice == 3:
        model.node("Unsqueeze", [x, model.ints(rng.randint(1, rank))])
    else:
        ones = [axis for axis, n in enumerate(shape) if n == 1] or [1]
        model.node("Squeeze", [x, model.ints(rng.choice(ones))])


def _cut(model: Model, x: str, shape: tuple) -> None:
    rng, rank = model.rng, len(shape)
    axis = rng.randrange(1, rank) if rank > 1 else 0
    choice = rng.randrange(4)
    if choice == 0:
        bounds = [rng.choice([-3, -1, 0, 1, 2]), rng.choice([-1, 2, 5, 100])]
        more = [axis, rng.choice([1, 1, 2, -1])]
        model.node("Slice", [x, *(model.ints(value) for value in [*bounds, *more])])
    elif choice == 1:
        pads = [0] * 2 * rank
        pads[axis], pads[axis + rank] = rng.randrange(3), rng.randrange(3)
        value = model.constant(np.float32(rng.choice([0, 1, -1])))
        model.node("Pad", [x, model.ints(*pads), value])
    elif choice == 2:
        model.node("ReduceMean", [x, model.ints(axis)], keepdims=rng.randrange(2))
    else:
        model.node(
            "Resize", [x, "", model.constant(np.float32([1, 1, *[2] * (rank - 2)]))]
        )


def _mask(model: Model, x: str, shape: tuple) -> None:
    model.node("Greater", [x, model.constant(np.float32(0.1))])
    model.node(
        "Where", [model.nodes[-1]["output"][0], x, model.constant(np.float32(-1))]
    )


GROWTH: tuple[Callable[[Model, str, tuple], None], ...] = (
    *(_unary, _scale, _normalize, _normalize, _activation, _sum, _sum, _join),
    *(_quantizer, _quantizer, _packed_convolution, _packed_convolution),
    *(_packed_convolution, _packed_convolution, _packed_dense, _packed_transposed),
    *(_convolution, _pool, _pool, _reshape, _cut, _mask),
)
