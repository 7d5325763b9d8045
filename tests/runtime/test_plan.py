"""What plans look like: which steps there are, what is fused, what needs no memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime import _file
from larqlite_runtime._plan import plan
from larqlite_runtime._program import Kind, Row
from tests.runtime import files
from tests.runtime.files import PACKED, codes, convolution, floats, integers, model
from tests.runtime.networks import stock

node, packed = files.node, files.packed


def planned(proto, **options):
    return plan(_file.read(proto.SerializeToString()), **options)


def steps_of(found):
    return [step for part in found.program.parts for step in part]


def kinds(step):
    return [op.kind for op in step.ops]


def compare(proto, batch=2, exact=True):
    """Runs a model here and on stock onnxruntime."""
    rng = np.random.default_rng(5)
    x = {
        item.name: (
            rng.integers(-6, 7, [batch, *shape_of(item)]) / np.float32(4)
        ).astype(np.float32)
        for item in proto.graph.input
    }
    wanted = stock(proto, x)
    for isa in (None, "numpy"):
        found = larqlite_runtime.load(proto.SerializeToString(), isa=isa).run(x)
        for name, array in wanted.items():
            if exact:
                np.testing.assert_array_equal(found[name], array)
            else:
                np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6)


def shape_of(item):
    return [dim.dim_value for dim in item.type.tensor_type.shape.dim[1:]]


def block(number, source, channels, size=3, **changes):
    """Sign, binary convolution, scale and offset; constants of it."""
    shape = (channels, size, size, channels)
    nodes = [
        packed("Sign", source, f"signs{number}"),
        packed(
            "BConv2D",
            f"signs{number} w{number}",
            f"sums{number}",
            **convolution(shape) | changes,
        ),
        node("Mul", f"sums{number} scale{number}", f"scaled{number}"),
        node("Add", f"scaled{number} offset{number}", f"normal{number}"),
    ]
    constants = {
        f"w{number}": codes(int(np.prod(shape)), seed=number),
        f"scale{number}": files.floats(channels, 1, 1, seed=number),
        f"offset{number}": files.floats(channels, 1, 1, seed=number + 50),
    }
    return nodes, constants


def network(*parts, source="x", channels=32, size=6, outputs):
    nodes = [item for nodes, _ in parts for item in nodes]
    constants = {key: value for _, values in parts for key, value in values.items()}
    return model(nodes, {source: (channels, size, size)}, outputs, constants)


def test_scale_offset_and_sign_between_two_layers_are_one_threshold():
    proto = network(
        block(1, "x", 32), block(2, "normal1", 32), outputs={"normal2": (32, 6, 6)}
    )
    load, first, second = steps_of(planned(proto))
    assert (load.kind, kinds(load)) == (Kind.LOAD, [Row.PACK_SIGN])
    assert (first.kind, kinds(first)) == (Kind.CONV, [Row.THRESHOLD])
    assert kinds(second) == [Row.TO_FLOAT, Row.MULTIPLY, Row.ADD, Row.STORE]
    compare(proto)


def test_a_residual_is_added_and_packed_by_the_layer_before():
    sums = ([node("Add", "normal1 x", "sum1")], {})
    proto = network(
        block(1, "x", 32), sums, block(2, "sum1", 32), outputs={"normal2": (32, 6, 6)}
    )
    _, first, _ = steps_of(planned(proto))
    assert kinds(first) == [
        *(Row.TO_FLOAT, Row.MULTIPLY, Row.ADD, Row.ADD_TENSOR, Row.PACK_SIGN)
    ]
    compare(proto)


def test_a_sum_that_is_read_later_is_stored_in_place_of_the_one_before():
    parts = []
    for number in (1, 2, 3):
        source = "x" if number == 1 else f"sum{number - 1}"
        add = node("Add", f"normal{number} {source}", f"sum{number}")
        parts += [block(number, source, 32), ([add], {})]
    proto = network(*parts, outputs={"sum3": (32, 6, 6)})
    found = planned(proto)
    _, first, second, third = steps_of(found)
    stored = [
        step.ops[-1 if step is third else -2].view.buffer for step in (first, second)
    ]
    places = {found.program.buffers[number].offset for number in stored}
    assert len(places) == 1
    compare(proto)


def test_an_output_that_others_read_too_is_stored_and_packed():
    proto = network(
        block(1, "x", 32),
        block(2, "normal1", 32),
        outputs={"normal1": (32, 6, 6), "normal2": (32, 6, 6)},
    )
    _, first, _ = steps_of(planned(proto))
    assert kinds(first)[-2:] == [Row.STORE, Row.PACK_SIGN]
    compare(proto)


def test_layers_of_different_windows_read_the_same_bits():
    parts = [
        block(1, "x", 32, size=3),
        block(2, "x", 32, size=1, pads=[0] * 4),
        ([node("Add", "normal1 normal2", "sum")], {}),
    ]
    proto = network(*parts, outputs={"sum": (32, 6, 6)})
    load, *convs = steps_of(planned(proto))
    assert kinds(load) == [Row.PACK_SIGN]
    assert len({step.input.buffer for step in convs}) == 1
    compare(proto)


def test_different_borders_need_bits_of_their_own():
    parts = [
        block(1, "x", 32, pad_value=0.0),
        block(2, "x", 32, pad_value=-1.0),
        ([node("Add", "normal1 normal2", "sum")], {}),
    ]
    proto = network(*parts, outputs={"sum": (32, 6, 6)})
    load, *convs = steps_of(planned(proto))
    assert kinds(load) == [Row.PACK_SIGN] * 2
    assert len({step.input.buffer for step in convs}) == 2
    compare(proto)


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
        step for step in steps_of(found) if step.kind in (Kind.CONV, Kind.DEPTHWISE)
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
    stores = [op for step in steps_of(found) for op in step.ops if op.kind == Row.STORE]
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
        *(Kind.LOAD, Kind.CONV, Kind.LOAD, Kind.POOL_MAX)
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
        *(Kind.LOAD, Kind.CONV, Kind.LOAD, Kind.CONV)
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


def test_float_convolutions_stay_with_the_kernels_if_all_around_them_does():
    nodes, constants = block(1, "relu", 32)
    nodes = [
        node("Transpose", "image", "x", perm=[0, 3, 1, 2]),
        node("Conv", "x f bias", "first", pads=[1] * 4),
        node("Relu", "first", "relu"),
        *nodes,
        node("Conv", "normal1 p", "y"),
    ]
    constants |= {
        "f": floats(32, 3, 3, 3),
        "bias": floats(32),
        "p": floats(8, 32, 1, 1, seed=9),
    }
    proto = model(nodes, {"image": (6, 6, 3)}, {"y": (8, 6, 6)}, constants)
    found = steps_of(planned(proto))
    assert [step.kind for step in found] == [
        *(Kind.LOAD, Kind.CONV_FLOAT, Kind.CONV, Kind.CONV_FLOAT)
    ]
    compare(proto, exact=False)
    slow = planned(proto, float_kernels=False)
    assert Kind.CONV_FLOAT not in {step.kind for step in steps_of(slow)}


def test_a_gate_that_depends_on_the_layer_itself_is_no_cycle():
    nodes, constants = block(1, "x", 32)
    nodes += [
        node("GlobalAveragePool", "normal1", "mean"),
        node("HardSigmoid", "mean", "gate", alpha=0.25),
        node("Mul", "normal1 gate", "y"),
    ]
    proto = model(nodes, {"x": (32, 6, 6)}, {"y": (32, 6, 6)}, constants)
    found = steps_of(planned(proto))
    assert [step.kind for step in found] == [
        *(Kind.LOAD, Kind.CONV, Kind.MEAN, Kind.LOAD)
    ]
    assert kinds(found[-1]) == [Row.MULTIPLY_IMAGE, Row.STORE]
    compare(proto, exact=False)


def test_a_gate_from_elsewhere_is_fused_into_the_layer():
    nodes, constants = block(1, "x", 32)
    nodes = [
        node("GlobalAveragePool", "x", "mean"),
        node("HardSigmoid", "mean", "gate", alpha=0.25),
        *nodes,
        node("Mul", "normal1 gate", "y"),
    ]
    proto = model(nodes, {"x": (32, 6, 6)}, {"y": (32, 6, 6)}, constants)
    assert kinds(steps_of(planned(proto))[-1])[-2:] == [Row.MULTIPLY_IMAGE, Row.STORE]
    compare(proto, exact=False)


def test_a_normalization_before_a_sign_is_done_while_packing():
    """x is read twice, so onnxruntime could not fold the scale into the layer before."""
    nodes = [
        node("Conv", "image f", "x", pads=[1] * 4),
        node("Mul", "x scale", "scaled"),
        node("Add", "scaled offset", "normal"),
        packed("Sign", "normal", "signs"),
        packed("BConv2D", "signs w", "sums", **convolution((32, 3, 3, 32))),
        node("Add", "sums x", "y"),
    ]
    constants = {
        "f": floats(32, 3, 3, 3),
        "scale": floats(32, 1, 1),
        "offset": floats(32, 1, 1, seed=2),
        "w": codes(32 * 9 * 32),
    }
    proto = model(nodes, {"image": (3, 6, 6)}, {"y": (32, 6, 6)}, constants)
    found = planned(proto, float_kernels=False)
    load, conv = steps_of(found)
    assert kinds(load) == [Row.MULTIPLY, Row.ADD, Row.PACK_SIGN]
    assert [item.op for item in found.stages[0].nodes] == ["Conv"]
    assert kinds(conv)[:2] == [Row.TO_FLOAT, Row.ADD_TENSOR]


def test_what_kernels_can_not_hold_runs_in_floats():
    """Whole numbers of any size, and weights that are no sums of +1 and -1."""
    given = {"weight_shape": [4, 6], "bits": 2, "input_steps": 1.0}
    nodes = [
        packed("QDense", "x w", "a", step=2.0, offset=-3.0, input="integer", **given),
        packed("Sign", "x", "s"),
        packed("QDense", "s w", "b", step=1.0, offset=-2.0, input="sign", **given),
    ]
    proto = model(nodes, {"x": (6,)}, {"a": (4,), "b": (4,)}, {"w": codes(24, 2)})
    assert not steps_of(planned(proto))
    x = {"x": np.random.default_rng(0).integers(-9, 9, (3, 6)).astype(np.float32)}
    found = larqlite_runtime.load(proto.SerializeToString()).run(x)
    for name, array in stock(proto, x).items():
        np.testing.assert_array_equal(found[name], array)


def test_borders_stay_as_they_are_from_call_to_call():
    proto = network(
        block(1, "x", 32, pad_value=-1.0),
        block(2, "normal1", 32),
        outputs={"normal2": (32, 6, 6)},
    )
    data = proto.SerializeToString()
    runtime = larqlite_runtime.load(data)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(2, 32, 6, 6)).astype(np.float32)
        np.testing.assert_array_equal(runtime(x), larqlite_runtime.load(data)(x))


def test_memory_is_used_again_once_a_tensor_is_no_longer_read():
    parts = []
    for number in range(1, 9):
        source = "x" if number == 1 else f"relu{number - 1}"
        relu = node("LeakyRelu", f"normal{number}", f"relu{number}", alpha=-0.5)
        parts += [block(number, source, 32), ([relu], {})]
    proto = network(*parts, outputs={"relu8": (32, 6, 6)})
    found = planned(proto)
    separate = sum(
        buffer.bytes for buffer in found.program.buffers if buffer.constant is None
    )
    assert found.program.workspace < separate / 2
    compare(proto)


def test_bodies_and_unknown_domains_never_reach_onnxruntime():
    proto = files.kbit_block()
    found = planned(proto)
    assert {item.domain for stage in found.stages for item in stage.nodes} <= {
        "",
        PACKED,
    }
