"""Programs that the kernels run as a whole: every operation against stock onnxruntime."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given

import larqlite_runtime
from larqlite_runtime import ArgumentError, ModelFileError, NoNativeStepError
from larqlite_runtime._program import StepKind
from larqlite_runtime.planner import plan
from larqlite_runtime.reader import read
from larqlite_runtime.reader.operators import OPERATORS
from tests.common.samples import few_or_more
from tests.runtime import files
from tests.runtime.files import codes, convolution, floats, integers, model, packed
from tests.runtime.networks import stock
from tests.runtime.nodes import STRATEGIES, case_of
from tests.runtime.plans import planned, steps_of
from tests.runtime.test_shapes import examples, model_of, run

FLOAT = np.dtype(np.float32)
# By name: the nodes between "x" and "y", the shape of x, constants.
node = files.node
IMAGE = (6, 5, 4)
CASES = {
    "conv groups": (
        [node("Conv", "x w b", "y", group=2, pads=[1, 1, 1, 1], strides=[2, 1])],
        IMAGE,
        {"w": floats(8, 3, 3, 3), "b": floats(8)},
    ),
    "conv depthwise": (
        [node("Conv", "x w b", "y", group=6, pads=[0, 1, 1, 0], dilations=[1, 2])],
        IMAGE,
        {"w": floats(12, 1, 2, 2), "b": floats(12)},
    ),
    "conv transposed": (
        [
            node(
                "ConvTranspose", "x w b", "y",
                group=2, strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 0],
            )
        ],
        IMAGE,
        {"w": floats(6, 2, 3, 2), "b": floats(4)},
    ),
    "dense": (
        [
            node("Gemm", "x w b", "g", transB=1, alpha=0.5, beta=2.0),
            node("Softmax", "g", "y"),
        ],
        (6,),
        {"w": floats(5, 6), "b": floats(5)},
    ),
    "dense of rows": (
        [node("MatMul", "x w", "y")], (3, 5, 6), {"w": floats(6, 2)}
    ),
    "pool first": (
        [node("MaxPool", "x", "y", kernel_shape=[2, 3], pads=[0, 1, 1, 1])], IMAGE, {}
    ),
    "mean": ([node("GlobalAveragePool", "x", "y")], IMAGE, {}),
    "largest": (
        [
            node("GlobalMaxPool", "x", "a"),
            node("ReduceMax", "x axes", "b", keepdims=0),
            node("ReduceMean", "x last", "m"),
            node("Reshape", "b sizes", "c"),
            node("Add", "c m", "s"),
            node("Mul", "a s", "y"),
        ],
        (4, 5, 4),
        {"axes": integers(1, 2), "last": integers(-1), "sizes": integers(-1, 1, 1, 4)},
    ),
    "functions": (
        [
            node("Sigmoid", "x", "s"), node("Tanh", "x", "t"), node("Elu", "x", "e", alpha=0.5),
            node("Selu", "x", "u"), node("Celu", "x", "c", alpha=2.0),
            node("HardSwish", "x", "h"), node("HardSigmoid", "x", "g", alpha=0.3),
            node("Abs", "x", "a"), node("Pow", "x three", "p"), node("LeakyRelu", "x", "l"),
            node("Softsign", "x", "f"), node("Exp", "x", "k"), node("PRelu", "x slopes", "r"),
            node("ThresholdedRelu", "x", "d", alpha=0.25), node("Softmax", "x", "m", axis=2),
            node("Sum", "s t e u c h g a p l f k r d m", "sum"), node("Mean", "sum x", "y"),
        ],
        IMAGE,
        {"three": np.float32(3), "slopes": floats(6, 1, 4)},
    ),
    "ends": (
        [
            node("Min", "x one", "a"), node("Max", "half a", "b"), node("Sub", "one b", "c"),
            node("Sub", "c x", "d"), node("Mul", "d image", "e"), node("Div", "e two", "y"),
        ],
        IMAGE,
        {
            "one": np.float32(1), "half": np.float32(-0.5),
            "image": floats(1, 6, 5, 4), "two": np.full((1, 6, 5, 1), 2, np.float32),
        },
    ),
    "gate": (
        [
            node("ReduceMean", "x axes", "m", keepdims=0), node("Gemm", "m w", "d"),
            node("Sigmoid", "d", "s"), node("Reshape", "s sizes", "g"), node("Mul", "x g", "y"),
        ],
        IMAGE,
        {"axes": integers(2, 3), "w": floats(6, 6), "sizes": integers(-1, 6, 1, 1)},
    ),
    "normalized": (
        [
            node("ReduceMean", "x last", "m"), node("Sub", "x m", "c"), node("Mul", "c c", "v"),
            node("ReduceMean", "v last", "n"), node("Add", "n small", "p"), node("Sqrt", "p", "s"),
            node("Div", "c s", "d"), node("ReduceSum", "d first", "t"),
            node("Tile", "t times", "y"),
        ],
        IMAGE,
        {
            "last": integers(-1), "first": integers(1), "small": np.float32(1e-3),
            "times": integers(1, 2, 1, 3),
        },
    ),
    "of pixels": (
        [
            node("Conv", "x w", "c"), node("Sigmoid", "c", "s"), node("Mul", "x s", "m"),
            node("Add", "m s", "y"),
        ],
        IMAGE,
        {"w": floats(1, 6, 1, 1)},
    ),
    "moved": (
        [
            node("Transpose", "x", "t", perm=[0, 2, 1, 3]), node("Relu", "t", "r"),
            node("Reshape", "r sizes", "f"), node("Gemm", "f w", "y"),
        ],
        IMAGE,
        {"sizes": integers(-1, 120), "w": floats(120, 3)},
    ),
    "shuffled": (
        [
            node("Reshape", "x cut", "a"), node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "b whole", "c"), node("Conv", "c w", "y", pads=[1, 1, 1, 1]),
        ],
        IMAGE,
        {
            "cut": integers(-1, 2, 3, 5, 4), "whole": integers(-1, 6, 5, 4),
            "w": floats(4, 6, 3, 3),
        },
    ),
    "cut": (
        [
            node("Split", "x parts", "a b", axis=2), node("Slice", "b from to axes steps", "c"),
            node("Pad", "c pads", "d"), node("Concat", "d a", "e", axis=2),
            node("Conv", "e w", "y"),
        ],
        IMAGE,
        {
            "parts": integers(2, 3), "from": integers(0), "to": integers(3), "axes": integers(2),
            "steps": integers(2), "pads": integers(0, 0, 1, 0, 0, 0, 0, 0),
            "w": floats(4, 6, 2, 1),
        },
    ),
    "larger": (
        [
            node(
                "Resize", "x - factors", "r", mode="nearest", nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            ),
            node("Conv", "r w", "c", strides=[2, 1]), node("DepthToSpace", "c", "d", blocksize=2),
            node("SpaceToDepth", "d", "y", blocksize=2),
        ],
        IMAGE,
        {"factors": np.float32([1, 1, 2, 3]), "w": floats(4, 6, 1, 1)},
    ),
}  # fmt: skip


def built(nodes, shape, constants):
    return model(nodes, {"x": shape}, {"y": None}, constants)


@pytest.mark.parametrize("name", CASES)
def test_an_operation_gives_what_stock_onnxruntime_gives(name):
    proto = built(*CASES[name])
    found = planned(proto, whole=True)
    assert [stage.part for stage in found.stages] == [0]
    x = floats(3, *CASES[name][1], seed=7)
    wanted = stock(proto, {"x": x})["y"]
    for isa in (None, "portable", "numpy"):
        content = proto.SerializeToString()
        runtime = larqlite_runtime.load(content, 1, engine="native", isa=isa)
        np.testing.assert_allclose(runtime(x), wanted, rtol=2e-5, atol=2e-6)


QUANTIZERS = {
    "Sign": {},
    "Heaviside": {},
    "Ternary": {"threshold": 0.5},
    "Steps": {"bits": 3},
    "Integers": {"low": -3, "high": 4},
}


# Operations that have a step in most forms.
MOST_OFTEN = ("Conv", "Gemm", "Mul", "Relu", "Sigmoid", "Softmax", "Transpose")


@pytest.mark.parametrize("count", few_or_more(2, 60))
def test_a_random_node_gives_what_onnxruntime_gives_or_is_named(count):
    good = Counter()

    def check(case) -> None:
        if not case.fed or {array.dtype for array in case.fed.values()} != {FLOAT}:
            return
        proto = model_of(case)
        content = proto.SerializeToString()
        try:
            runtime = larqlite_runtime.load(content, 1, engine="native")
        except NoNativeStepError as error:
            if f"({case.op})" in str(error):
                return
            raise
        except ModelFileError:
            return
        fed = {f"i{number}": array for number, array in case.fed.items()}
        for found, wanted in zip(
            runtime.run(fed).values(), run(proto, case), strict=True
        ):
            finite = np.where(np.isfinite(wanted), wanted, 0)
            largest = max(1, np.abs(finite).max(initial=0))
            np.testing.assert_allclose(
                found, wanted, rtol=1e-4, atol=1e-5 * largest, err_msg=str(case)
            )
        good[case.op] += 1

    for op in sorted(OPERATORS[""].keys() & STRATEGIES.keys()):
        examples(count)(given(case=case_of(op))(check))()
    if count > 2:
        assert set(MOST_OFTEN) <= good.keys()


@pytest.mark.parametrize("op", QUANTIZERS)
def test_a_quantizer_of_floats_gives_the_same_bits(op):
    nodes = [
        packed(op, "x", "q", **QUANTIZERS[op]),
        node("Mul", "q w", "y"),
        packed("Sign", "x", "s"),
        packed("BConv2D", "s k", "z", **convolution((4, 3, 3, 6))),
    ]
    weights = {"w": floats(6, 1, 1), "k": codes(4 * 9 * 6)}
    proto = model(nodes, {"x": IMAGE}, {"y": None, "z": None}, weights)
    if op == "Integers":
        proto.opset_import[1].version = 2
    ends = np.float32([-0.5, -0.0, 0.0, 0.5, 0.125, 1 / 14, 3 / 14, 1, 1.5, 2.5, -9, 9])
    x = np.random.default_rng(1).choice(ends, (2, *IMAGE)).astype(np.float32)
    wanted = stock(proto, {"x": x})
    assert [stage.part for stage in planned(proto, whole=True).stages] == [0]
    runtime = larqlite_runtime.load(proto.SerializeToString(), engine="native").run(x)
    for name in wanted:
        np.testing.assert_array_equal(runtime[name], wanted[name])


STEPS = convolution((4, 3, 3, 6), input="steps") | {
    "bits": 2,
    "step": 2.0,
    "offset": -3.0,
    "input_steps": 3.0,
}


def test_a_quantizer_of_bits_and_of_floats_gives_both():
    nodes = [
        packed("Steps", "x", "q", bits=2),
        packed("QConv2D", "q k", "z", **STEPS),
        node("Mul", "q w", "y"),
    ]
    weights = {"w": floats(6, 1, 1), "k": codes(4 * 9 * 6, 2)}
    proto = model(nodes, {"x": IMAGE}, {"y": None, "z": None}, weights)
    kinds = {step.kind for step in steps_of(planned(proto, whole=True))}
    assert StepKind.CONV in kinds
    x = np.random.default_rng(2).uniform(-0.5, 1.5, (2, *IMAGE)).astype(np.float32)
    wanted = stock(proto, {"x": x})
    runtime = larqlite_runtime.load(proto.SerializeToString(), engine="native").run(x)
    for name in wanted:
        np.testing.assert_array_equal(runtime[name], wanted[name])


def test_a_packed_layer_of_sums_is_summed_in_floats():
    nodes = [
        packed("BConv2D", "x k", "a", **convolution((8, 3, 3, 6), input="integer")),
        packed(
            "TConv2D", "a t", "y",
            **convolution((6, 3, 3, 4), input="integer", group=2, pad_value=-1.0),
        ),
    ]  # fmt: skip
    weights = {"k": codes(8 * 9 * 6), "t": codes(6 * 9 * 4, 2)}
    proto = built(nodes, IMAGE, weights)
    x = np.random.default_rng(2).integers(-9, 9, (2, *IMAGE)).astype(np.float32)
    runtime = larqlite_runtime.load(proto.SerializeToString(), engine="native")
    np.testing.assert_array_equal(runtime(x), stock(proto, {"x": x})["y"])


def test_a_weight_of_another_number_for_each_place_has_depthwise_steps():
    found = planned(built(*CASES["conv depthwise"]), whole=True)
    assert StepKind.DEPTHWISE_FLOAT in {step.kind for step in steps_of(found)}


def test_all_nodes_without_a_step_are_named_and_no_others():
    nodes = [
        node("Erf", "x", "bell"),
        node("Relu", "bell", "up"),
        node("Sin", "up", "wave"),
        node("Mul", "wave x", "y"),
    ]
    content = built(nodes, (3,), {}).SerializeToString()
    message = (
        r'^No step of the kernels computes "node/bell" \(Erf\), "node/wave" \(Sin\)\.\n'
        r'  Fix: .*engine="auto"'
    )
    with pytest.raises(NoNativeStepError, match=message):
        larqlite_runtime.load(content, engine="native")
    x = floats(2, 3)
    fixed = larqlite_runtime.load(content, engine="auto")
    np.testing.assert_allclose(fixed(x), stock(built(nodes, (3,), {}), {"x": x})["y"])


def test_an_unknown_engine_is_refused():
    content = built(*CASES["mean"]).SerializeToString()
    with pytest.raises(ArgumentError, match=r'there is no engine \'nativ\'.*"native"'):
        larqlite_runtime.load(content, engine="nativ")


def test_onnxruntime_is_not_needed_nor_called(monkeypatch):
    content = built(*CASES["dense"]).SerializeToString()
    x = floats(2, 6)
    wanted = larqlite_runtime.load(content, 1)(x)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = larqlite_runtime.load(content, 1, engine="native")
    assert found.engine == "native"
    assert set(found.profile(x).by_path()).isdisjoint({"onnxruntime", "numpy"})
    np.testing.assert_allclose(found(x), wanted, rtol=1e-5)


@pytest.mark.parametrize("isa", [None, "portable"])
def test_what_a_window_still_reads_is_not_written_over(isa):
    """Channels are stored while those of the same pixel are still summed, or pooled."""
    nodes = [
        packed("Sign", "x", "s"),
        packed("BConv2D", "s k", "sums", **convolution((96, 1, 1, 96))),
        node("Mul", "sums scale", "a"),
        node("Conv", "a w", "c"),
        node("Add", "a c", "b"),
        node("MaxPool", "b", "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Add", "p b", "y"),
    ]
    proto = built(
        nodes,
        (96, 6, 7),
        {
            "k": codes(96 * 96),
            "scale": floats(96, 1, 1) / np.float32(32),
            "w": floats(96, 96, 1, 1) / np.float32(32),
        },
    )
    plan(read(proto.SerializeToString()), checked=True)
    x = floats(2, 96, 6, 7)
    found = larqlite_runtime.load(proto.SerializeToString(), 1, isa=isa)(x)
    wanted = stock(proto, {"x": x})["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_an_exponential_keeps_its_places_wherever_it_is_finite():
    content = built([node("Exp", "x", "y")], (64, 1, 1), {}).SerializeToString()
    x = np.linspace(-87, 88.7, 64, dtype=np.float32).reshape(1, 64, 1, 1)
    for isa in ("portable", "numpy"):
        found = larqlite_runtime.load(content, engine="native", isa=isa)(x)
        np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2e-6)


def test_what_has_no_finite_inverse_is_divided_by_or_named():
    tiny = np.full((1, 6, 5, 4), 2.0**-130, np.float32)
    content = built(
        [node("Div", "x tiny", "y")], IMAGE, {"tiny": tiny}
    ).SerializeToString()
    with pytest.raises(NoNativeStepError, match="Div"):
        larqlite_runtime.load(content, engine="native")


def test_minus_infinity_is_not_above_a_threshold():
    content = built(
        [node("ThresholdedRelu", "x", "y", alpha=0.5)], IMAGE, {}
    ).SerializeToString()
    x = np.full((1, *IMAGE), -np.inf, np.float32)
    found = larqlite_runtime.load(content, engine="native")(x)
    np.testing.assert_array_equal(found, np.zeros_like(x))
