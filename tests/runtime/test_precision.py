"""Float layers in bfloat16 and on integer pixels, against NumPy with the same roundings."""

from __future__ import annotations

import logging
import pickle

import ml_dtypes
import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime import ArgumentError, InputError
from larqlite_runtime._program import StepKind
from larqlite_runtime.backends import _native
from larqlite_runtime.planner import Numbers, PixelScale, pixel_sums
from larqlite_runtime.planner._window import Window
from tests.runtime import files
from tests.runtime.files import model
from tests.runtime.networks import stock
from tests.runtime.plans import block, kinds, planned, steps_of

node = files.node
EPSILON = 2.0**-24  # half a unit in the last place of a float32 sum
SMALLEST = 2.0**-126  # below it, bfloat16 factors may count as 0


def sets(bit):
    """The instruction sets of this CPU that multiply bfloat16 (1) or int16 (2), and NumPy."""
    lib = _native.library()
    numbers = _native.INSTRUCTION_SETS.items() if lib else ()
    return ["numpy", *(name for name, number in numbers if lib.lq_halves(number) & bit)]


def stem(scale=None, offset=None, out=40, channels=3, size=(9, 24), **attributes):
    """[Scaling of the image], convolution, bias, normalization."""
    given = {"pads": [1, 2, 1, 2], "strides": [2, 1]} | attributes
    nodes, constants, flowing = [], {}, "image"
    for op, name, values in (("Mul", "scale", scale), ("Add", "offset", offset)):
        if values is not None:
            nodes.append(node(op, f"{flowing} {name}", f"{name}d"))
            constants[name] = np.float32(values)
            flowing = f"{name}d"
    nodes += [
        node("Transpose", flowing, "moved", perm=[0, 3, 1, 2]),
        node("Conv", "moved w bias", "sums", **given),
        node("Mul", "sums gamma", "scaled_sums"),
        node("Add", "scaled_sums beta", "y"),
    ]
    constants |= {
        "w": files.floats(out, channels, 3, 5),
        "bias": files.floats(out, seed=1),
        "gamma": files.floats(out, 1, 1, seed=2),
        "beta": files.floats(out, 1, 1, seed=3),
    }
    return model(nodes, {"image": (*size, channels)}, {"y": None}, constants)


def load(proto, **options):
    return larqlite_runtime.load(proto.SerializeToString(), threads=1, **options)


def by_hand(x, w, strides=(2, 1), pads=(1, 2)):
    """Sums of products of NHWC images, and of their magnitudes, in float64."""
    pads = ((0, 0), *((pad, pad) for pad in pads), (0, 0))
    x, w = np.pad(x.astype(np.float64), pads), w.astype(np.float64)
    kernel = w.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))
    windows = windows[:, :: strides[0], :: strides[1]]
    sums = np.einsum("nyxchw,ochw->noyx", windows, w)
    return sums, np.einsum("nyxchw,ochw->noyx", abs(windows), abs(w))


def rounded(values):
    with np.errstate(over="ignore"):
        return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def normalized(sums, proto):
    values = constants_of(proto)
    sums = sums + values["bias"][:, None, None].astype(np.float64)
    return sums * values["gamma"] + values["beta"]


def constants_of(proto):
    from onnx import numpy_helper

    return {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}


@pytest.mark.parametrize("isa", sets(1))
def test_bf16_rounds_inputs_and_weights_to_nearest_and_sums_floats(isa):
    proto = stem()
    constants = constants_of(proto)
    x = files.floats(3, 9, 24, 3, seed=7)
    runtime = load(proto, isa=isa, precision="bf16")
    assert runtime.precision == "bf16"
    sums, magnitudes = by_hand(rounded(x), rounded(constants["w"]))
    terms = constants["w"][0].size + 3  # bias, scale and offset round once each
    bound = terms * EPSILON * (magnitudes + abs(constants["bias"])[:, None, None])
    bound = bound * abs(constants["gamma"]) + 4 * EPSILON
    assert np.all(abs(runtime(x) - normalized(sums, proto)) <= bound)
    exact, _ = by_hand(x, constants["w"])
    assert abs(runtime(x) - normalized(exact, proto)).max() > 1e-3  # it did round


@pytest.mark.parametrize("isa", sets(1))
def test_infinite_and_huge_values_and_nan_reach_their_windows_only_in_bf16(isa):
    proto = stem()
    x = files.floats(1, 9, 24, 3, seed=7)
    # The last of a run of 15 values is multiplied alone, whatever lies behind it.
    x[0, 3, 10, 0], x[0, 6, 17, 2], x[0, 8, 4, 1] = np.inf, np.nan, 3.4e38
    found = load(proto, isa=isa, precision="bf16")(x)
    with np.errstate(invalid="ignore"):
        sums, _ = by_hand(rounded(x), rounded(constants_of(proto)["w"]))
    assert np.isinf(rounded(np.float32([3.4e38]))).all()
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(sums))
    assert 0 < np.isfinite(sums).sum() < sums.size


