"""Random packed layers and quantizers."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from tests.runtime.files import PACKED, codes
from tests.runtime.nodes import (
    SIZES,
    Case,
    array,
    ints,
    shape,
    strategy,
)


@strategy("Heaviside", "Ternary", "Steps", "Integers")
def quantizer(draw, op):
    given = {
        "Ternary": {"threshold": 0.5},
        "Steps": {"bits": draw(st.integers(1, 8))},
        "Integers": {"low": draw(st.integers(-5, 0)), "high": draw(st.integers(1, 5))},
    }
    fed = {0: array(draw, (2, *shape(draw)))}
    return Case(op, fed, attributes=given.get(op, {}), domain=PACKED)


@strategy("AbsmaxScale")
def row(draw, op):
    fed = {0: array(draw, (2, *shape(draw, 1, 4)))}
    steps = {"steps": draw(st.integers(1, 255))}
    return Case(op, fed, attributes=steps, domain=PACKED)


def coded(draw, op: str) -> tuple[int, dict]:
    """Bits of a weight, and the attributes of its codes."""
    bits = {"B": 1, "T": 2}.get(op[0], draw(st.integers(1, 8)))
    if op[0] in "BT":
        return bits, {}
    return bits, {"bits": bits, "step": 2.0, "offset": 1.0 - 2**bits}


def layer_input(draw, op: str) -> dict:
    words = ["sign", "heaviside", "ternary", "integer"]
    words += ["steps", "integers:-4:3"] * (op[0] == "Q")
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
