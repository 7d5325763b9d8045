"""No saved model runs code of its own, nor touches files, unless the user says so.

Each file here makes a marker, a file beside it, when what it carries is run.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import subprocess
import sys
import typing
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import cli
from larqlite_zoo import cli as zoo_cli

L = tf_keras.layers
KERAS, H5, FOLDER = ".keras", ".h5", ""

# Byte code in a file finds its names nowhere but in what is built in.
CODE = {
    "tensor": lambda x: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        x,
    )[1],
    "shape": lambda shape, dtype=None: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        __import__("tensorflow").zeros(shape),
    )[1],
    "number": lambda w: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        0.0,
    )[1],
    "pair": lambda a, b: (
        __import__("pathlib").Path(__import__("os").environ["MARKER"]).touch(),
        a - b,
    )[1],
}


class Writes(L.Layer):
    """Writes a file when it is called, by an operation of TensorFlow."""

    def call(self, x):
        with tf.control_dependencies([tf.io.write_file(os.environ["MARKER"], "x")]):
            return tf.identity(x)


def of(*layers, shape=(3,), **compiled):
    model = tf_keras.Sequential([tf_keras.Input(shape), *layers])
    if compiled:
        model.compile("sgd", **compiled)
        model.fit(np.zeros((2, 3)), np.zeros((2, 2)), verbose=0)
    return model


def residual_cells():
    wrapper = tf.nn.RNNCellResidualWrapper
    cells = wrapper(L.LSTMCell(3), residual_fn=CODE["pair"])
    return of(L.RNN(cells), shape=(4, 3))


# What is carried, by what the refusal must name: model, formats that hold it.
CARRIED = {
    'Lambda layer "shift"': (
        lambda: of(L.Lambda(CODE["tensor"], name="shift")),
        (KERAS, H5, FOLDER),
    ),
    'Lambda layer "inner/shift"': (
        lambda: of(
            tf_keras.Sequential(
                [tf_keras.Input((3,)), L.Lambda(CODE["tensor"], name="shift")], "inner"
            )
        ),
        (KERAS, H5, FOLDER),
    ),
    'Lambda layer "each/shift"': (
        lambda: of(
            L.TimeDistributed(L.Lambda(CODE["tensor"], name="shift"), name="each"),
            shape=(4, 3),
        ),
        (KERAS, H5, FOLDER),
    ),
    'activation of the Dense layer "d"': (
        lambda: of(L.Dense(2, CODE["tensor"], name="d")),
        (KERAS, H5),
    ),
    'kernel_initializer of the Dense layer "d"': (
        lambda: of(L.Dense(2, kernel_initializer=CODE["shape"], name="d")),
        (KERAS, H5),
    ),
    'kernel_regularizer of the Dense layer "d"': (
        lambda: of(L.Dense(2, kernel_regularizer=CODE["number"], name="d")),
        (KERAS, H5),
    ),
    'kernel_constraint of the Dense layer "d"': (
        lambda: of(L.Dense(2, kernel_constraint=CODE["tensor"], name="d")),
        (KERAS, H5),
    ),
    'input_quantizer of the QuantDense layer "q"': (
        lambda: of(lq.layers.QuantDense(2, input_quantizer=CODE["tensor"], name="q")),
        (KERAS, H5),
    ),
    "its loss": (lambda: of(L.Dense(2), loss=CODE["pair"]), (KERAS,)),
    "its metrics": (
        lambda: of(L.Dense(2), loss="mse", metrics=[CODE["pair"]]),
        (KERAS,),
    ),
    "residual_fn of the ResidualWrapper layer": (
        residual_cells,
        (KERAS, H5, FOLDER),
    ),
    "operation WriteFile": (lambda: of(Writes()), (FOLDER,)),
}
CASES = [(what, kind) for what, (_, kinds) in CARRIED.items() for kind in kinds]
FAST = (
    'Lambda layer "inner/shift"',
    'activation of the Dense layer "d"',
    "its loss",
    "operation WriteFile",
)


def sampled(cases):
    """All of `make test-all`; of them those of FAST in `make test`."""
    slow = pytest.mark.slow
    return [pytest.param(*c, marks=[] if c[0] in FAST else slow) for c in cases]


# What runs in a call only, or what Keras cannot read back even where it may.
NOT_RUN_BY_LOADING = (
    "operation",
    "its ",
    "kernel_constraint",
    "kernel_regularizer",
    "residual_fn",
)


@pytest.fixture
def marker(tmp_path, monkeypatch):
    path = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(path))
    return path


@pytest.fixture
def saved(tmp_path, marker):
    """Saves the model that carries what its argument says; gives back the path."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)

    def save(what, kind):
        path = tmp_path / f"theirs{kind}"
        CARRIED[what][0]().save(path)
        marker.unlink(missing_ok=True)
        return path

    return save


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("what", "kind"), sampled(CASES))
def test_a_file_that_carries_code_is_refused_by_name_and_runs_nothing(
    what, kind, saved, marker
):
    path = saved(what, kind)
    with pytest.raises(lq.errors.UnsafeFileError) as refusal:
        lq.models.load(path)
    assert what in str(refusal.value)
    assert "safe_mode=False" in str(refusal.value)
    assert "--unsafe" in str(refusal.value)
    assert not marker.exists()
    if what.startswith("its "):
        assert "compile=False" in str(refusal.value)
        assert lq.models.load(path, compile=False).optimizer is None
        assert not marker.exists()
    with pytest.raises(lq.errors.UnsafeFileError):
        lq.integer.models.load_model(path)
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("what", "kind"),
    sampled(each for each in CASES if not each[0].startswith(NOT_RUN_BY_LOADING)),
)
def test_the_way_out_works(what, kind, saved, marker):
    path = saved(what, kind)
    model = lq.models.load(path, safe_mode=False)
    model(np.zeros((1, *model.input_shape[1:])))
    assert marker.exists()  # so that the tests above would have seen it