@pytest.mark.parametrize("isa", sets(1))
def test_factors_below_the_normal_range_count_as_they_are_or_as_zero_in_bf16(isa):
    proto = stem()
    constants = constants_of(proto)
    x = files.floats(1, 9, 24, 3, seed=7)
    x[:, ::2] *= 1e-39
    found = load(proto, isa=isa, precision="bf16")(x)
    kept, magnitudes = by_hand(rounded(x), rounded(constants["w"]))
    most = SMALLEST * abs(constants["w"]).sum((1, 2, 3))[:, None, None]
    bound = 50 * EPSILON * (magnitudes + abs(constants["bias"])[:, None, None]) + most
    bound = bound * abs(constants["gamma"]) + 4 * EPSILON
    assert np.all(abs(found - normalized(kept, proto)) <= bound)


SCALINGS = [
    (None, None),
    (1 / 255, None),
    (1 / 127.5, -1.0),
    ([0.017, 0.018, 0.0174], [-2.1, -2.0, -1.8]),
]


@pytest.mark.parametrize(("scale", "offset"), SCALINGS)
def test_pixels_are_summed_as_whole_numbers_to_half_a_step_of_a_weight(scale, offset):
    proto = stem(scale, offset)
    constants = constants_of(proto)
    x = np.random.default_rng(0).integers(0, 256, (2, 9, 24, 3)).astype(np.uint8)
    x[0] = 255
    one = np.float64(1 if scale is None else np.float32(scale))
    two = np.float64(0 if offset is None else np.float32(offset))
    wanted, _ = by_hand(x * one + two, constants["w"])
    largest = abs(constants["w"] * np.broadcast_to(one, 3)[:, None, None])
    step = largest.max((1, 2, 3)) / 32767
    # Weights and the start of a sum are off by half a step; then floats round.
    bound = step * (255 * constants["w"][0].size + 1) / 2
    bound = bound[:, None, None] + 1e-6 * abs(wanted)
    bound = bound * abs(constants["gamma"]) + 1e-5
    answers = []
    for isa in sets(2):
        runtime = load(proto, isa=isa, precision="int8-input")
        assert runtime.precision == "int8-input"
        answers.append(runtime(x))
        assert np.all(abs(answers[-1] - normalized(wanted, proto)) <= bound)
        np.testing.assert_array_equal(answers[-1], answers[0], err_msg=isa)


def test_sums_of_pixels_stay_in_int32_whatever_the_weights():
    for weights in (
        np.ones((2, 600, 3, 3), np.float32),
        -np.ones((2, 600, 3, 3), np.float32),
        np.zeros((2, 600, 3, 3), np.float32),
        files.floats(2, 600, 3, 3),
    ):
        size = (1, 6, 6)
        window = Window(size, size, (1, 3, 3), before=(0, 1, 1))
        scale = PixelScale(np.full(600, 1 / 255), np.full(600, -0.5))
        found = pixel_sums(weights, scale, window)
        codes = found.codes.astype(np.int64).reshape(2, -1)
        ends = found.starts.astype(np.int64).reshape(-1, 2)
        for sign in (1, -1):
            most = 255 * np.maximum(sign * codes, 0).sum(1) + sign * ends
            assert abs(most).max() < 1 << 31
        restored = found.codes * np.float64(found.scale)[:, None, None, None]
        step = np.float64(found.scale)[:, None, None, None]
        assert np.all(abs(restored - weights / 255) <= step * 0.51)


@pytest.mark.parametrize("isa", sets(2))
def test_dense_layers_take_pixels_too_and_the_largest_sums_are_right(isa):
    nodes = [
        node("Reshape", "image shape", "flat"),
        node("MatMul", "flat w", "sums"),
        node("Relu", "sums", "y"),
    ]
    weights = np.ones((27 * 16, 33), np.float32)
    constants = {"w": weights, "shape": files.integers(-1, 27 * 16)}
    proto = model(nodes, {"image": (27, 16)}, {"y": None}, constants)
    runtime = load(proto, isa=isa, precision="int8-input")
    assert runtime.precision == "int8-input"
    x = np.full((5, 27, 16), 255, np.uint8)
    # A sum of int32 has room for 19,494 steps of each weight, and half a one is lost.
    wanted = np.full((5, 33), 255.0 * 27 * 16)
    np.testing.assert_allclose(runtime(x), wanted, rtol=0.5 / 19_494)


@pytest.mark.parametrize("value", [-1, 256, 0.5, np.nan])
def test_what_is_no_pixel_is_refused_by_value(value):
    runtime = load(stem(1 / 255), precision="int8-input")
    x = np.full((1, 9, 24, 3), 7, np.float32)
    runtime(x)
    x[0, 1, 2, 0] = value
    with pytest.raises(
        InputError, match=rf"holds {value:g}.*\n  Fix: give a uint8 array"
    ):
        runtime(x)


