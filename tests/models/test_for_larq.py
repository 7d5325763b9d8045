"""`lq.models.save_for_larq`: what it writes is what Larq writes, and Larq reads it.

The configurations are compared with those that Larq 0.14 itself wrote (tests/fixtures).
Where LARQLITE_TEST_LARQ names the Python of an environment with larq 0.14, a process of
its own reads the files.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_zoo
from tests.models.for_larq_models import BINARY, MODELS

L, Q = tf_keras.layers, lq.layers
LARQ = os.environ.get("LARQLITE_TEST_LARQ")
FOLDER = Path(__file__).parents[1] / "fixtures" / "larq_0.14.0"
FAST = ("volumes", "nested")
BY_LARQ = sorted(zipfile.ZipFile(FOLDER / "h5.zip").namelist())


def configuration(path):
    with h5py.File(path) as file:
        return json.loads(file.attrs["model_config"])


def as_larq_can_read_it(config):
    """Larq has one constraint under two names, of which files hold either; and it writes
    its two functions in a way that it cannot read, where we write their names."""
    if isinstance(config, list):
        return [as_larq_can_read_it(item) for item in config]
    if not isinstance(config, dict):
        return "WeightClip" if config == "weight_clip" else config
    if config.get("class_name") == "function":
        return config["config"]
    return {key: as_larq_can_read_it(value) for key, value in config.items()}


def randomized(model):
    random = np.random.default_rng(0)
    for weight in model.weights:
        values = random.normal(0, 0.4, weight.shape)
        if "variance" in weight.name:
            values = np.abs(values) + 0.5
        if weight.dtype.is_floating:
            weight.assign(values.astype("float32"))
    return model


def inputs_of(model):
    random = np.random.default_rng(1)
    return [
        random.normal(size=(3, *x.shape[1:])).astype("float32") for x in model.inputs
    ]


@pytest.mark.parametrize("name", BY_LARQ)
def test_a_file_of_larqs_own_is_written_again_as_larq_wrote_it(name, tmp_path):
    with zipfile.ZipFile(FOLDER / "h5.zip") as archive:
        theirs = archive.extract(name, tmp_path)
    model = lq.models.load(theirs, compile=False)
    lq.models.save_for_larq(model, tmp_path / "ours.h5")
    written = as_larq_can_read_it(configuration(tmp_path / "ours.h5"))
    assert written == as_larq_can_read_it(configuration(theirs))
    with h5py.File(theirs) as one, h5py.File(tmp_path / "ours.h5") as other:
        expected, found = {}, {}
        for file, weights in ((one, expected), (other, found)):
            file["model_weights"].visititems(
                lambda path, item, weights=weights: (
                    weights.update({path: item[()]})
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    assert expected.keys() == found.keys()
    for path, values in expected.items():
        np.testing.assert_array_equal(found[path], values, err_msg=path)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(build, marks=[] if build.__name__ in FAST else pytest.mark.slow)
        for build in MODELS
    ],
    ids=lambda build: build.__name__,
)
def test_the_file_is_read_here_too_and_holds_latent_weights(build, tmp_path):
    model = randomized(build())
    x = inputs_of(model)
    expected = model(x)
    with lq.context.quantized_scope(True):
        lq.models.save_for_larq(model, tmp_path / "for_larq.h5")
    text = json.dumps(configuration(tmp_path / "for_larq.h5"))
    assert "larqlite" not in text
    loaded = lq.models.load(tmp_path / "for_larq.h5")
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(loaded(x), expected)


READ = """
import sys
import numpy as np, tensorflow as tf, larq
for path in sys.argv[1:]:
    data = np.load(path + ".npz")
    model = tf.keras.models.load_model(path)
    x = [data[name] for name in data if name != "y"]
    y = model.predict(x[0] if len(x) == 1 else x, verbose=0)
    np.testing.assert_allclose(y, data["y"], rtol=1e-6, atol=1e-6)
    print("EQUAL", larq.__version__ if hasattr(larq, "__version__") else "")
