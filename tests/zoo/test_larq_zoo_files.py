"""Weight files saved by Larq Zoo 2.4.0 load here and give the outputs they gave there.

Its published files could not be fetched for these tests. The files are those that its
own `save_weights` wrote of its own models with random weights; they are made anew from
`tests/fixtures/larq_zoo_2.4.0.json` (see `make_larq_zoo.py` there).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite_zoo.literature.dorefanet import MagnitudeAwareSignUnclipped
from larqlite_zoo.literature.xnornet import XnorWeightScale
from tests.fixtures import larq_zoo_weights as larq_zoo

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
MODELS = json.loads((FIXTURES / "larq_zoo_2.4.0.json").read_text())
CONFIGS = json.loads(
    gzip.decompress((FIXTURES / "larq_zoo_2.4.0_configs.json.gz").read_bytes())
)
OUTPUTS = np.load(FIXTURES / "larq_zoo_2.4.0.npz")

REGISTERED = larqlite_zoo.list_models()
FAST = ("binary_densenet28@32", "quicknet_small")
every_model = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
        for name in MODELS
    ],
)

# What Larq Zoo's pages print: count_params or the summary's parameters, the size of
# the summary in MiB, and its multiply-accumulates in millions, at 224x224.
PAGES = {
    "binary_alexnet": (61_859_192, 61_848_720, 7.45, 841),
    "birealnet": (11_699_112, None, 4.00, 1810),
    "binary_resnet_e18": (11_699_368, 11_689_640, 4.00, 1810),
    "binary_densenet28": (5_150_504, None, 4.04, 3790),
    "binary_densenet37": (8_734_120, None, 5.13, 4710),
    "binary_densenet37_dilated": (8_734_120, None, 5.13, 8230),
    "binary_densenet45": (13_939_240, None, 7.35, 6670),
    "dorefanet": (62_403_912, None, 22.80, 3050),
    "meliusnet22": (6_969_672, 6_944_584, 3.88, 4760),
    "real_to_binary_net": (11_995_624, 11_986_920, 5.13, 1810),
    "xnornet": (62_396_768, 62_387_104, 22.77, 1140),
    "quicknet_small": (12_664_344, 12_655_688, 4.00, 1170),
    "quicknet": (13_243_720, 13_234_088, 4.17, 1880),
    "quicknet_large": (23_359_304, 23_342_248, 5.40, 3730),
}


# All weights are loaded, or only counted.
pytestmark = pytest.mark.usefixtures("kernels_of_zeros")


@pytest.fixture(autouse=True)
def _memory_is_given_back():
    yield
    tf_keras.backend.clear_session()


def build(name: str, **arguments) -> tf_keras.Model:
    """The model of a fixture's entry: `name@side` is another size of the same model."""
    name = name.partition("@")[0]
    if name == "binary_resnet_e34":
        return larqlite_zoo.get("binary_resnet_e18", num_layers=34, **arguments)
    return larqlite_zoo.get(name, **arguments)


def saved_by_larq_zoo(name: str, kind: str, folder: Path) -> Path:
    """The .h5 file of one model, with ("top") or without its classifier ("notop")."""
    entry = MODELS[name]
    layers = larq_zoo.expand(entry["top"])
    if kind == "notop":
        count = entry["notop"]
        layers = layers[:count] if isinstance(count, int) else larq_zoo.expand(count)
    path = folder / f"{kind}.h5"
    larq_zoo.write(path, entry["seed"], layers, entry["attributes"], entry["gain"])
    return path


def assert_same_outputs(model: tf_keras.Model, name: str, kind: str) -> None:
    entry = MODELS[name]
    side = entry["side"]
    found = larq_zoo.kept(model(larq_zoo.image(entry["seed"], (side, side, 3))))
    expected = OUTPUTS[f"{name}/{kind}"]
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-5)


