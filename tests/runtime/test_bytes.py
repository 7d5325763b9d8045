"""Pixels as bytes: first layers of whole numbers, and what they share with float32."""

import numpy as np
import pytest

from larqlite_runtime import ArgumentError
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.backends import _native
from larqlite_runtime.internal import whole_program
from larqlite_runtime.planner import PixelScale
from larqlite_runtime.planner._window import Window
from larqlite_runtime.planner.producers import byte_sums
from tests.runtime import files
from tests.runtime.files import convolution, floats, model
from tests.runtime.networks import stock
from tests.runtime.plans import kinds, node, packed, run_whole

SETS = [
    name
    for name, number in _native.INSTRUCTION_SETS.items()
    if _native.library() is not None and _native.library().lq_supports(number)
]
FEW, MANY = "few-valued", "float"


def first_layer(weights, pooled=True, scaling=None, strides=1):
    """Image -> float layer with zeros around it -> (pooling) -> scale, sign, packed layer."""
    nodes, source, rng = [], "image", np.random.default_rng(1)
    constants = {"w": weights, "bias": rng.integers(-8, 9, 40).astype(np.float32) / 8}
    if scaling is not None:
        nodes = [node("Mul", "image by", "times"), node("Add", "times to", "scaled")]
        constants |= dict(zip(("by", "to"), map(np.float32, scaling), strict=True))
        source = "scaled"
    nodes += [
        node("Transpose", source, "moved", perm=[0, 3, 1, 2]),
        node(
            "Conv",
            "moved w bias",
            "sums",
            pads=[1, 1, 1, 1],
            strides=[strides] * 2,
        ),
    ]
    last = "sums"
    if pooled:
        nodes.append(node("MaxPool", last, "pool", kernel_shape=[2, 2], strides=[2, 2]))
        last = "pool"
    scale = rng.choice([-2, -0.5, 0.75, 1.5], (40, 1, 1))
    constants |= {
        "scale": scale.astype(np.float32),
        "offset": rng.normal(size=(40, 1, 1)).astype(np.float32),
        "w2": files.codes(8 * 9 * 40),
    }
    nodes += [
        node("Mul", f"{last} scale", "times_scale"),
        node("Add", "times_scale offset", "normal"),
        packed("Sign", "normal", "signs"),
        packed("BConv2D", "signs w2", "y", **convolution((8, 3, 3, 40))),
    ]
    return model(nodes, {"image": (12, 14, 3)}, {"y": None}, constants)


def weights_of(kind):
    if kind == MANY:
        return floats(40, 3, 3, 3)
    rng = np.random.default_rng(0)
    return rng.choice([-1, -0.5, 0.25, 1], (40, 3, 3, 3)).astype(np.float32)


def pictures(count):
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (count, 12, 14, 3)).astype(np.uint8)
    x[0], x[1] = 0, 255
    return x


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1 / 128, -1), (0.25, 2)])
def test_few_valued_weights_give_the_integers_of_float32(
    scale, offset, pooled, strides
):
    proto = first_layer(weights_of(FEW), pooled, strides=strides)
    whole = whole_program(proto.SerializeToString(), pixels=(scale, offset))
    assert whole.exact_inputs == ("image",)
    assert whole.inputs[0].dtype == np.uint8
    first, second = whole.steps[:2]
    assert (first.kind, kinds(first)) == (
        StepKind.CONV_BYTES,
        [EpilogueKind.THRESHOLD],
    )
    assert second.kind == (StepKind.MOVE_BITS if pooled else StepKind.CONV)
    x = pictures(4)
    fed = x.astype(np.float32) * np.float32(scale) + np.float32(offset)
    wanted = stock(proto, {"image": fed})["y"]
    for isa in (*SETS, "numpy"):
        for picture, sums in zip(x, wanted, strict=True):
            found = run_whole(whole, picture, isa)["y"]
            np.testing.assert_array_equal(found[0], sums, err_msg=isa)


def test_the_scaling_of_the_model_is_taken_in():
    scaling = (1 / 128, -1)
    proto = first_layer(weights_of(FEW), scaling=scaling)
    whole = whole_program(proto.SerializeToString(), pixels=True)
    assert whole.exact_inputs == ("image",)
    x = pictures(3)
    wanted = stock(proto, {"image": x.astype(np.float32)})["y"]
    for picture, sums in zip(x, wanted, strict=True):
        np.testing.assert_array_equal(run_whole(whole, picture)["y"][0], sums)
    with pytest.raises(ArgumentError, match=r"reads an input.*\n  Fix: leave `pixels`"):
        whole_program(proto.SerializeToString(), inputs=["sums"], pixels=True)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 127.5, -1), (1 / 255, 0)])
