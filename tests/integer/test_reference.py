"""QuantizeML 0.8.1 and larqlite.integer give the same integers, ranges and configurations."""

import functools
import importlib
import json
import pathlib

import numpy as np
import pytest
import tf_keras

from tests.common.eager import eagerly
from tests.common.samples import sampled
from tests.integer import reference_cases, reference_networks

GOLDEN = pathlib.Path(__file__).parent / "golden"
TOLD = json.loads((GOLDEN / "reference.json").read_text())


@functools.cache
def reference() -> dict:
    """Its answers, by name."""
    with np.load(GOLDEN / "reference.npz") as arrays:
        return dict(arrays)


def library() -> reference_cases.Library:
    """Ours."""
    parts = ("tensors", "layers", "models")
    modules = [importlib.import_module(f"larqlite.integer.{part}") for part in parts]
    return reference_cases.Library(tf_keras, *modules)


@functools.cache
def ours(part: str) -> dict:
    """Our answers of a part."""
    return getattr(reference_cases, part)(library())


@functools.cache
def our_network(case: str) -> tuple[dict, dict]:
    """Our arrays, and what we tell."""
    with eagerly():
        return reference_networks.network(library(), case)


def names(prefix: str) -> list[str]:
    """Of the golden arrays below a folder."""
    with np.load(GOLDEN / "reference.npz") as arrays:
        return sorted(name for name in arrays.files if name.startswith(prefix))


def check(found: dict, name: str) -> None:
    """The same array: integers exactly, floats to their last places."""
    expected = reference()[name]
    actual = found[name]
    if name.endswith(":frac"):
        size = max(expected.size, actual.size)
        expected, actual = (
            np.broadcast_to(expected, size),
            np.broadcast_to(actual, size),
        )
    if expected.dtype.kind == "f":
        finite = np.isfinite(expected)
        np.testing.assert_allclose(
            actual[finite], expected[finite], rtol=1e-5, atol=1e-6
        )
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("prefix", ["tensors/3", "tensors/7", "tensors/10"])
def test_operations_on_tensors(prefix):
    wanted = names(prefix + "/")
    assert len(wanted) > 90
    for name in wanted:
        check(ours("tensors"), name)


@pytest.mark.parametrize("prefix", ["weights/", "aligned/", "outputs/"])
def test_quantizers(prefix):
    for name in names(prefix):
        check(ours("quantizers"), name)


@functools.cache
def our_layer(case: str) -> dict:
    """Our answer of one layer alone, so that another's failure is not this one's."""
    kept = reference_cases.LAYERS
    try:
        reference_cases.LAYERS = {case: kept[case]}
        return reference_cases.layer_outputs(library())
    finally:
        reference_cases.LAYERS = kept


@pytest.mark.parametrize("case", reference_cases.LAYERS)
def test_layers(case):
    wanted = [
        name for name in names("layers/") if name.split(":")[0] == f"layers/{case}"
    ]
    assert wanted
    found = our_layer(case)
    for name in wanted:
        scales = name.endswith(":scales") and reference()[name]
        if name not in found and np.all(scales == 1):
            continue  # Ours stays a FixedPoint where the reference adds scales of 1.
        check(found, name)


@pytest.mark.parametrize("case", sampled(TOLD, 2))
def test_what_calibration_sets_and_what_the_network_answers(case):
    found, _ = our_network(case)
    wanted = names(case + "/")
    assert f"{case}/outputs" in wanted
    differ = []
    for name in wanted:
        try:
            check(found, name)
        except (AssertionError, KeyError) as error:
            differ.append(f"{name}: {error}")
    assert not differ, "\n".join(differ)


def without_defaults(config: dict) -> dict:
    """A configuration of a network, less what is the default where it stands."""
    kept = {}
    for layer, entry in config.items():
        entry = {
            key: value for key, value in entry.items() if value != {"signed": False}
        }
        output = entry.get("output_quantizer", {})
        if output.get("signed"):
            output = {key: value for key, value in output.items() if key != "signed"}
            entry["output_quantizer"] = output
        kept[layer] = entry
    return kept


@pytest.mark.parametrize("case", TOLD)
def test_configurations_of_quantized_networks(case):
    config = our_network(case)[1]["config"]
    assert config == json.loads(json.dumps(config))
    assert without_defaults(config) == without_defaults(TOLD[case]["config"])


@pytest.mark.parametrize("case", TOLD)
def test_what_the_check_of_a_quantized_network_tells(case):
    assert our_network(case)[1]["issues"] == TOLD[case]["issues"]
