"""Means over images are taken where their values are made: nothing is stored between."""

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.backends import _native
from larqlite_runtime.planner import plan
from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.networks import stock
from tests.runtime.plans import block, compare, kinds, network, node, planned, steps_of

SETS = [
    name
    for name, number in _native.INSTRUCTION_SETS.items()
    if _native.library() is not None and _native.library().lq_supports(number)
]
MEAN = ([node("GlobalAveragePool", "normal1", "mean")], {})


def names(steps):
    return [step.kind.name for step in steps]


def test_whole_numbers_are_added_up_and_scaled_once():
    proto = network(block(1, "x", 40), MEAN, channels=40, outputs={"mean": None})
    steps = steps_of(planned(proto))
    assert names(steps) == ["LOAD", "CONV"]
    assert [kind.name for kind in kinds(steps[1])] == [
        "SUM",
        "TO_FLOAT",
        "MULTIPLY",
        "ADD",
        "STORE",
    ]
    compare(proto, exact=False)
    # By hand: the mean of the sums, which stock onnxruntime gives, in float64.
    x = {"x": files.floats(3, 40, 6, 6)}
    sums = network(block(1, "x", 40), channels=40, outputs={"sums1": None})
    constants = {item.name: item for item in proto.graph.initializer}
    scale, offset = (
        np.frombuffer(constants[name].raw_data, np.float32).astype(np.float64)
        for name in ("scale1", "offset1")
    )
    wanted = stock(sums, x)["sums1"].astype(np.float64).mean((2, 3)) * scale + offset
    for isa in (*SETS, "numpy"):
        found = larqlite_runtime.load(proto.SerializeToString(), isa=isa).run(x)["mean"]
        np.testing.assert_allclose(found[:, :, 0, 0], wanted, rtol=3e-7, atol=3e-7)


def test_a_mean_of_sums_without_a_scale_is_their_sum_by_their_number():
    nodes, constants = block(1, "x", 33)
    mean = [node("GlobalAveragePool", "sums1", "mean")]
    proto = network(
        (nodes[:2], constants), (mean, {}), channels=33, outputs={"mean": None}
    )
    found = steps_of(planned(proto))[-1]
    assert [kind.name for kind in kinds(found)] == [
        "SUM",
        "TO_FLOAT",
        "DIVIDE",
        "STORE",
    ]
    compare(proto, exact=False)


@pytest.mark.parametrize("last", ["Relu", "LeakyRelu"])
def test_what_bends_before_a_mean_is_averaged_as_floats(last):
    """Bit for bit as when the floats are stored, since these are added up in float64."""
    nodes, constants = block(1, "x", 70)
    nodes = [
        *nodes,
        node("Add", "normal1 x", "sum"),
        node(last, "sum", "bent"),
        node("GlobalAveragePool", "bent", "mean"),
        node("Flatten", "mean", "flat"),
    ]
    joined, stored = (
        network((nodes, constants), channels=70, outputs=dict.fromkeys(outputs))
        for outputs in (["flat"], ["flat", "bent"])
    )
    steps = steps_of(planned(joined))
    assert names(steps) == ["LOAD", "CONV"]
    assert EpilogueKind.AVERAGE in kinds(steps[1])
    assert StepKind.MEAN in {step.kind for step in steps_of(planned(stored))}
    compare(joined, exact=False)
    x = {"x": files.floats(3, 70, 6, 6)}
    for isa in SETS:
        for threads in (1, 2):
            found, wanted = (
                larqlite_runtime.load(
                    proto.SerializeToString(), isa=isa, threads=threads
                ).run(x)["flat"]
                for proto in (joined, stored)
            )
            np.testing.assert_array_equal(found, wanted)


def test_the_bits_of_a_mean_are_made_with_it():
    """A packed dense layer reads the sign of a mean."""
    nodes, constants = block(1, "x", 64)
    nodes = [
        *nodes,
        node("GlobalAveragePool", "normal1", "mean"),
        node("Flatten", "mean", "flat"),
        files.packed("Sign", "flat", "signs"),
        files.packed("BDense", "signs w", "y", weight_shape=[10, 64], input="sign"),
    ]
    constants |= {"w": files.codes(640)}
    proto = network((nodes, constants), channels=64, outputs={"y": None})
    steps = steps_of(planned(proto))
    assert names(steps) == ["LOAD", "CONV", "CONV"]
    assert kinds(steps[1])[-1] == EpilogueKind.PACK_SIGN
    compare(proto)


def test_a_large_layer_of_few_channels_keeps_its_rows_for_all_threads():
    outputs = {"mean": None}
    for size, joins in ((16, True), (32, False)):
        proto = network(
            block(1, "x", 64), MEAN, channels=64, size=size, outputs=outputs
        )
        found = plan(read(proto.SerializeToString()))
        assert ("MEAN" in names(steps_of(found))) != joins