@pytest.mark.parametrize("precision", ["fp16", None, 8, "BF16"])
def test_an_unknown_precision_names_the_choices(precision):
    with pytest.raises(ValueError, match='"float32", "bf16", "int8-input"') as raised:
        load(stem(), precision=precision)
    assert isinstance(raised.value, ArgumentError)


@pytest.mark.skipif(_native.library() is None, reason="no compiler: no native kernels")
@pytest.mark.parametrize("precision", ["bf16", "int8-input"])
def test_what_the_cpu_lacks_is_said_and_float32_runs(precision, caplog):
    _native.say_once.cache_clear()
    proto = stem(1 / 255)
    x = np.full((1, 9, 24, 3), 7, np.uint8)
    with caplog.at_level(logging.WARNING, "larqlite_runtime"):
        runtime = load(proto, isa="portable", precision=precision)
    assert f'precision="{precision}"' in caplog.text
    assert 'Float layers run in "float32"' in caplog.text
    assert runtime.precision == "float32"
    np.testing.assert_array_equal(runtime(x), load(proto, isa="portable")(x))


@pytest.mark.parametrize("precision", ["bf16", "int8-input"])
def test_a_file_without_such_a_layer_is_said(precision, caplog):
    _native.say_once.cache_clear()
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("Abs", "t", "y")]
    proto = model(nodes, {"x": (4, 6)}, {"y": None})
    with caplog.at_level(logging.WARNING, "larqlite_runtime"):
        runtime = load(proto, isa="numpy", precision=precision)
    assert f'precision="{precision}" is not to be had' in caplog.text
    assert runtime.precision == "float32"


def test_the_default_is_float32_and_stays_bit_for_bit():
    proto, x = stem(), files.floats(2, 9, 24, 3)
    runtime = load(proto)
    assert runtime.precision == "float32"
    np.testing.assert_array_equal(runtime(x), load(proto, precision="float32")(x))


def test_a_pickled_model_keeps_its_precision():
    runtime = load(stem(), isa="numpy", precision="bf16")
    again = pickle.loads(pickle.dumps(runtime))
    assert again.precision == "bf16"
    x = files.floats(1, 9, 24, 3)
    np.testing.assert_array_equal(again(x), runtime(x))


def test_profile_and_explain_show_what_each_layer_multiplies():
    runtime = load(stem(1 / 255), isa="numpy", precision="int8-input")
    steps = runtime.explain().steps
    assert [step.kind for step in steps] == ["load", "conv_pixels"]
    assert steps[0].epilogues == ("pack_pixels",)
    assert (
        "node/scaled" in steps[1].nodes
    )  # the scaling, which the weights have taken in
    profile = runtime.profile(np.zeros((1, 9, 24, 3), np.uint8), repeat=1)
    assert [step.kind for step in profile.steps] == ["load", "conv_pixels"]


def classifier(channels=32):
    """A packed block, the mean over the image, a dense layer, softmax."""
    nodes, constants = block(1, "x", channels)
    nodes += [
        node("GlobalAveragePool", "normal1", "mean"),
        node("Flatten", "mean", "flat"),
        node("Gemm", "flat dense bias", "logits"),
        node("Softmax", "logits", "y"),
    ]
    constants |= {"dense": files.floats(channels, 50), "bias": files.floats(50)}
    return model(nodes, {"x": (channels, 6, 6)}, {"y": None}, constants)


def test_a_classifier_behind_kernels_is_one_of_theirs():
    proto = classifier()
    found = planned(proto)
    dense, softmax = steps_of(found)[-2:]
    assert (dense.kind, dense.size, dense.channels) == (
        StepKind.CONV_FLOAT,
        (1, 1, 1),
        50,
    )
    assert [kind.name for kind in kinds(softmax)] == ["SOFTMAX", "STORE"]
    slow = steps_of(planned(proto, float_kernels=False))
    assert StepKind.CONV_FLOAT not in {step.kind for step in slow}
    for batch in (1, 5):
        x = {"x": files.floats(batch, 32, 6, 6)}
        wanted = stock(proto, x)["y"]
        np.testing.assert_allclose(load(proto).run(x)["y"], wanted, rtol=2e-5)


def test_bf16_reaches_shortcuts_and_classifiers_and_checked_plans_hold():
    proto = classifier()
    found = planned(proto, numbers=Numbers.BF16)
    assert found.numbers is Numbers.BF16
    load_step, dense, _ = steps_of(found)[-3:]
    assert kinds(load_step)[-1].name == "PACK_BF16"
    assert dense.kind == StepKind.CONV_BF16
    for scale, offset in SCALINGS:
        found = planned(stem(scale, offset), numbers=Numbers.PIXELS)
        assert found.numbers is Numbers.PIXELS
        assert found.pixel_inputs == ("image",)
    assert planned(stem(), numbers=Numbers.BF16).numbers is Numbers.BF16
