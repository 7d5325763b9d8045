"""Attributes and shapes of single nodes that make no sense: which node, why, the fix."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from larqlite_runtime._file import read
from tests.runtime.files import (
    codes,
    convolution,
    floats,
    integers,
    model,
    node,
    packed,
)
from tests.runtime.refusals import refused

INF, NAN = float("inf"), float("nan")


def one(op: str, shape=(4, 6, 6), constants=(), **attributes) -> onnx.ModelProto:
    """A model of one standard node; constants are its further inputs."""
    stored = {f"c{i}": np.asarray(array) for i, array in enumerate(constants)}
    return model(
        [node(op, " ".join(["x", *stored]), "y", **attributes)],
        {"x": shape},
        {"y": None},
        stored,
    )


KERNEL = floats(8, 4, 3, 3)


@pytest.mark.parametrize(
    ("attributes", "word"),
    [
        ({"strides": [0, 1]}, "strides"),
        ({"strides": [-1, 1]}, "strides"),
        ({"strides": [2**62, 1]}, "strides"),
        ({"strides": [1]}, "strides [1] must have 2 numbers"),
        ({"strides": [1] * 17}, "strides"),
        ({"strides": 1}, "strides"),
        ({"strides": 1.5}, "strides"),
        ({"dilations": [0, 1]}, "dilations"),
        ({"dilations": [6, 6]}, "larger than its padded input"),
        ({"pads": [-1, 0, 0, 0]}, "pads"),
        ({"pads": [0, 0]}, "pads [0, 0] must have 4 numbers"),
        ({"pads": [2**31] * 4}, "pads"),
        ({"group": 0}, "group"),
        ({"group": 3}, "group 3"),
        ({"kernel_shape": [3, 2]}, "kernel_shape [3, 2]"),
        ({"auto_pad": "SAME_UPPER"}, "auto_pad is SAME_UPPER"),
        ({"alpha": 1.0}, '"alpha" is not supported'),
        ({"strides": "11"}, "strides"),
    ],
)
def test_convolutions(attributes, word):
    refused(one("Conv", constants=[KERNEL], **attributes), 'Conv "node/y"', word)


def test_kernels_that_do_not_fit():
    refused(one("Conv", constants=[floats(8, 3, 3, 3)]), "does not fit the input")
    refused(one("Conv", constants=[floats(8, 4, 3)]), "does not fit the input")
    refused(one("Conv", constants=[floats(8, 4, 7, 7)]), "larger than its padded input")
    refused(one("Conv", constants=[KERNEL, floats(7)]), "bias (7,) is not (8,)")
    refused(one("Conv", (6,), [KERNEL]), "1 to 3 sizes")
    turned = floats(4, 8, 3, 3)
    refused(one("ConvTranspose", constants=[turned], pads=[9] * 4), "cut off all")
    refused(
        one("ConvTranspose", constants=[turned], output_padding=[1, 0]), "smaller than"
    )
    refused(
        one("ConvTranspose", constants=[turned], output_shape=[9, 9]), "output_shape"
    )


def test_matrices_that_do_not_fit():
    refused(one("MatMul", (4,), [floats(3, 2)]), "(batch, 4) and (3, 2)")
    refused(one("MatMul", (4,), [floats(4)]), "no matrix product")
    refused(one("MatMul", (4,), [floats(2, 4, 3)]), "no matrix product")
    refused(one("Gemm", (4,), [floats(3, 2)]), "(batch, 4) and (3, 2)")
    refused(one("Gemm", (4,), [floats(4, 2), floats(3)]), "do not fit together")
    refused(one("Gemm", (4,), [floats(4, 2)], transA=1), "transA is 1")
    refused(one("Gemm", (4,), [floats(4, 2)], alpha=INF), "alpha is inf")


def test_elementwise_operations():
    refused(one("Add", (4,), [floats(3)]), "(batch, 4) and (3,) do not fit together")
    refused(one("Add", (4,), [floats(5, 4)]), "do not fit together")
    refused(one("Add", (4,), [integers(1)]), "dtypes float32, int64")
    refused(one("Add", (4,)), "1 inputs, not 2")
    refused(one("Relu", (4,), [floats(4)]), "2 inputs, not 1")
    refused(one("Sigmoid", (4,), alpha=1.0), '"alpha"')
    refused(one("Clip", (4,), [floats(1)]), "single numbers")
    refused(one("PRelu", (4,), [floats(2, 4)]), "do not fit")
    refused(one("PRelu", (1,), [floats(4)]), "slopes (4,)")
    refused(one("LeakyRelu", (4,), alpha=NAN), "alpha is nan")
    refused(one("Cast", (4,), to=8), "data type 8")
    refused(one("Not", (4,)), "not supported for float32")
    refused(one("Softmax", (4,), axis=0), "is the batch")
    refused(one("Softmax", (4,), axis=2), "axis 2 does not exist")
    refused(one("Where", (4,), [floats(4), floats(4)]), "not supported for float32")


def test_integers_are_never_divided():
    """A zero among them would end the process."""
    nodes = [node("Cast", "x", "a", to=7), node("Div", "a zero", "y")]
    refused(
        model(nodes, {"x": (4,)}, {"y": None}, {"zero": integers(0)}),
        "not supported for int64",
    )
    refused(one("Mod", (4,), [floats(4)]), "not supported")


def test_pools():
    refused(one("MaxPool"), "kernel_shape is missing")
    refused(one("MaxPool", kernel_shape=[2]), "must have 2 numbers")
    refused(one("MaxPool", kernel_shape=[2, 2], pads=[2, 0, 0, 0]), "not smaller")
    refused(one("MaxPool", kernel_shape=[2, 2], dilations=[2, 1]), "dilations")
    refused(one("MaxPool", kernel_shape=[2, 2], ceil_mode=1), "ceil_mode is 1")
    refused(one("MaxPool", kernel_shape=[7, 7]), "larger than its padded input")
    refused(one("AveragePool", (4,), kernel_shape=[1]), "1 to 3 sizes")
    two = model(
        [node("MaxPool", "x", "y indices", kernel_shape=[2, 2])],
        {"x": (4, 6, 6)},
        {"y": None},
    )
    refused(two, "2 outputs, not 1")


def test_reductions():
    refused(one("ReduceMean", (4,)), "is the batch")
    refused(one("ReduceMean", (4,), [integers(0)]), "is the batch")
    refused(one("ReduceMean", (4,), [integers(2)]), "axis 2 does not exist")
    refused(one("ReduceMean", (4,), [integers(1, -1)]), "hold one twice")
    refused(one("ReduceMean", (4,), [integers(1)], keepdims=2), "keepdims is 2")
    refused(one("ReduceMean", (4,), axes=[1]), '"axes" is not supported')


def test_shapes_of_reshaping():
    def reshape(*shape):
        return one("Reshape", (4, 6), [integers(*shape)])

    refused(reshape(0, 5, -1), "number of values is another")
    refused(reshape(0, -1, -1), "is no shape")
    refused(reshape(0, -2), "is no shape")
    refused(reshape(0, 24, 1, 0), "does not have")
    refused(reshape(-1, 6), "does not keep the batch")
    refused(reshape(1, 24), "does not keep the batch")
    refused(reshape(*[1] * 9), "a list of at most 8")
    refused(reshape(0, 2**40, 2**40), "number of values is another")
    refused(one("Reshape", (4,), [floats(2)]), "is float32, not int64")
    refused(
        one("Reshape", (4,), [integers(0, 4).reshape(1, 2)]), "has the sizes (1, 2)"
    )
    refused(one("Flatten", (4, 6), axis=2), "does not keep the batch")
    refused(one("Transpose", (4, 6), perm=[1, 0, 2]), "does not keep the batch")
    refused(one("Transpose", (4, 6), perm=[0, 1, 1]), "no order")
    refused(one("Squeeze", (4, 1), [integers(1)]), "not all of size 1")
    refused(one("Squeeze", (4, 1), [integers(0)]), "is the batch")
    refused(one("Unsqueeze", (4,), [integers(0)]), "is the batch")
    refused(one("Unsqueeze", (4,), [integers(1, 1)]), "twice")


def test_cutting_and_joining():
    def cut(starts, ends, axes, steps):
        return one("Slice", (4, 6), [integers(*n) for n in (starts, ends, axes, steps)])

    refused(cut([3], [3], [1], [1]), "is empty")
    refused(cut([0], [3], [1], [0]), "make no slice")
    refused(cut([0, 1], [3], [1], [1]), "make no slice")
    refused(cut([0], [3], [0], [1]), "is the batch")
    refused(cut([0], [3], [5], [1]), "does not exist")
    refused(one("Concat", (4,), [floats(1, 4)], axis=1), "can't be joined")
    refused(one("Concat", (4,)), "attribute axis is missing")
    refused(one("Split", (4,), [integers(3)], axis=1), "do not divide axis 1")
    refused(one("Split", (4,), axis=1, num_outputs=2), "num_outputs 2 is not 1")
    refused(one("Gather", (4,), [integers(4)], axis=1), "outside of axis 1")
    refused(one("Gather", (4,), [integers(0)], axis=0), "is the batch")
    refused(one("Gather", (4,), [floats(1)], axis=1), "not supported for float32")


def test_stretching():
    refused(one("Expand", (4,), [integers(5, 4)]), "do not fit together")
    refused(one("Expand", (4,), [integers(1, 0)]), "is no shape")
    refused(one("Tile", (4,), [integers(2, 1)]), "repeat the batch")
    refused(one("Tile", (4,), [integers(1, 0)]), "at least 1")
    refused(one("Tile", (4,), [integers(1, 2**62)]), "too large")
    refused(one("Pad", (4,), [integers(0, -1, 0, 0)]), "0 to 65535")
    refused(one("Pad", (4,), [integers(1, 0, 0, 0)]), "add to the batch")
    refused(one("Pad", (4,), [integers(0, 4, 0, 0)], mode="reflect"), "reflect more")
    refused(one("Pad", (4,), [integers(0, 1, 0, 0)], mode="wrap"), "mode is wrap")
    scales = [np.float32([]), np.float32([1, 1, 2**20, 1])]
    with_roi = one("Resize", constants=[np.float32([1]), scales[1]])
    refused(with_roi, "region of interest")
    for values in ([2, 1, 1, 1], [1, 1, 2**20, 1], [1, 1, 0.01, 1], [1, 1, -1, 1], [1]):
        changed = one("Resize", constants=[np.float32([1]), np.float32(values)])
        changed.graph.node[0].input[1] = ""
        refused(changed, "scales")


# The operations of ai.larqlite.

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
    stored = codes(288, min(bits, 8) if bits > 0 else 1)
    return binary(stored=stored, op="QConv2D", **{**given, **changes})


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


def test_attributes_that_are_malformed():
    changed = one("LeakyRelu", (4,), alpha=0.5)
    changed.graph.node[0].attribute.append(helper.make_attribute("alpha", 0.5))
    refused(changed, '"alpha" twice')
    changed = one("LeakyRelu", (4,), alpha=0.5)
    changed.graph.node[0].attribute[0].i = 3
    refused(changed, "type 1 with values in f, i")
    data = one("LeakyRelu", (4,), alpha=0.5).SerializeToString()
    assert b"\xa0\x01\x01" in data  # the type of the attribute
    refused(data.replace(b"\xa0\x01\x01", b"\xa0\x01\x4d"), "type 77")
    changed = one("LeakyRelu", (4,))
    changed.graph.node[0].attribute.append(helper.make_attribute("alpha", 1))
    refused(changed, "alpha is 1; it must be a finite number")
    changed = one("LeakyRelu", (4,), alpha=0.5)
    changed.graph.node[0].attribute[0].ref_attr_name = "other"
    refused(changed, "a reference to an attribute")
    changed.graph.node[0].attribute[0].ClearField("ref_attr_name")
    changed.graph.node[0].overload = "other"
    refused(changed, "overloaded")
