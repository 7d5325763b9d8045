"""No saved model runs code of its own unless the user says so.

Each file here makes a marker, a file beside it, when what it carries is run.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.models.unsafe_files import (
    CARRIED,
    CODE,
    H5,
    KERAS,
    edited,
    function,
    of,
    with_activation,
    with_layer,
)

L = tf_keras.layers
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
def test_weights_hold_no_code_and_are_read_without_the_model(tmp_path, marker):
    for name in ("w.h5", "w.weights.h5", "w.keras", "checkpoint"):
        model = of(L.Lambda(CODE["tensor"]), L.Dense(2))
        (model.save if name == "w.keras" else model.save_weights)(tmp_path / name)
        marker.unlink(missing_ok=True)
        same = of(L.Activation("linear"), L.Dense(2))
        same.load_weights(tmp_path / name)
        np.testing.assert_array_equal(same.get_weights()[0], model.get_weights()[0])
        assert not marker.exists()