def edited(folder: Path, kind: str, change, model=None) -> Path:
    """A file whose configuration was changed by hand."""
    model = model or of(L.Dense(2, name="d"))
    source, path = folder / f"plain{kind}", folder / f"edited{kind}"
    model.save(source)
    if kind == H5:
        path.write_bytes(source.read_bytes())
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            file.attrs["model_config"] = json.dumps(change(config))
        return path
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for item in old.namelist():
            content = old.read(item)
            if item == "config.json":
                content = json.dumps(change(json.loads(content)))
            new.writestr(item, content)
    return path


def function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def with_activation(activation):
    def change(config):
        config = copy.deepcopy(config)
        config["config"]["layers"][-1]["config"]["activation"] = activation
        return config

    return change


def with_layer(module, name, **settings):
    def change(config):
        layer = {"module": module, "class_name": name, "registered_name": f"x>{name}"}
        config["config"]["layers"].append(
            {**layer, "config": {"name": "x", **settings}}
        )
        return config

    return change


NAMED = {
    "os.system": with_activation(function("os", "system")),
    "builtins.exec": with_activation(function("builtins", "exec")),
    "keras.utils.get_file": with_activation(function("keras.utils", "get_file")),
    "tensorflow.io.write_file": with_activation(
        function("tensorflow.io", "write_file")
    ),
    "numpy.save": with_activation(function("numpy", "save")),
    "keras.__internal__.enable_unsafe_deserialization": with_activation(
        function("keras.__internal__", "enable_unsafe_deserialization")
    ),
    "subprocess.run": with_layer(
        "keras.layers",
        "Lambda",
        function=function("subprocess", "run"),
        function_type="function",
        output_shape=None,
        output_shape_type="raw",
        arguments={"shell": True},
    ),
    "theirs.Layer": with_layer("theirs", "Layer"),
    "reads another model": with_layer(
        "tf_keras.src.export.export_lib", "ReloadedLayer"
    ),
}


@pytest.mark.parametrize("kind", [KERAS, H5])
@pytest.mark.parametrize("name", NAMED)
def test_a_function_or_module_that_a_file_names_is_not_run(
    name, kind, tmp_path, marker, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "theirs.py").write_text(f"open({str(marker)!r}, 'w')\n")
    path = edited(tmp_path, kind, NAMED[name])
    with pytest.raises(lq.errors.UnsafeFileError, match=name):
        lq.models.load(path)
    assert not marker.exists()
    if name == "theirs.Layer":
        with pytest.raises(lq.errors.UnsafeFileError, match="--import theirs"):
            lq.models.load(path)


@pytest.mark.parametrize("kind", [KERAS, H5])
def test_byte_code_deep_inside_of_wrappers_is_found(kind, tmp_path):
    code = ["4wEAAAAA", None, None]

    def change(config):
        ways = config["config"]["layers"][1]["config"]["layer"]["config"]
        ways["backward_layer"] = copy.deepcopy(ways["layer"])
        ways["backward_layer"]["config"]["activation"] = {"value": code}
        return config

    wrapper = L.TimeDistributed(L.Bidirectional(L.SimpleRNN(2), name="ways"), name="t")
    path = edited(tmp_path, kind, change, of(wrapper, shape=(2, 4, 3)))
    with pytest.raises(lq.errors.UnsafeFileError, match="activation of the SimpleRNN"):
        lq.models.load(path)


