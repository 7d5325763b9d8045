"""Packed layers and quantizers that make no sense: which node, why, the fix."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from larqlite_runtime.reader import read
from tests.runtime.files import (
    codes,
    convolution,
    floats,
    model,
    node,
    packed,
)
from tests.runtime.refusals import refused

INF, NAN = float("inf"), float("nan")


SHAPE = (8, 3, 3, 4)


def binary(stored=None, shape=(4, 6, 6), op="BConv2D", **changes):
    attributes = convolution(SHAPE) | changes
    given = {name: value for name, value in attributes.items() if value is not None}
    return model(
        [packed(op, "x w", "y", **given)],
        {"x": shape},
        {"y": None},
        {"w": codes(288) if stored is None else stored},
    )


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pad_value": 0.5}, "pad_value is 0.5"),
        ({"pad_value": 1}, "pad_value is 1"),
        ({"input": "steps"}, "only for operations of k-bit"),
        ({"input": "anything"}, "input is anything"),
        ({"input": None}, "attribute input is missing"),
        ({"weight_shape": None}, "weight_shape is missing"),
        ({"weight_shape": [0, 3, 3, 4]}, "weight_shape"),
        ({"weight_shape": [2**40, 3, 3, 4]}, "weight_shape"),
        ({"weight_shape": [8, 3, 3, 5]}, "but weight_shape [8, 3, 3, 5]"),
        ({"weight_shape": [8, 3, 12]}, "must have 4 sizes"),
        ({"group": 2}, "with group 2"),
        ({"group": 16}, "with group 16"),
        ({"bits": 1}, '"bits" is not supported'),
        ({"pads": [0, 0, 0, -1]}, "pads"),
        ({"shape": (5, 6, 6)}, "does not fit the input (batch, 5, 6, 6)"),
        ({"shape": (4, 6)}, "must have 4 sizes"),
        ({"dilations": [5, 5]}, "larger than its padded input"),
        ({"stored": codes(280)}, "(35,)"),
        ({"stored": codes(289)}, "(37,)"),
        ({"stored": codes(288).reshape(6, 6)}, "sizes (6, 6)"),
        ({"stored": floats(36)}, "is float32, not uint8"),
        ({"op": "BConv3D"}, "must have 5 sizes"),
        ({"op": "TConv2D"}, "at 2 bits takes 72 bytes"),
    ],
)
def test_packed_convolutions(changes, word):
    refused(binary(**changes), "Conv", '"node/y"', word)


def test_code_3_of_ternary_weights_is_refused():
    weights = codes(288, 2)
    read(binary(stored=weights, op="TConv2D").SerializeToString())
    weights[-1] |= 0b11000000
    refused(binary(stored=weights, op="TConv2D"), "code 3")


def kbit(bits=3, **changes) -> onnx.ModelProto:
    given = {"bits": bits, "step": 2.0, "offset": -7.0, "input_steps": 3.0}
    given["stored"] = codes(288, min(bits, 8) if bits > 0 else 1)
    return binary(op="QConv2D", **{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"bits": 0}, "bits is 0"),
        ({"bits": 9}, "bits is 9"),
        ({"bits": 4, "step": NAN}, "step is nan"),
        ({"step": 0.5}, "must be integers"),
        ({"offset": 0.5}, "must be integers"),
        ({"offset": 1e30}, "2^24"),
        ({"input_steps": 0.0}, "input_steps is 0.0"),
        ({"input_steps": 1.5}, "input_steps is 1.5"),
        ({"input_steps": 256.0}, "input_steps is 256.0"),
        ({"offset": -3000.0, "input_steps": 255.0}, "beyond 2^24"),
    ],
)
def test_k_bit_convolutions(changes, word):
    read(kbit().SerializeToString())
    refused(kbit(**changes), 'QConv2D "node/y"', word)


@pytest.mark.parametrize(("largest", "fits"), [(3, True), (4, False)])
def test_sums_are_bounded_by_the_codes_that_there_are(largest, fits):
    """`largest` of the 36 weights of a row are 16640, the others 0; inputs reach 255."""
    each, rows = 3 * 3 * 4, 8
    kernel = np.zeros((rows, each), np.uint8)
    kernel[:, :largest] = 255
    offset, steps = -16000.0, 255.0
    kernel[:, largest:] = 125
    file = kbit(
        bits=8, step=128.0, offset=offset, input_steps=steps, stored=kernel.reshape(-1)
    )
    sums = np.abs(kernel.astype(int) * 128 + int(offset)).sum(1) * 255
    assert (sums < 2**24).all() == fits
    if fits:
        read(file.SerializeToString())
    else:
        refused(file, f"may reach {sums.max()}, beyond 2^24")


def test_integer_inputs_have_no_known_bound():
    read(kbit(offset=-3000.0, input_steps=255.0, input="integer").SerializeToString())


def test_packed_dense_layers():
    def dense(weight_shape, shape, count=28):
        return model(
            [packed("BDense", "x w", "y", weight_shape=weight_shape, input="sign")],
            {"x": shape},
            {"y": None},
            {"w": codes(count)},
        )

    read(dense([7, 4], (4,)).SerializeToString())
    read(dense([7, 4], (9, 4)).SerializeToString())
    refused(dense([7, 4], (5,)), "[7, 4] does not fit the input (batch, 5)")
    refused(dense([7, 2, 2], (2,)), "does not fit")
    refused(dense([7, 4], (4,), 29 + 8), "takes 4 bytes")


def test_unpacked_weights():
    def unpack(**changes):
        given = {"weight_shape": [7, 4], "bits": 2, "step": 1.0, "offset": -1.0}
        return model(
            [packed("Unpack", "w", "k", **given | changes), node("Mul", "x k", "y")],
            {"x": (7, 4)},
            {"y": None},
            {"w": codes(28, 2)},
        )

    read(unpack().SerializeToString())
    refused(unpack(bits=3), "takes 11 bytes")
    refused(unpack(step=INF), "step is inf")
    refused(unpack(weight_shape=[2**31 - 1] * 8), "takes")
    refused(unpack(weight_shape=[28]), "do not fit together")


def test_quantizers():
    def quantizer(op, **attributes):
        return model([packed(op, "x", "y", **attributes)], {"x": (4,)}, {"y": None})

    refused(quantizer("Ternary"), "threshold is missing")
    refused(quantizer("Ternary", threshold=NAN), "threshold is nan")
    refused(quantizer("Steps", bits=9), "bits is 9")
    refused(quantizer("Sign", bits=1), '"bits" is not supported')