"""


@pytest.mark.skipif(
    not LARQ, reason="LARQLITE_TEST_LARQ names no Python with larq==0.14.0"
)
def test_larq_itself_predicts_the_same_in_its_own_process(tmp_path):
    paths = []
    for build in MODELS:
        model = randomized(build())
        x = inputs_of(model)
        path = tmp_path / f"{build.__name__}.h5"
        lq.models.save_for_larq(model, path)
        arrays = {f"x{number}": each for number, each in enumerate(x)}
        np.savez(f"{path}.npz", y=model.predict(x, verbose=0), **arrays)
        paths.append(str(path))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ended = subprocess.run(
        [LARQ, "-c", READ, *paths],
        env=environment | {"TF_USE_LEGACY_KERAS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.stdout.count("EQUAL") == len(MODELS), ended.stderr[-3000:]


class Mine(L.Layer):
    pass


@tf_keras.saving.register_keras_serializable("mine")
class Registered(L.Layer):
    pass


def of(*layers, shape=(8, 8, 2)):
    return tf_keras.Sequential([tf_keras.Input(shape), *layers])


LACKING = {
    'QuantDepthwiseConv1D "x"': lambda: of(
        Q.QuantDepthwiseConv1D(3, name="x"), shape=(8, 2)
    ),
    'QuantConv1DTranspose "x"': lambda: of(
        Q.QuantConv1DTranspose(2, 3, name="x"), shape=(8, 2)
    ),
    'RPReLU "x"': lambda: of(Q.RPReLU(name="x")),
    'RSign of "x"': lambda: of(
        Q.QuantConv2D(2, 3, input_quantizer=lq.quantizers.RSign(), name="x")
    ),
    'AdaBinWeights of "x"': lambda: of(
        Q.QuantConv2D(2, 3, kernel_quantizer="adabin_weights", name="x")
    ),
    'Mine "x"': lambda: of(Mine(name="x")),
    'Registered "x"': lambda: of(Registered(name="x")),
    'QuantConv2D "x"': lambda: of(
        L.TimeDistributed(
            Q.QuantConv2D(2, 3, input_quantizer=lq.quantizers.RSign(), name="x")
        ),
        shape=(2, 8, 8, 2),
    ),
    "QuantizeWrapperV2": lambda: lq.qat.quantize_model(of(L.Conv2D(2, 3))),
    "BlurPool": lambda: of(
        L.DepthwiseConv2D(
            3, depthwise_initializer=larqlite_zoo.sota.quicknet.BlurPool()
        )
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", LACKING)
def test_what_larq_lacks_is_refused_by_name_and_nothing_is_written(what, tmp_path):
    path = tmp_path / "for_larq.h5"
    before = b"\x89HDF\r\n\x1a\n as it was"
    path.write_bytes(before)
    with pytest.raises(
        lq.errors.UnsupportedModelError, match=r"docs/larq\.md"
    ) as error:
        lq.models.save_for_larq(LACKING[what](), path)
    if what.startswith("QuantConv2D"):
        assert 'RSign of "x"' in str(error.value)
    else:
        assert what in str(error.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_vocabulary_that_no_h5_file_holds_is_refused_with_a_fix_that_works(tmp_path):
    def model(**words):
        lookup = L.StringLookup(output_mode="one_hot", name="words", **words)
        if not words:
            lookup.adapt(np.array([["a"], ["b"]]))
        inputs = tf_keras.Input((1,), dtype="string")
        return tf_keras.Model(inputs, L.Dense(2)(lookup(inputs)))

    path = tmp_path / "model.h5"
    with pytest.raises(lq.errors.UnsupportedModelError, match='vocabulary of "words"'):
        lq.models.save_for_larq(model(), path)
    assert not path.exists()
    found = model().get_layer("words").get_vocabulary(include_special_tokens=False)
    lq.models.save_for_larq(model(vocabulary=found), path)
    assert path.exists()


def test_what_is_no_model_or_no_h5_is_refused(tmp_path):
    model = of(Q.QuantDense(2, **BINARY), shape=(3,))
    with pytest.raises(lq.errors.ArgumentError, match=r"\.h5"):
        lq.models.save_for_larq(model, tmp_path / "model.keras")
    with pytest.raises(lq.errors.ArgumentError, match=r"lq\.models\.load"):
        lq.models.save_for_larq("model.keras", tmp_path / "model.h5")
    with pytest.raises(lq.errors.UnbuiltModelError):
        lq.models.save_for_larq(
            tf_keras.Sequential([Q.QuantDense(2, **BINARY)]), tmp_path / "model.h5"
        )
    with pytest.raises(lq.errors.MissingFileError):
        lq.models.save_for_larq(model, tmp_path / "nowhere" / "model.h5")
