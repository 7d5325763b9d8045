"""What cannot come in is refused by name, with what to do; nothing is half done."""

from __future__ import annotations

import zipfile

import h5py
import keras
import pytest
import tf_keras

import larqlite as lq
from tests.from_keras.networks import cnn, noise

K = keras.layers
from_keras = lq.models.from_keras


def sequential(*layers, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *layers])


@keras.saving.register_keras_serializable("bad")
def own_function(x):
    return x


LAYERS = {
    "a Lambda": (
        K.Lambda(lambda x: x, name="own"),
        (4,),
        r'Lambda "own".*Python function',
    ),
    "float16": (
        K.Dense(2, dtype="float16", name="half"),
        (4,),
        'Dense "half".*float16',
    ),
    "antialias": (
        K.Resizing(2, 2, antialias=True, name="r"),
        (4, 4, 1),
        "antialias=True",
    ),
    "padding": (K.Resizing(2, 2, pad_to_aspect_ratio=True), (4, 4, 1), "pad_to_aspect"),
    "RandomCrop": (
        K.RandomCrop(2, 2, name="crop"),
        (4, 4, 1),
        r'RandomCrop "crop".*whole',
    ),
    "no bins": (
        K.Discretization(num_bins=3, name="bins"),
        (4,),
        'Discretization "bins"',
    ),
    "a layer as activation": (K.Dense(2, activation=K.LeakyReLU()), (4,), "LeakyReLU"),
    "a function of ones own": (
        K.Dense(2, activation=own_function),
        (4,),
        "no activation",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_has_no_equal_is_named(name):
    layer, shape, words = LAYERS[name]
    theirs = sequential(layer, shape=shape)
    with pytest.raises(lq.errors.UnsupportedLayerError, match=f"(?s){words}.*Fix: "):
        from_keras(theirs)


def test_the_ways_out_work():
    own = K.Dense(2, activation=K.LeakyReLU(), name="own")
    theirs = sequential(own)
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match="put that layer behind it"
    ):
        from_keras(theirs)
    apart = sequential(K.Dense(2, name="own"), K.LeakyReLU())
    apart.set_weights(theirs.get_weights())
    assert from_keras(apart)(noise(1, 4)).shape == (1, 2)

    half = sequential(K.Dense(2, dtype="float16"))
    mixed = sequential(K.Dense(2, dtype="mixed_float16"))
    mixed.set_weights(half.get_weights())
    assert from_keras(mixed).layers[0].compute_dtype == "float16"


def test_a_subclassed_model_is_refused_and_a_functional_one_of_its_layers_comes_in():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc = K.Dense(2)

        def call(self, x):
            return self.fc(x)

    own = Own()
    own(noise(1, 4))
    with pytest.raises(
        lq.errors.UnsupportedModelError, match=r"subclassed model \(Own\)"
    ):
        from_keras(own)
    x = keras.Input((4,))
    assert from_keras(keras.Model(x, own.fc(x)))(noise(1, 4)).shape == (1, 2)


def test_an_unbuilt_model_is_refused_until_it_is_built():
    theirs = keras.Sequential([K.Dense(2)])
    with pytest.raises(lq.errors.UnbuiltModelError, match=r"model\.build"):
        from_keras(theirs)
    theirs.build((None, 4))
    assert from_keras(theirs)(noise(1, 4)).shape == (1, 2)


def test_what_is_no_model_of_keras_3_is_named(tmp_path):
    ours = tf_keras.Sequential([tf_keras.Input((2,)), tf_keras.layers.Dense(1)])
    with pytest.raises(lq.errors.KerasVersionError, match="tf_keras already"):
        from_keras(ours)
    ours.save(tmp_path / "ours.keras")
    with pytest.raises(lq.errors.KerasVersionError, match=r"lq\.models\.load"):
        from_keras(tmp_path / "ours.keras")
    with pytest.raises(lq.errors.ArgumentError, match="got int"):
        from_keras(3)
    with pytest.raises(lq.errors.MissingFileError):
        from_keras(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("hello")
    with pytest.raises(lq.errors.UnsupportedModelError, match="neither a zip"):
        from_keras(tmp_path / "text.keras")


def test_a_file_cut_short_or_without_weights_is_refused(tmp_path):
    whole = tmp_path / "whole.keras"
    cnn().save(whole)
    content = whole.read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(lq.errors.UnsupportedModelError, match="cut short"):
        from_keras(tmp_path / "cut.keras")
    with (
        zipfile.ZipFile(whole) as old,
        zipfile.ZipFile(tmp_path / "bare.keras", "w") as new,
    ):
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        weights = old.read("model.weights.h5")
    with pytest.raises(lq.errors.UnsupportedModelError, match="save the model anew"):
        from_keras(tmp_path / "bare.keras")
    (tmp_path / "w.h5").write_bytes(weights)
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        del file["layers/conv2d/vars/0"]
    with zipfile.ZipFile(tmp_path / "bare.keras", "a") as archive:
        archive.write(tmp_path / "w.h5", "model.weights.h5")
    with pytest.raises(lq.errors.UnsupportedModelError, match="weights are missing"):
        from_keras(tmp_path / "bare.keras")
    with pytest.raises(lq.errors.UnsupportedModelError, match="weights but no model"):
        from_keras(tmp_path / "w.h5")


def test_a_file_with_a_lambda_is_not_run(tmp_path):
    sequential(K.Lambda(lambda x: x + 1)).save(tmp_path / "m.keras")
    with pytest.raises(lq.errors.UnsafeFileError, match="Lambda"):
        from_keras(tmp_path / "m.keras")


def test_the_first_layer_that_differs_is_named():
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    @lq.models.keras3_converter(Twice)
    def convert(layer):
        return tf_keras.layers.Rescaling(2.1, name=layer.name)

    theirs = sequential(K.Dense(3), Twice(name="twice"), K.Dense(2))
    with pytest.raises(lq.errors.UnsupportedLayerError) as error:
        from_keras(theirs)
    assert 'Twice "twice" is the first layer whose outputs differ: by 5.0e-02' in str(
        error.value
    )
