"""Larq Compute Engine takes larqlite's networks as it takes Larq's.

What its converter made of both is in `tests/golden/lce.json`, which
`tests/fixtures/make_lce.py` writes. Here the networks of today are compared with it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import larqlite as lq
from tests.deploy import lce_cases

GOLDEN = Path(__file__).parent.parent / "golden" / "lce.json"
RECORDED = json.loads(GOLDEN.read_text())
CASES = RECORDED["cases"]
# Larq Compute Engine computes these in float, whichever library they come from.
FLOAT = {
    *("kernel_ste_tern", "kernel_ste_heaviside", "kernel_dorefa_quantizer"),
    *("input_ste_heaviside", "pad_minus_one"),
    *("conv_1d", "dense", "depthwise", "transposed"),
}
# Its converter takes the second sign of `sign(sign(x + t) + sign(x - t))` for a binary
# one, so 0 becomes +1: a fault of its own.
WRONG = {"input_ste_tern"}


@pytest.mark.parametrize("name", CASES)
def test_the_file_has_the_operations_that_larqs_network_has(name):
    larqs, ours = CASES[name]["larq"], CASES[name]["larqlite"]
    assert ours["operations"] == larqs["operations"]
    assert abs(ours["bytes"] - larqs["bytes"]) <= 64  # names differ


@pytest.mark.parametrize("name", sorted(set(CASES) - FLOAT))
def test_binary_layers_stay_binary(name):
    operations = CASES[name]["larqlite"]["operations"]
    binary = 2 if name == "network" else 1
    assert operations["LceBconv2d"] == binary
    assert "LceDequantize" not in operations
    assert operations.get("CONV_2D", 0) == binary - 1


@pytest.mark.parametrize("name", sorted(set(CASES) - WRONG))
def test_its_interpreter_computes_what_keras_does(name):
    found = CASES[name]["larqlite"]
    assert found["difference"] <= 5e-5 * found["largest"]
    assert CASES[name]["larq"]["difference"] <= 5e-5 * found["largest"]


@pytest.mark.parametrize("name", CASES)
def test_a_network_is_traced_as_when_the_converter_took_it(name):
    model = lce_cases.cases()[name](lq)
    assert lce_cases.traced(model) == CASES[name]["traced"]


def test_todays_outputs_are_those_of_the_converted_file():
    model = lce_cases.network(lq)
    lce_cases.randomize(model)
    outputs = model.predict_on_batch(lce_cases.batch(model))
    recorded = np.array(RECORDED["outputs"], "float32")
    np.testing.assert_allclose(outputs, recorded, rtol=0, atol=5e-5)
    assert (outputs.argmax(-1) == recorded.argmax(-1)).all()


def test_a_saved_model_converts_where_there_is_no_larqlite():
    assert RECORDED["saved_model"] == CASES["network"]["larqlite"]["operations"]


@pytest.mark.parametrize(
    ("name", "binary"),
    [
        ("BiRealNet", 16),
        ("BinaryResNetE18", 16),
        ("QuickNet", 16),
        ("RealToBinaryNet", 16),
        ("XNORNet", 5),
    ],
)
def test_every_binary_convolution_of_a_zoo_model_is_one_in_the_file(name, binary):
    assert RECORDED["zoo"][name]["operations"]["LceBconv2d"] == binary


def test_the_recorded_cases_are_those_of_today():
    assert list(CASES) == list(lce_cases.cases())
