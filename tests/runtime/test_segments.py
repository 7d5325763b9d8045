"""The models that ONNX Runtime is given: what is in them, and that they say the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import larqlite_runtime
from larqlite_runtime.backends.onnxruntime import SegmentModel
from larqlite_runtime.planner import plan
from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.files import codes, convolution, floats, integers, model
from tests.runtime.networks import stock

node, packed = files.node, files.packed


def segments(proto, **options):
    """The models of all segments, as ONNX reads them."""
    options = {"float_kernels": False} | options
    found = plan(read(proto.SerializeToString()), **options)
    parts = [
        SegmentModel(found.subgraph, stage).model
        for stage in found.stages
        if stage.part is None
    ]
    for part in parts:
        onnx.checker.check_model(part, full_check=True)
    return [onnx.ModelProto.FromString(part) for part in parts]


def ops(segment):
    return [item.op_type for item in segment.graph.node]


def same_as_stock(proto, rtol=1e-6, **shapes):
    x = {
        name: np.random.default_rng(3).integers(-9, 9, (2, *shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    found = larqlite_runtime.load(proto.SerializeToString(), isa="numpy").run(x)
    for name, array in stock(proto, x).items():
        np.testing.assert_allclose(found[name], array, rtol=rtol, atol=1e-6)


def between_packed(*nodes, outputs, constants):
    """Nodes after a packed layer of 8 channels, whose output `sums` has channels last."""
    shape = (8, 3, 3, 4)
    first = [
        packed("Sign", "x", "signs"),
        packed("BConv2D", "signs w", "sums", **convolution(shape)),
    ]
    constants = {"w": codes(int(np.prod(shape)))} | constants
    return model([*first, *nodes], {"x": (4, 6, 6)}, outputs, constants)


def test_a_point_convolution_is_a_product_of_matrices_with_the_scales_in_it():
    proto = between_packed(
        node("Conv", "sums k b", "c", strides=[2, 2]),
        node("Mul", "c s", "scaled"),
        node("Sub", "scaled o", "normal"),
        packed("Sign", "normal", "signs2"),
        packed("BConv2D", "signs2 v", "y", **convolution((3, 1, 1, 5), pads=[0] * 4)),
        outputs={"y": (3, 3, 3)},
        constants={
            "k": floats(5, 8, 1, 1),
            "b": floats(5),
            "s": floats(5, 1, 1, seed=4),
            "o": floats(5, 1, 1, seed=5),
            "v": codes(15),
        },
    )
    _, segment = segments(proto)
    assert ops(segment) == ["Slice", "Reshape", "Gemm", "Reshape"]
    same_as_stock(proto, x=(4, 6, 6))


def test_operations_on_single_values_keep_the_channels_last():
    proto = between_packed(
        node("Exp", "sums", "a"),
        node("Sigmoid", "a", "b"),
        node("Sub", "sums b", "c"),
        packed("Sign", "c", "signs2"),
        packed("BConv2D", "signs2 v", "y", **convolution((3, 1, 1, 8), pads=[0] * 4)),
        outputs={"y": (3, 6, 6)},
        constants={"v": codes(24)},
    )
    _, segment = segments(proto)
    assert ops(segment) == ["Exp", "Sigmoid", "Sub"]
    same_as_stock(proto, x=(4, 6, 6))


def test_what_needs_the_order_of_the_file_is_turned_once():
    proto = between_packed(
        node("Conv", "sums k", "a", pads=[1] * 4),
        node("Conv", "sums k", "b", pads=[1] * 4, dilations=[1, 1]),
        node("LogSoftmax", "sums", "c", axis=1),
        outputs={"a": (2, 6, 6), "b": (2, 6, 6), "c": (8, 6, 6)},
        constants={"k": floats(2, 8, 3, 3)},
    )
    _, segment = segments(proto)
    assert sorted(ops(segment)) == ["Conv", "Conv", "LogSoftmax", "Transpose"]
    same_as_stock(proto, rtol=1e-5, x=(4, 6, 6))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", ["", "Transpose"])
def test_packed_layers_of_any_whole_numbers_run_in_floats(rank, kind):
    shape = (6, *(3, 2, 2)[:rank], 4 if kind else 2)
    given = convolution(
        shape,
        input="integer",
        pads=[1, 0, 1][:rank] * 2,
        strides=[2, 1, 2][:rank],
        group=1 if kind else 2,
        pad_value=None if kind else -1.0,
    )
    if kind:
        given["output_padding"] = [1, 0, 1][:rank]
    q = {"bits": 3, "step": 1.0, "offset": -4.0, "input_steps": 2.0}
    w = {
        letter: codes(int(np.prod(shape)), bits)
        for letter, bits in zip("BTQ", (1, 2, 3), strict=True)
    }
    proto = model(
        [
            packed(f"BConv{kind}{rank}D", "x wB", "b", **given),
            packed(f"TConv{kind}{rank}D", "x wT", "t", **given),
            packed(f"QConv{kind}{rank}D", "x wQ", "q", **given, **q),
        ],
        {"x": (4, *(5, 4, 3)[:rank])},
        {"b": None, "t": None, "q": None},
        {f"w{letter}": stream for letter, stream in w.items()},
    )
    [segment] = segments(proto)
    assert {item.domain for item in segment.graph.node} == {""}
    same_as_stock(proto, rtol=0, x=(4, *(5, 4, 3)[:rank]))


def test_quantizers_whose_values_are_read_as_floats():
    nodes = [
        packed("Sign", "x", "a"),
        packed("Heaviside", "x", "b"),
        packed("Ternary", "x", "c", threshold=2.0),
        packed("Steps", "x", "d", bits=3),
        node("Sum", "a b c d", "y"),
    ]
    proto = model(nodes, {"x": (5,)}, {"y": (5,)})
    same_as_stock(proto, rtol=0, x=(5,))


def test_unpacked_weights_are_ordinary_weights_of_a_segment():
    proto = files.kbit_block()
    last = segments(proto)[-1]
    assert ops(last) == ["MatMul"]
    assert [tuple(item.dims) for item in last.graph.initializer] == [(7, 3)]


def test_views_of_what_the_kernels_made_are_no_segment():
    proto = between_packed(
        node("GlobalAveragePool", "sums", "mean"),
        node("Reshape", "mean flat", "vector"),
        node("Unsqueeze", "vector axes", "y"),
        outputs={"y": (1, 8)},
        constants={"flat": integers(0, -1), "axes": integers(1)},
    )
    assert len(segments(proto)) == 1  # the order of x
    same_as_stock(proto, x=(4, 6, 6))


def test_one_segment_holds_all_that_may_run_at_one_moment():
    """Two branches of floats beside one another, before and after packed layers."""
    nodes = []
    for branch in "ab":
        nodes += [
            node("Conv", f"x k{branch}", f"c{branch}", pads=[1] * 4),
            packed("Sign", f"c{branch}", f"s{branch}"),
            packed(
                "BConv2D", f"s{branch} w", f"y{branch}", **convolution((4, 3, 3, 4))
            ),
            node("LogSoftmax", f"y{branch}", f"z{branch}", axis=1),
        ]
    proto = model(
        nodes,
        {"x": (3, 6, 6)},
        {"za": (4, 6, 6), "zb": (4, 6, 6)},
        {"ka": floats(4, 3, 3, 3), "kb": floats(4, 3, 3, 3, seed=1), "w": codes(144)},
    )
    first, last = segments(proto)
    assert ops(first).count("Conv") == 2
    assert ops(last).count("LogSoftmax") == 2
