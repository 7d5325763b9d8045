"""`lq.deploy.to_flat` and `lq export --to flat`, as users write flat files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite import cli
from larqlite.deploy.targets.flat import parse
from larqlite.errors import ArgumentError, MissingFileError, UnsupportedModelError
from tests.devices.c_library import OK, CModel, needs_compiler, needs_kernels

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network with borders, a residual and two outputs: Keras' file and a packed one."""
    folder = tmp_path_factory.mktemp("flat")
    x = inputs = tf_keras.Input((6, 6, 3), name="image")
    x = tf_keras.layers.Conv2D(40, 3, padding="same", name="stem")(x)
    x = tf_keras.layers.BatchNormalization(name="norm")(x)
    y = lq.layers.QuantConv2D(40, 3, padding="same", name="conv", **BINARY)(x)
    y = tf_keras.layers.BatchNormalization(name="norm_2")(y)
    x = tf_keras.layers.Add(name="sum")([x, y])
    pooled = tf_keras.layers.GlobalAveragePooling2D(name="mean")(x)
    labels = lq.layers.QuantDense(5, name="labels", **BINARY)(pooled)
    model = tf_keras.Model(inputs, [labels, x], name="net")
    model.save(folder / "net.keras")
    lq.deploy.export(model, folder / "net.onnx", verify=False)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_the_command_writes_the_same_file_of_a_model_and_of_its_packed_file(
    here, capsys
):
    cli.main(["export", "net.keras", "a.lqflat", "--to", "flat"])
    assert "wrote a.lqflat" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["export", "net.keras", "p.onnx", "--pixels"])
    assert "packed files take floats" in capsys.readouterr().err
    cli.main(["export", "net.onnx", "b.lqflat", "--to", "flat", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (here / "a.lqflat").read_bytes() == (here / "b.lqflat").read_bytes()
    assert found["bytes"] == (here / "b.lqflat").stat().st_size
    assert found["inputs"] == [
        {"name": "image", "dtype": "float32", "shape": [None, 6, 6, 3]}
    ]


@needs_compiler
@needs_kernels
def test_a_network_of_keras_runs_in_c(here):
    """Both outputs, the second of which lies channels last with others in Keras."""
    lq.deploy.to_flat(here / "net.onnx", here / "net.lqflat")
    model = CModel(here / "net.lqflat")
    assert model.code == OK, model.error
    x = {"image": np.random.default_rng(3).normal(size=(3, 6, 6, 3)).astype("f")}
    found = model.run(x, 3)
    keras = tf_keras.models.load_model(here / "net.keras", compile=False)(x["image"])
    runtime = larqlite_runtime.load(here / "net.onnx", isa=model.isa).run(x)
    for array, wanted, other in zip(
        found.values(), keras, runtime.values(), strict=True
    ):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=1e-5)


@needs_compiler
@needs_kernels
def test_pictures_of_bytes_are_taken_as_they_are(tmp_path):
    """A Rescaling and the first layer become whole numbers: the labels and sums of Keras."""
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Rescaling(
                1 / 128, -1, input_shape=(5, 5, 3), name="scaled"
            ),
            lq.layers.QuantConv2D(
                32, 3, name="first", **BINARY | {"input_quantizer": None}
            ),
            lq.layers.QuantConv2D(32, 2, name="second", **BINARY),
            tf_keras.layers.Flatten(name="flat"),
        ]
    )
    lq.deploy.to_flat(model, tmp_path / "bytes.lqflat", pixels=True)
    runs = CModel(tmp_path / "bytes.lqflat")
    assert runs.code == OK, runs.error
    (tensor,) = runs.tensors("input")
    assert (tensor.type, tensor.image_bytes) == (2, 75)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3)).astype(np.uint8)
    (found,) = runs.run({tensor.name.decode(): pictures}, 3).values()
    np.testing.assert_array_equal(found, model(pictures.astype(np.float32)))


def test_what_is_written_is_shown(here):
    shown = lq.deploy.to_flat(here / "net.onnx", here / "shown.lqflat")
    again = lq.deploy.FlatFile.read(here / "shown.lqflat")
    with pytest.raises(
        MissingFileError, match=r"lq export MODEL .*none\.lqflat --to flat"
    ):
        lq.deploy.FlatFile.read(here / "none.lqflat")
    assert str(again) == str(shown)
    assert "image (batch, 6, 6, 3)" in str(shown)
    convs = [step for step in shown.steps if step.kind == "conv"]
    assert [step.size[1:] for step in convs] == [(6, 6, 40), (1, 1, 5)]
    weights = 40 * 3 * 3 * 2 * 4 + 5 * 2 * 4  # at least: 40 channels are two words
    assert shown.constant_bytes > weights


def test_a_network_that_needs_more_than_the_kernels_is_refused(here, tmp_path):
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4, 4, 2)),
            tf_keras.layers.Activation("gelu", name="bell"),
            tf_keras.layers.Flatten(),
            lq.layers.QuantDense(2, **BINARY),
        ]
    )
    with pytest.raises(UnsupportedModelError, match=r"to_flat: No step .*bell"):
        lq.deploy.to_flat(model, tmp_path / "no.lqflat")
    assert not (tmp_path / "no.lqflat").exists()


def test_a_file_of_another_kind_is_not_written_over(here):
    (here / "mine.lqflat").write_text("my notes")
    with pytest.raises(ArgumentError, match=r"no \.lqflat file"):
        lq.deploy.to_flat(here / "net.onnx", here / "mine.lqflat")
    assert (here / "mine.lqflat").read_text() == "my notes"


@pytest.mark.parametrize("flag", ["--qonnx", "--no-verify", "--data x.npz"])
def test_flags_of_the_packed_file_are_refused(here, capsys, flag):
    words = f"export net.keras no.lqflat --to flat {flag}".split()
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2
    assert f"--to flat goes with no {flag.split()[0]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "its length or its checksum differs"),
        (lambda data: data[:200] + b"?" + data[201:], "its length or its checksum"),
        (lambda data: b"\x08" + data, "is no flat file"),
        (lambda data: data[:8] + b"\x02" + data[9:], "has version 2"),
    ],
)
def test_damaged_files_are_refused_in_python(here, change, message):
    lq.deploy.to_flat(here / "net.onnx", here / "net.lqflat")
    with pytest.raises(ArgumentError, match=message):
        parse(change((here / "net.lqflat").read_bytes()), here / "net.lqflat")
