"""Attributes and shapes of standard nodes that make no sense: which node, why, the fix."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.runtime.files import (
    floats,
    integers,
    model,
    node,
    one,
)
from tests.runtime.refusals import refused

INF, NAN = float("inf"), float("nan")


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
