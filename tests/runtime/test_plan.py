"""What plans look like: which steps there are, and what is fused into them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

import larqlite_runtime
from larqlite_runtime._program import EpilogueKind, StepKind
from tests.runtime import files
from tests.runtime.exported import GOLDEN
from tests.runtime.files import PACKED, codes, convolution, floats, model
from tests.runtime.networks import stock
from tests.runtime.plans import block, compare, kinds, network, planned, steps_of

node, packed = files.node, files.packed


def test_scale_offset_and_sign_between_two_layers_are_one_threshold():
    proto = network(
        block(1, "x", 32), block(2, "normal1", 32), outputs={"normal2": (32, 6, 6)}
    )
    load, first, second = steps_of(planned(proto))
    assert (load.kind, kinds(load)) == (StepKind.LOAD, [EpilogueKind.PACK_SIGN])
    assert (first.kind, kinds(first)) == (StepKind.CONV, [EpilogueKind.THRESHOLD])
    assert kinds(second) == [
        EpilogueKind.TO_FLOAT,
        EpilogueKind.MULTIPLY,
        EpilogueKind.ADD,
        EpilogueKind.STORE,
    ]
    compare(proto)


def test_a_residual_is_added_and_packed_by_the_layer_before():
    sums = ([node("Add", "normal1 x", "sum1")], {})
    proto = network(
        block(1, "x", 32), sums, block(2, "sum1", 32), outputs={"normal2": (32, 6, 6)}
    )
    _, first, _ = steps_of(planned(proto))
    assert kinds(first) == [
        *(
            EpilogueKind.TO_FLOAT,
            EpilogueKind.MULTIPLY,
            EpilogueKind.ADD,
            EpilogueKind.ADD_TENSOR,
            EpilogueKind.PACK_SIGN,
        )
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
    assert kinds(first)[-2:] == [EpilogueKind.STORE, EpilogueKind.PACK_SIGN]
    compare(proto)


def test_layers_of_different_windows_read_the_same_bits():
    parts = [
        block(1, "x", 32, size=3),
        block(2, "x", 32, size=1, pads=[0] * 4),
        ([node("Add", "normal1 normal2", "sum")], {}),
    ]
    proto = network(*parts, outputs={"sum": (32, 6, 6)})
    load, *convs = steps_of(planned(proto))
    assert kinds(load) == [EpilogueKind.PACK_SIGN]
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
    assert kinds(load) == [EpilogueKind.PACK_SIGN] * 2
    assert len({step.input.buffer for step in convs}) == 2
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
        *(StepKind.LOAD, StepKind.CONV_FLOAT, StepKind.CONV, StepKind.CONV_FLOAT)
    ]
    compare(proto, exact=False)
    slow = planned(proto, float_kernels=False)
    assert StepKind.CONV_FLOAT not in {step.kind for step in steps_of(slow)}


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
        *(StepKind.LOAD, StepKind.CONV, StepKind.MEAN, StepKind.LOAD)
    ]
    assert kinds(found[-1]) == [EpilogueKind.MULTIPLY_IMAGE, EpilogueKind.STORE]
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
    assert kinds(steps_of(planned(proto))[-1])[-2:] == [
        EpilogueKind.MULTIPLY_IMAGE,
        EpilogueKind.STORE,
    ]
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
    assert kinds(load) == [
        EpilogueKind.MULTIPLY,
        EpilogueKind.ADD,
        EpilogueKind.PACK_SIGN,
    ]
    assert [item.op for item in found.stages[0].nodes] == ["Conv"]
    assert kinds(conv)[:2] == [EpilogueKind.TO_FLOAT, EpilogueKind.ADD_TENSOR]


def test_what_kernels_can_not_hold_runs_in_floats():
    """Whole numbers of any size, and weights that are too large."""
    given = {"weight_shape": [4, 6], "bits": 2, "input_steps": 1.0}
    nodes = [
        packed("QDense", "x w", "a", step=2.0, offset=-3.0, input="integer", **given),
        packed("Sign", "x", "s"),
        packed("QDense", "s w", "b", step=1.0, offset=-20000.0, input="sign", **given),
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
    assert found.program.arena < separate / 2
    compare(proto)


def test_bodies_and_unknown_domains_never_reach_onnxruntime():
    proto = files.kbit_block()
    found = planned(proto)
    assert {item.domain for stage in found.stages for item in stage.nodes} <= {
        "",
        PACKED,
    }


def test_what_is_added_to_all_channels_may_be_broadcast_along_an_axis_too(tmp_path):
    """A convolution whose strides leave one column, added to whole images."""
    proto = onnx.load(GOLDEN / "deploy_integers.onnx")
    (node,) = (n for n in proto.graph.node if n.output[0] == "quant_conv2d/input:0")
    (strides,) = (a for a in node.attribute if a.name == "strides")
    strides.ints[:] = [1, 16]
    del proto.graph.value_info[:]
    onnx.save(proto, tmp_path / "net.onnx")
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    expected = session.run(None, {"input_1": x})[0]
    found = larqlite_runtime.load(tmp_path / "net.onnx")(x)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_softmax_over_channels_is_one_of_the_kernels_and_any_other_is_not():
    for axis, is_native in ((1, True), (-1, False)):
        last = ([node("Softmax", "normal1", "y", axis=axis)], {})
        proto = network(block(1, "x", 32), last, outputs={"y": (32, 6, 6)})
        found = planned(proto)
        step = steps_of(found)[-1]
        assert (kinds(step) == [EpilogueKind.SOFTMAX, EpilogueKind.STORE]) == is_native
        assert (found.stages[-1].part is not None) == is_native
        compare(proto, exact=False)


def test_what_is_pooled_is_whole_where_it_is_an_output_too():
    """Bands of a large convolution take the place of one another where nobody else reads them."""
    rng = np.random.default_rng(3)
    nodes = [
        node("Transpose", "image", "moved", perm=[0, 3, 1, 2]),
        node("Conv", "moved w0", "sums", pads=[1, 1, 1, 1]),
        node("MaxPool", "sums", "pool", kernel_shape=[3, 3], strides=[2, 2]),
        packed("Sign", "pool", "signs"),
        packed("BConv2D", "signs w1", "y", **convolution((16, 3, 3, 16))),
    ]
    proto = model(
        nodes,
        {"image": (130, 100, 3)},
        {"sums": (16, 130, 100), "pool": (16, 64, 49), "y": None},
        {
            "w0": rng.integers(-3, 4, (16, 3, 3, 3)).astype(np.float32),
            "w1": codes(16 * 9 * 16),
        },
    )
    x = rng.integers(-4, 5, (1, 130, 100, 3)).astype(np.float32)
    wanted = stock(proto, {"image": x})
    for outputs in (["y"], ["pool", "y"], ["sums", "pool", "y"]):
        for threads in (1, 2):
            content = proto.SerializeToString()
            runtime = larqlite_runtime.load(content, threads=threads, outputs=outputs)
            for name, array in runtime.run(x).items():
                np.testing.assert_array_equal(array, wanted[name], err_msg=name)
