"""A saved model is read from its own file: none that it names is read, written or removed."""

from __future__ import annotations

import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.models.unsafe_files import CODE, H5, KERAS, edited, of

L = tf_keras.layers


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