@pytest.mark.parametrize("kind", [KERAS, H5])
@pytest.mark.parametrize(
    "symbol",
    [
        *("io.write_file", "io.gfile.remove", "raw_ops.WriteFile", "py_function"),
        *("random.fixed_unigram_candidate_sampler", "lookup.TextFileInitializer"),
    ],
)
def test_an_operation_that_touches_files_is_refused(symbol, kind, tmp_path):
    def change(config):
        config["config"]["layers"][1]["config"]["function"] = symbol
        return config

    x = tf_keras.Input((3,))
    path = edited(tmp_path, kind, change, tf_keras.Model(x, tf.math.sin(x)))
    with pytest.raises(lq.errors.UnsafeFileError, match=symbol):
        lq.models.load(path)


LOOKUPS = {
    "StringLookup": ("string", L.StringLookup, ["a", "b"]),
    "IntegerLookup": ("int64", L.IntegerLookup, [7, 9]),
    "TextVectorization": ("string", L.TextVectorization, ["a", "b"]),
}


@pytest.mark.parametrize("kind", [KERAS, H5])
@pytest.mark.parametrize("name", LOOKUPS)
def test_a_vocabulary_that_is_a_file_is_not_read(name, kind, tmp_path):
    """A list of words is in the model file; the name of a file could be that of any."""
    dtype, layer, words = LOOKUPS[name]
    secret = tmp_path / "secret.txt"
    secret.write_text("".join(f"{word}\n" for word in words))

    def model(vocabulary):
        x = tf_keras.Input((1,), dtype=dtype)
        return tf_keras.Model(x, layer(vocabulary=vocabulary, name="words")(x))

    model(words).save(tmp_path / f"mine{kind}")
    assert lq.models.load(tmp_path / f"mine{kind}").count_params() == 0
    path = tmp_path / f"theirs{kind}"
    model(str(secret)).save(path)
    named = rf'the vocabulary of the {name} layer "words" \(reads the file .*secret.txt'
    with pytest.raises(lq.errors.UnsafeFileError, match=named):
        lq.models.load(path)
    loaded = lq.models.load(path, safe_mode=False)
    assert words[0] in loaded.get_layer("words").get_vocabulary()


@pytest.mark.parametrize("kind", [KERAS, H5])
@pytest.mark.parametrize("way", ["link", "storage", "virtual"])
def test_weights_that_stand_in_another_file_are_not_read(way, kind, tmp_path):
    model = of(L.Dense(2, use_bias=False, name="d"))
    values, other = np.arange(6, dtype="float32").reshape(3, 2), tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["values"] = values
    (tmp_path / "other.bin").write_bytes(values.tobytes())

    def replace(file):
        found = []
        file.visit(found.append)
        (place,) = (name for name in found if getattr(file[name], "shape", 0) == (3, 2))
        del file[place]
        if way == "link":
            file[place] = h5py.ExternalLink(str(other), "values")
        elif way == "storage":
            storage = [(str(tmp_path / "other.bin"), 0, values.nbytes)]
            file.create_dataset(place, (3, 2), "float32", external=storage)
        else:
            layout = h5py.VirtualLayout((3, 2), "float32")
            layout[:] = h5py.VirtualSource(str(other), "values", (3, 2))
            file.create_virtual_dataset(place, layout)

    path = tmp_path / f"theirs{kind}"
    model.save(path)
    if kind == H5:
        with h5py.File(path, "r+") as file:
            replace(file)
    else:
        parts = tmp_path / "parts"
        with zipfile.ZipFile(path) as archive:
            archive.extractall(parts)
        with h5py.File(parts / "model.weights.h5", "r+") as file:
            replace(file)
        with zipfile.ZipFile(path, "w") as archive:
            for part in parts.iterdir():
                archive.write(part, part.name)
    with pytest.raises(lq.errors.UnsafeFileError, match=r"reads the file .*other\."):
        lq.models.load(path)
    if kind == H5 or way == "storage":  # inside of a zip HDF5 opens no other HDF5 file
        loaded = lq.models.load(path, safe_mode=False)
        np.testing.assert_array_equal(loaded.get_weights()[0], values)


@pytest.mark.parametrize("kind", [KERAS, H5])
def test_functions_on_tensors_are_loaded_as_before(kind, tmp_path):
    class Own(L.Layer):
        pass

    x = tf_keras.Input((3,))
    y = Own()(tf.nn.softplus(tf.cast(tf.math.sin(x)[:, :2] > 0, "float32")))
    y = L.Dense(2, activation=tf.nn.relu, kernel_regularizer="l2")(y)
    y = L.Dense(2, activation="ste_sign")(L.LeakyReLU()(y) @ tf.ones((2, 2)))
    model = tf_keras.Model(x, y)
    model.compile("adam", tf_keras.losses.mean_squared_error, ["mae"])
    model.save(tmp_path / f"mine{kind}")
    loaded = lq.models.load(tmp_path / f"mine{kind}", {"Own": Own})
    data = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(data), model(data))


