"""The integers of a network, next to those of QuantizeML 0.8.1."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from larqlite.integer.onnx import quantize_onnx
from larqlite.integer.onnx.layers import _scales

GOLDEN = Path(__file__).parent.parent / "golden" / "onnx.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def quantized(golden):
    model = onnx.load_from_string(golden["model"].tobytes())
    return quantize_onnx(model, samples=golden["samples"])


def integers(model):
    """Those of every node, as the reference's file has them."""
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    return {
        f"{position}/{name.removeprefix(f'{node.name}_')}": stored[name]
        for position, node in enumerate(model.graph.node)
        for name in node.input
        if name in stored
    }


def test_the_types_of_the_nodes_are_those_of_the_reference(golden, quantized):
    found = [node.op_type for node in quantized.graph.node]
    assert found == golden["types"].tolist()


def test_every_integer_is_that_of_the_reference(golden, quantized):
    ours, compared = integers(quantized), 0
    for key, theirs in golden.items():
        position, _, name = key.partition("/")
        if name in ("", "pads") or key == "1/B" or position == "5":
            continue
        renamed = {"input_scale": "step", "deq_scale": "step", "input_zp": "zero_point"}
        found = ours[f"{position}/{renamed.get(name, name)}"].astype(np.float64)
        if name == "S_out" or name.endswith("_shift"):
            found = 2.0**found
        if "scale" in name:
            np.testing.assert_allclose(found.ravel(), theirs.ravel(), rtol=1e-6)
        else:
            np.testing.assert_array_equal(found.ravel(), theirs.ravel(), err_msg=key)
        compared += theirs.size
    assert compared > 2000


def test_a_sum_scales_its_sides_as_the_reference_does(golden, quantized):
    ours = integers(quantized)
    for side in ("x1_shift", "x2_shift"):
        found = 2.0 ** (ours[f"5/{side}"].astype(int) - ours["5/S_out"].astype(int))
        theirs = golden[f"5/{side}"] / golden["5/S_out"]
        np.testing.assert_array_equal(found, theirs.ravel())


def test_the_bias_that_zero_points_are_folded_in_is_exact_not_rounded(
    golden, quantized
):
    """The reference rounds it to eight bits, which here costs up to 255 steps."""
    ours, theirs = integers(quantized)["1/B"], golden["1/B"]
    rounded = _scales._eight_bit_mantissa(ours.astype(np.float64))
    assert np.any(ours != theirs)
    np.testing.assert_allclose(rounded, theirs, rtol=1 / 64)
    assert np.mean(rounded == theirs) > 0.7
