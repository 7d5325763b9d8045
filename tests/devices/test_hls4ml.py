"""Networks in hls4ml's C simulation and through FINN's front end: Keras' integers and labels.

Each network is a project of C++ of its own, which takes g++ half a minute and more.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.deploy.qonnx import hls4ml_python, missing_hls4ml
from tests.common.programs import needs
from tests.deploy.fpga_networks import (
    NETWORKS,
    SEED,
    inputs_of,
    integers_of,
    pair,
    randomized,
)

L, Q = tf_keras.layers, lq.layers
WHY = missing_hls4ml()
needs_hls4ml = pytest.mark.skipif(bool(WHY), reason=WHY)
SAMPLES = 100


@needs_hls4ml
@pytest.mark.targets
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_c_simulation_sums_the_integers_of_keras_and_gives_its_labels(name, io_type):
    model = NETWORKS[name]()
    x = inputs_of(model, SAMPLES)
    run = lq.deploy.run_hls4ml(model, x, io_type=io_type)
    expected = integers_of(model, x)
    assert expected
    for layer, sums in expected.items():
        np.testing.assert_array_equal(run.integers[layer], sums, err_msg=layer)
    outputs = model.predict(x, verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for found, keras in zip(run.outputs, outputs, strict=True):
        assert found.shape == keras.shape
        np.testing.assert_array_equal(found.argmax(-1), keras.argmax(-1))
        assert np.abs(found - keras).max() <= 1e-4 * np.abs(keras).max()


@needs_hls4ml
@pytest.mark.targets
def test_a_layer_that_hls4ml_computes_wrongly_is_right_in_our_form(tmp_path):
    """Signs with borders of zeros: in hls4ml's type of one bit these would be -1."""
    x = inputs = L.Input((5, 5, 3), name="x")
    x = L.BatchNormalization(name="norm")(x)
    x = Q.QuantConv2D(
        4, 3, padding="same", name="conv", **pair("ste_sign", "ste_sign")
    )(x)
    model = randomized(tf_keras.Model(inputs, x))
    given = inputs_of(model, 20)
    run = lq.deploy.run_hls4ml(model, given, folder=tmp_path / "project")
    sums = integers_of(model, given)["conv"]
    np.testing.assert_array_equal(run.integers["conv"], sums)
    # The corners sum 4 of 9 pixels, 3 channels each: even numbers up to 12.
    corners = run.integers["conv"][:, 0, 0]
    assert np.abs(corners).max() <= 12
    assert (tmp_path / "project" / "firmware" / "network.cpp").is_file()


@needs_hls4ml
@pytest.mark.targets
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "sequences"])
def test_finn_converts_and_streamlines_a_file_to_the_same_outputs(name, tmp_path):
    model = NETWORKS[name]()
    x = inputs_of(model, 8)
    file = tmp_path / "finn.onnx"
    lq.deploy.to_qonnx(model, file, for_="finn")
    np.save(tmp_path / "x.npy", x)
    program = Path(__file__).with_name("finn_program.py")
    words = [file, tmp_path / "x.npy", tmp_path / "found.npz"]
    done = subprocess.run(
        [hls4ml_python(), program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.load(tmp_path / "found.npz")
    outputs = model.predict(x, verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for step in ("clean", "converted", "streamlined"):
        for number, keras in enumerate(outputs):
            array = found[f"{step}/{number}"]
            assert np.abs(array - keras).max() <= 2e-6 * np.abs(keras).max()
    operations = [*found["streamlined/operations"]]
    assert "Quant" not in operations
    assert "BipolarQuant" not in operations
    assert "MultiThreshold" in operations


@needs_hls4ml
@pytest.mark.targets
def test_verify_on_hls4ml_counts_the_integers_of_the_whole_network():
    model = NETWORKS["zeros"]()
    report = lq.deploy.verify_on(model, "native, hls4ml", inputs_of(model, 4))
    row = report["hls4ml"]
    assert report.ok, str(report)
    # 6 by 6 pixels of 4 channels, and 5 numbers, of 4 samples.
    assert row.integers == (4 * (6 * 6 * 4 + 5),) * 2
    assert row.labels == (4, 4)


def test_without_hls4ml_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("LARQLITE_HLS4ML", raising=False)
    monkeypatch.setattr("larqlite.deploy.qonnx._run_hls4ml._FOLDER", "nowhere")
    model = tf_keras.Sequential([L.Input((SEED,)), L.Dense(2)])
    with pytest.raises(lq.errors.MissingFileError, match="make hls4ml-setup"):
        lq.deploy.run_hls4ml(model, np.zeros((1, SEED)))


@needs("g++")
def test_a_python_that_is_not_there_is_missing_and_one_beside_the_caller_is_found(
    monkeypatch, tmp_path
):
    model = tf_keras.Sequential([L.Input((SEED,)), L.Dense(2)])
    x = np.zeros((1, SEED))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LARQLITE_HLS4ML", "own/python")
    assert f"no Python {tmp_path}/own/python, which LARQLITE_HLS4ML" in missing_hls4ml()
    with pytest.raises(
        lq.errors.MissingFileError, match=r"(?s)own/python.*Fix: make hls4ml-setup"
    ):
        lq.deploy.run_hls4ml(model, x)
    python = Path("own/python")
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho none of hls4ml >&2\nexit 3\n")
    with pytest.raises(lq.errors.MissingFileError, match="does not start: Permission"):
        lq.deploy.run_hls4ml(model, x)
    python.chmod(0o755)
    with pytest.raises(
        lq.errors.UnsupportedModelError, match=r"(?s)hls4ml ended with code 3:\nnone of"
    ):
        lq.deploy.run_hls4ml(model, x)


@needs_hls4ml
def test_what_cannot_be_run_is_refused_before_anything_is_compiled(tmp_path):
    model = tf_keras.Sequential([L.Input((SEED,)), L.Dense(2)])
    x = np.zeros((1, SEED))
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)io_type='fifo'.*Fix"):
        lq.deploy.run_hls4ml(model, x, io_type="fifo")
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)2 arrays for the inputs"):
        lq.deploy.run_hls4ml(model, [x, x])
    with pytest.raises(lq.errors.MissingFileError, match=r"(?s)no file.*for_="):
        lq.deploy.run_hls4ml(tmp_path / "none.onnx", x)
    plain = tmp_path / "plain.onnx"
    lq.deploy.to_qonnx(model, plain)
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)not written for hls4ml"):
        lq.deploy.run_hls4ml(plain, x)