@pytest.mark.filterwarnings("ignore")
def test_a_file_that_is_hdf5_and_zip_at_once_is_read_as_what_was_looked_at(
    tmp_path, marker
):
    of(L.Dense(2)).save(tmp_path / "plain.h5")
    of(L.Dense(2, kernel_initializer=CODE["shape"])).save(tmp_path / "code.keras")
    marker.unlink()
    both = tmp_path / "both.keras"
    both.write_bytes(
        (tmp_path / "plain.h5").read_bytes() + (tmp_path / "code.keras").read_bytes()
    )
    assert zipfile.is_zipfile(both)
    assert h5py.is_hdf5(both)
    assert lq.models.load(both).count_params() == 8
    assert not marker.exists()


@pytest.mark.filterwarnings("ignore")
def test_weights_hold_no_code_and_are_read_without_the_model(tmp_path, marker):
    for name in ("w.h5", "w.weights.h5", "w.keras", "checkpoint"):
        model = of(L.Lambda(CODE["tensor"]), L.Dense(2))
        (model.save if name == "w.keras" else model.save_weights)(tmp_path / name)
        marker.unlink(missing_ok=True)
        same = of(L.Activation("linear"), L.Dense(2))
        same.load_weights(tmp_path / name)
        np.testing.assert_array_equal(same.get_weights()[0], model.get_weights()[0])
        assert not marker.exists()


def commands(kind) -> list[tuple[str, ...]]:
    """Every command that reads a model, as somebody would type it."""
    model, data = f"theirs{kind}", "data.npz"
    return [
        ("lq", "summary", model),
        ("lq", "plot", "weights", model),
        ("lq", "export", model, "out.onnx"),
        ("lq", "verify", model, "any.onnx"),
        ("lq", "benchmark", "any.onnx", "--model", model),
        ("lq", "qat", model, "--data", data),
        ("lq", "integer", "quantize", "-m", model, "--data", data),
        ("lq", "integer", "config", "-m", model),
        ("lq", "integer", "check", "-m", model),
        ("lq", "integer", "insert-rescaling", "-m", model, "-o", "o.keras", "-s", "2"),
        ("lq", "integer", "export", "-m", model, "--to", "onnx", "-o", "o.onnx"),
        ("lqz", "evaluate", model, "--dataset", "fashion_mnist_subset"),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [KERAS, H5])
def test_no_command_runs_what_a_file_carries(
    kind, saved, marker, tmp_path, monkeypatch, capsys
):
    saved('Lambda layer "shift"', kind)
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=np.zeros((4, 3), "float32"))
    Path("any.onnx").write_bytes(b"")
    for program, *words in commands(kind):
        with pytest.raises(SystemExit) as stop:
            {"lq": cli, "lqz": zoo_cli}[program].main(words)
        message = capsys.readouterr().err
        assert stop.value.code == 2, (words, message)
        assert 'the Lambda layer "shift"' in message, (words, message)
        assert "--unsafe" in message
        assert not marker.exists(), words
    cli.main(["summary", f"theirs{kind}", "--unsafe"])
    assert "Lambda" in capsys.readouterr().out or kind
    assert marker.exists()


def test_every_command_with_a_model_can_be_told_to_trust_it():
    def classes(kind):
        for each in typing.get_args(kind) or (kind,):
            each = typing.get_args(each)[0] if typing.get_args(each) else each
            hints = typing.get_type_hints(each)
            nested = [v for k, v in hints.items() if k in ("what", "command")]
            yield from (c for inner in nested for c in classes(inner))
            if "model" in hints:
                yield each, hints

    found = list(classes(cli.Command)) + list(classes(zoo_cli.Command))
    assert len(found) >= 11
    for command, hints in found:
        assert "unsafe" in hints, command


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_module_beside_the_file_is_not_imported_by_the_command(tmp_path, marker):
    (tmp_path / "larqlite_zoo.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "theirs.py").write_text(f"open({str(marker)!r}, 'w')\n")
    edited(tmp_path, KERAS, with_layer("theirs", "Layer"))
    root = Path(__file__).parents[2]
    program = "from larqlite.cli import main; main(['summary', 'edited.keras'])"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "names theirs.Layer, a module that is not imported" in ended.stderr
    assert not marker.exists()