def test_of_float_weights_hardly_a_bit_differs_and_it_is_said(scale, offset):
    proto = first_layer(weights_of(MANY))
    whole = whole_program(proto.SerializeToString(), pixels=(scale, offset))
    assert whole.exact_inputs == ()
    x = pictures(40)
    fed = x.astype(np.float32) * np.float32(scale) + np.float32(offset)
    wanted = stock(proto, {"image": fed})["y"]
    found = np.concatenate([run_whole(whole, picture)["y"] for picture in x])
    # One bit of the first layer makes up to 9 x 8 sums of the second one differ.
    assert (found != wanted).mean() < 1e-3


def test_floats_are_off_by_so_many_steps_of_int32_at_most():
    nodes = [
        node("Transpose", "image", "moved", perm=[0, 3, 1, 2]),
        node("Conv", "moved w", "sums", pads=[1, 1, 1, 1]),
        node("Relu", "sums", "y"),
    ]
    weights = floats(20, 3, 3, 3)
    proto = model(nodes, {"image": (12, 14, 3)}, {"y": None}, {"w": weights})
    whole = whole_program(proto.SerializeToString(), pixels=(1 / 255, -0.5))
    picture = pictures(3)[2]
    scale, offset = np.float64(np.float32(1 / 255)), -0.5
    exact = np.pad(picture * scale + offset, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(exact, (3, 3), (0, 1))
    wanted = np.maximum(np.einsum("yxcab,ocab->oyx", windows, weights), 0)
    most = abs(weights).sum((1, 2, 3)) * (255 * scale - offset)
    bound = most * (27 * 255 / 2**31 + 2.0**-23)
    for isa in (*SETS, "numpy"):
        found = run_whole(whole, picture, isa)["y"][0]
        assert np.all(abs(found - wanted) <= bound[:, None, None]), isa


def test_no_sum_leaves_int32_and_weights_are_as_fine_as_that_allows():
    size = (1, 6, 6)
    window = Window(size, size, (1, 3, 3), before=(0, 1, 1))
    for seed, weights in enumerate(
        (
            np.ones((2, 600, 3, 3), np.float32),
            -np.ones((2, 600, 3, 3), np.float32),
            np.zeros((2, 600, 3, 3), np.float32),
            floats(2, 600, 3, 3) * np.float32(1e-20),
            floats(2, 600, 3, 3) * np.float32(1e12),
        )
    ):
        for factor, offset in ((1 / 255, -0.5), (1.0, 0.0), (-3.0, 900.0)):
            scale = PixelScale(np.full(600, factor), np.full(600, offset))
            found = byte_sums(weights, scale, window)
            low, high = found.range()
            assert max(abs(low).max(), abs(high).max()) < 1 << 31
            codes = found.codes.astype(np.float64).reshape(2, -1)
            starts = abs(found.starts.astype(np.float64)).max((0, 1))
            most = 255 * abs(codes).sum(1) + starts
            assert (most < 1 << 31).all(), seed
            # A power of two more would not fit.
            assert ((most == 0) | (most > (1 << 30) - 255 * 5400)).all(), seed
            restored = found.codes * np.float64(found.scale)[:, None, None, None]
            step = abs(np.float64(found.scale))[:, None, None, None]
            assert np.all(abs(restored - weights * factor) <= step * 0.51)


def test_each_channel_of_an_image_may_have_its_own_scale():
    proto = first_layer(weights_of(FEW))
    both = ([0.5, 0.25, 1.0], [-64.0, -32.0, 1.0])
    whole = whole_program(proto.SerializeToString(), pixels=both)
    assert whole.exact_inputs == ("image",)
    x = pictures(3)
    fed = x.astype(np.float32) * np.float32(both[0]) + np.float32(both[1])
    wanted = stock(proto, {"image": fed})["y"]
    for picture, sums in zip(x, wanted, strict=True):
        np.testing.assert_array_equal(run_whole(whole, picture)["y"][0], sums)


@pytest.mark.parametrize("pixels", [(0, 1), (1,), ("a", 0), 3, (1, np.nan), None])
def test_what_is_no_scale_is_refused_with_its_value(pixels):
    proto = first_layer(weights_of(FEW))
    with pytest.raises(ArgumentError, match=r"is no scale and offset\.\n  Fix: two"):
        whole_program(proto.SerializeToString(), pixels=pixels)
