"""Taps in borders: which sums leave them out, and that these are the same sums."""

from __future__ import annotations

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime._program import NOWHERE, StepKind
from larqlite_runtime.backends import _native
from tests.runtime import files
from tests.runtime.files import codes, convolution, model
from tests.runtime.networks import stock
from tests.runtime.plans import planned, steps_of

packed = files.packed
ISAS = [*_native.INSTRUCTION_SETS, _native.NUMPY]


def built(size, kernel, channels=40, out=37, op="BConv2D", quantizer="Sign", **changes):
    shape = (out, *kernel, channels // changes.get("group", 1))
    rows = convolution(shape, input=quantizer.lower(), **changes)
    threshold = {"threshold": 0.5} if quantizer == "Ternary" else {}
    before, after = rows["pads"][:2], rows["pads"][2:]
    spans = [
        (size[axis] + before[axis] + after[axis])
        - rows["dilations"][axis] * (kernel[axis] - 1)
        for axis in range(2)
    ]
    spatial = [
        (span - 1) // stride + 1
        for span, stride in zip(spans, rows["strides"], strict=True)
    ]
    nodes = [
        packed(quantizer, "x", "bits", **threshold),
        packed(op, "bits w", "y", **rows),
    ]
    weights = codes(int(np.prod(shape)), 2 if op[0] == "T" else 1, seed=3)
    return model(
        nodes, {"x": (channels, *size)}, {"y": (out, *spatial)}, {"w": weights}
    )


def conv_of(proto):
    return next(step for step in steps_of(planned(proto)) if step.kind == StepKind.CONV)


CASES = {
    "3x3": {"size": (7, 7), "kernel": (3, 3)},
    "3x3, ones": {"size": (7, 7), "kernel": (3, 3), "pad_value": 1.0},
    "3x3, minus ones": {"size": (5, 9), "kernel": (3, 3), "pad_value": -1.0},
    "wider than a tile": {"size": (4, 19), "kernel": (3, 3)},
    "stride 2": {"size": (8, 8), "kernel": (3, 3), "strides": [2, 2]},
    "behind only": {
        "size": (8, 8),
        "kernel": (3, 3),
        "strides": [2, 2],
        "pads": [0, 0, 1, 1],
    },
    "a row": {"size": (1, 8), "kernel": (1, 3)},
    "a column": {"size": (8, 1), "kernel": (3, 3)},
    "rows of five": {"size": (9, 6), "kernel": (5, 3)},
    "groups": {"size": (6, 6), "kernel": (3, 3), "channels": 64, "out": 40, "group": 2},
    "ternary": {"size": (6, 6), "kernel": (3, 1), "op": "TConv2D"},
    "ternary inputs": {"size": (7, 7), "kernel": (3, 3), "quantizer": "Ternary"},
    "0 and 1": {"size": (7, 7), "kernel": (3, 3), "quantizer": "Heaviside"},
    "many words": {"size": (7, 7), "kernel": (3, 3), "channels": 600, "out": 16},
}
# Columns of taps are outside for more than the first and the last pixel; no borders; dilated.
WHOLE = {
    "columns of five": {"size": (9, 6), "kernel": (5, 5)},
    "valid": {"size": (6, 6), "kernel": (3, 3), "pads": [0, 0, 0, 0]},
    "dilated": {
        "size": (9, 9),
        "kernel": (3, 3),
        "dilations": [2, 2],
        "pads": [2, 2, 2, 2],
    },
}


@pytest.mark.parametrize("name", [*CASES, *WHOLE])
def test_sums_with_borders_are_those_of_stock_onnxruntime_on_all_sets(name):
    proto = built(**{**CASES, **WHOLE}[name])
    x = np.random.default_rng(1).standard_normal(
        [
            2,
            *(
                dim.dim_value
                for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:]
            ),
        ]
    )
    x = {"x": x.astype(np.float32)}
    wanted = stock(proto, x)["y"]
    for isa in ISAS:
        found = larqlite_runtime.load(proto.SerializeToString(), isa=isa).run(x)["y"]
        np.testing.assert_array_equal(found, wanted, err_msg=isa)


@pytest.mark.parametrize("name", CASES)
def test_taps_in_borders_are_left_out(name):
    assert conv_of(built(**CASES[name])).inside_base != NOWHERE


@pytest.mark.parametrize("name", WHOLE)
def test_taps_are_summed_where_columns_differ_in_more_than_two_pixels(name):
    assert conv_of(built(**WHOLE[name])).inside_base == NOWHERE


def test_rows_of_a_dense_layer_have_one_class():
    """Its images then become the pixels of one row, so that weights are read once."""
    weights = codes(64 * 16, seed=2)
    dense = packed("BDense", "signs w", "y", weight_shape=[16, 64], input="sign")
    proto = model(
        [packed("Sign", "x", "signs"), dense],
        {"x": (64,)},
        {"y": (16,)},
        {"w": weights},
    )
    step = conv_of(proto)
    assert (step.row_class, step.column_class) == (NOWHERE, NOWHERE)