@every_model
def test_its_file_loads_by_topology_and_the_outputs_are_equal(name, tmp_path):
    side = MODELS[name]["side"]
    shape = (side, side, 3)
    path = saved_by_larq_zoo(name, "top", tmp_path)
    model = build(name, input_shape=shape, num_classes=10, weights=path)
    assert model.name == MODELS[name]["keras_name"]
    assert_same_outputs(model, name, "top")

    path = saved_by_larq_zoo(name, "notop", tmp_path)
    trunk = build(name, input_shape=shape, include_top=False, weights=path)
    assert_same_outputs(trunk, name, "notop")
    same_in_whole = model.layers[len(trunk.layers) - 1].output
    assert_same_outputs(tf_keras.Model(model.inputs, same_in_whole), name, "notop")


@pytest.mark.parametrize(
    "name", ["quicknet_small", pytest.param("dorefanet", marks=pytest.mark.slow)]
)
def test_its_whole_file_loads_with_larqlite_alone(name, tmp_path):
    weights = saved_by_larq_zoo(name, "top", tmp_path)
    with h5py.File(weights) as file, h5py.File(tmp_path / "whole.h5", "w") as whole:
        group = whole.create_group("model_weights")
        group.attrs.update(file.attrs)
        for key in file:
            file.copy(key, group)
        whole.attrs["model_config"] = json.dumps(CONFIGS[name])
    assert_same_outputs(lq.models.load(tmp_path / "whole.h5"), name, "top")


@every_model
def test_it_costs_what_larq_counts(name):
    expected = MODELS[name]
    model = build(name, input_shape=(224, 224, 3), weights=None)
    profile = lq.models.profile(model)
    assert model.count_params() == expected["count_params"]
    assert profile.params == expected["summary_params"]
    assert profile.deployed_bytes == expected["memory_bytes"]
    assert profile.macs == expected["macs"]
    assert profile.macs_by_precision.get(1, 0) == expected["binary_macs"]


@pytest.mark.parametrize("name", [name for name in MODELS if name in REGISTERED])
def test_its_card_says_what_larq_counts(name):
    expected, costs = MODELS[name], larqlite_zoo.card(name).costs
    assert costs.parameters == expected["count_params"]
    assert costs.deployed_parameters == expected["summary_params"]
    assert costs.deployed_bytes == expected["memory_bytes"]
    assert sum(costs.macs.values()) == expected["macs"]
    assert costs.macs.get(1, 0) == expected["binary_macs"]


@pytest.mark.parametrize("name", PAGES)
def test_larq_counts_what_the_pages_of_larq_zoo_print(name):
    parameters, summary_parameters, mebibytes, megamacs = PAGES[name]
    counted = MODELS[name]
    assert counted["count_params"] == parameters
    assert summary_parameters in (None, counted["summary_params"])
    assert round(counted["memory_bytes"] / 2**20, 2) == mebibytes
    assert abs(counted["macs"] / 1e6 - megamacs) <= 5


@pytest.mark.slow
def test_a_file_with_one_weight_changed_gives_other_outputs(tmp_path):
    import h5py

    name = "binary_densenet28@32"
    path = saved_by_larq_zoo(name, "top", tmp_path)
    with h5py.File(path, "a") as file:
        kernel = file["quant_conv2d"]["quant_conv2d/kernel:0"]
        kernel[0, 0, 0, 0] = -kernel[0, 0, 0, 0]
    model = build(name, input_shape=(32, 32, 3), num_classes=10, weights=path)
    with pytest.raises(AssertionError):
        assert_same_outputs(model, name, "top")


@pytest.mark.parametrize(
    ("quantizer", "larq_name"),
    [
        (XnorWeightScale, "xnor_weight_scale"),
        (MagnitudeAwareSignUnclipped, "magnitude_aware_sign_unclipped"),
    ],
)
def test_the_kernel_quantizers_have_larq_zoos_values_and_gradients(
    quantizer, larq_name
):
    golden = {key: OUTPUTS[f"{larq_name}/{key}"] for key in ("x", "dy", "q", "dx")}
    x = tf.constant(golden["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        q = quantizer()(x)
    gradient = tape.gradient(q, x, golden["dy"])
    np.testing.assert_allclose(q, golden["q"], atol=1e-6)
    np.testing.assert_allclose(gradient, golden["dx"], atol=1e-6)
    assert isinstance(lq.quantizers.get(larq_name), quantizer)
