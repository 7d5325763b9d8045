"""Where tensors lie: borders, parts, concatenations, layouts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from larqlite_runtime._program import EpilogueKind, StepKind
from tests.runtime import files
from tests.runtime.files import codes, convolution, floats, integers, model
from tests.runtime.plans import block, compare, network, planned, steps_of

node, packed = files.node, files.packed


OUTSIDE = [
    *itertools.product(["sign", "ternary"], [0, 1, -1]),
    *itertools.product(["heaviside"], [0, 1, -1]),
    *itertools.product(["steps"], [0, 1]),
]


@pytest.mark.parametrize("letter", ["B", "T", "Q"])
@pytest.mark.parametrize(("kind", "outside"), OUTSIDE)
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_every_border_is_exact(letter, kind, outside, groups):
    """Borders of every value, strides and dilations that meet them, groups, channel-wise."""
    if kind == "steps" and letter != "Q":
        return
    quantizer, more = {
        "sign": ("Sign", {}),
        "heaviside": ("Heaviside", {}),
        "ternary": ("Ternary", {"threshold": 0.5}),
        "steps": ("Steps", {"bits": 2}),
    }[kind]
    bits = {"B": 1, "T": 2, "Q": 3}[letter]
    shape = (12, 3, 2, 6 // groups)
    given = convolution(
        shape,
        group=groups,
        input=kind,
        pad_value=float(outside),
        pads=[2, 1, 1, 0],
        strides=[1, 2],
        dilations=[2, 1],
    )
    if letter == "Q":
        steps = 3.0 if kind == "steps" else 1.0
        given |= {"bits": 3, "step": 2.0, "offset": -7.0, "input_steps": steps}
    proto = model(
        [
            packed(quantizer, "x", "q", **more),
            packed(f"{letter}Conv2D", "q w", "y", **given),
        ],
        {"x": (6, 5, 7)},
        {"y": None},
        {"w": codes(int(np.prod(shape)), bits)},
    )
    found = planned(proto)
    ternary_twice = letter == "T" and kind == "ternary"
    sums = [
        step
        for step in steps_of(found)
        if step.kind in (StepKind.CONV, StepKind.DEPTHWISE)
    ]
    assert len(sums) == (0 if ternary_twice and groups > 1 else 1)
    compare(proto)


def test_a_concatenation_costs_no_copy():
    """As in dense nets: each layer adds channels to all those before."""
    parts = [block(1, "x", 32)]
    nodes = [node("Relu", "normal1", "all0")]
    constants = {}
    for number in range(1, 4):
        channels = 32 * number
        shape = (32, 3, 3, channels)
        before, made = f"all{number - 1}", f"new{number}"
        nodes += [
            packed("Sign", before, f"s{number}"),
            packed("BConv2D", f"s{number} v{number}", made, **convolution(shape)),
            node("Concat", f"{before} {made}", f"all{number}", axis=1),
        ]
        constants[f"v{number}"] = codes(int(np.prod(shape)), seed=number)
    parts.append((nodes, constants))
    proto = network(*parts, outputs={"all3": (128, 6, 6)})
    found = planned(proto)
    assert not [step for step in steps_of(found) if "copy" in step.label]
    stores = [
        op
        for step in steps_of(found)
        for op in step.ops
        if op.kind == EpilogueKind.STORE
    ]
    assert {op.view.pixel for op in stores} == {128}
    assert len({op.view.buffer for op in stores}) == 1
    compare(proto)


def test_parts_of_channels_are_read_where_they_lie():
    split = [
        node("Split", "normal1 sizes", "left right", axis=1),
        node("Add", "left right", "sum"),
        node("MaxPool", "sum", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    proto = network(
        block(1, "x", 32), (split, {"sizes": integers(16, 16)}), outputs={"y": None}
    )
    assert [step.kind for step in steps_of(planned(proto))] == [
        *(StepKind.LOAD, StepKind.CONV, StepKind.LOAD, StepKind.POOL_MAX)
    ]
    compare(proto)


def test_a_tensor_of_another_order_is_turned_by_onnxruntime_once():
    """A Keras image, channels last: no transposition at all; channels first: one."""
    nodes, constants = block(1, "moved", 32)
    turn = node("Transpose", "x", "moved", perm=[0, 3, 1, 2])
    back = node("Transpose", "normal1", "y", perm=[0, 2, 3, 1])
    proto = model([turn, *nodes, back], {"x": (6, 6, 32)}, {"y": (6, 6, 32)}, constants)
    assert [stage.part for stage in planned(proto).stages] == [0]
    compare(proto)
    first = network(block(1, "x", 32), outputs={"normal1": (32, 6, 6)})
    assert [stage.part for stage in planned(first).stages] == [None, 0]


def test_flattening_as_keras_does_it_is_only_a_view():
    nodes, constants = block(1, "x", 32)
    nodes += [
        node("Transpose", "normal1", "last", perm=[0, 2, 3, 1]),
        node("Reshape", "last flat_shape", "flat"),
        packed("Sign", "flat", "flat_signs"),
        packed("BDense", "flat_signs v", "y", weight_shape=[7, 1152], input="sign"),
    ]
    constants |= {"flat_shape": integers(0, -1), "v": codes(7 * 1152)}
    proto = model(nodes, {"x": (32, 6, 6)}, {"y": (7,)}, constants)
    found = planned(proto)
    assert [step.kind for step in steps_of(found)] == [
        *(StepKind.LOAD, StepKind.CONV, StepKind.LOAD, StepKind.CONV)
    ]
    assert len(found.stages) == 2  # the order of x, and one native part
    compare(proto)


def test_a_dense_layer_takes_rows_of_any_rank():
    nodes = [
        packed("Sign", "x", "s"),
        packed("BDense", "s w", "sums", weight_shape=[9, 40], input="sign"),
        node("Mul", "sums scale", "y"),
    ]
    constants = {"w": codes(360), "scale": floats(9)}
    for shape in ((40,), (3, 40), (2, 3, 40), (2, 2, 3, 40), (2, 1, 2, 3, 40)):
        proto = model(nodes, {"x": shape}, {"y": (*shape[:-1], 9)}, constants)
        found = planned(proto)
        assert [stage.part for stage in found.stages] == [0]
        compare(proto)


def test_a_narrow_sum_is_added_where_the_wide_one_lies():
    """MeliusNet: dense blocks add channels, improvement blocks change the newest."""
    nodes, constants = [node("Relu", "normal1", "all0")], {}
    channels, last = 32, "all0"
    for number in range(3):
        wide, both = channels + 16, f"c{number}"
        for key, source, read in (
            (f"d{number}", last, channels),
            (f"i{number}", both, wide),
        ):
            if source == both:
                nodes.append(node("Concat", f"{last} yd{number}", both, axis=1))
            constants[f"w{key}"] = codes(16 * 9 * read, seed=number)
            shape = (16, 3, 3, read)
            nodes += [
                packed("Sign", source, f"s{key}"),
                packed("BConv2D", f"s{key} w{key}", f"y{key}", **convolution(shape)),
            ]
        constants[f"p{number}"] = integers(0, channels, 0, 0, 0, 0, 0, 0)
        nodes += [
            node("Pad", f"yi{number} p{number}", f"z{number}"),
            node("Add", f"c{number} z{number}", f"all{number + 1}"),
        ]
        channels, last = wide, f"all{number + 1}"
    nodes.append(node("MaxPool", last, "y", kernel_shape=[2, 2], strides=[2, 2]))
    proto = network(block(1, "x", 32), (nodes, constants), outputs={"y": (80, 3, 3)})
    found = planned(proto)
    stores = [
        op
        for step in steps_of(found)[:-1]
        for op in step.ops
        if op.kind == EpilogueKind.STORE
    ]
    assert len({op.view.buffer for op in stores}) == 1
    assert {op.view.pixel for op in stores} == {80}
    sums = [
        op
        for step in steps_of(found)
        for op in step.ops
        if op.kind == EpilogueKind.ADD_TENSOR
    ]
    assert [op.view.offset for op in sums] == [32, 48, 64]
    compare(proto)


def test_a_sum_that_is_not_the_last_reader_leaves_the_wide_tensor_alone():
    """What is added to is read once more afterwards."""
    nodes = [
        packed("Sign", "normal1", "s"),
        packed("BConv2D", "s v", "y", **convolution((16, 3, 3, 32))),
        node("Pad", "y ends", "z"),
        node("Add", "normal1 z", "sum"),
        node("Mul", "sum two", "twice"),
        node("Add", "twice normal1", "out"),
    ]
    constants = {
        "v": codes(16 * 9 * 32),
        "ends": integers(0, 16, 0, 0, 0, 0, 0, 0),
        "two": np.float32(2),
    }
    proto = network(block(1, "x", 32), (nodes, constants), outputs={"out": (32, 6, 6)})
    compare(proto)


@pytest.mark.parametrize("times", [1, 2])
def test_a_part_of_the_wide_tensor_that_is_read_later_is_left_alone(times):
    """A concatenation lies where its first part does: what is added there would change that."""
    wide, shape = 8 * times, (8, 3, 3, 4)
    nodes = [
        packed("Sign", "x", "s"),
        packed("BConv2D", "s w", "part", **convolution(shape)),
        node("Concat", " ".join(["part"] * times), "all", axis=1),
        packed("Sign", "all", "s2"),
        packed("BConv2D", "s2 w2", "narrow", **convolution((5, 3, 3, wide))),
        node("Pad", "narrow p", "padded"),
        node("Add", "all padded", "sum"),
        node("Slice", "part begin end axis", "later"),
        node("Relu", "sum", "y"),
    ]
    constants = {
        "w": codes(8 * 9 * 4),
        "w2": codes(5 * 9 * wide, seed=1),
        "p": integers(0, 2, 0, 0, 0, wide - 7, 0, 0),
        "begin": integers(3),
        "end": integers(1 << 40),
        "axis": integers(1),
    }
    outputs = {"later": (5, 5, 4), "y": (wide, 5, 4)}
    compare(model(nodes, {"x": (4, 5, 4)}, outputs, constants))
