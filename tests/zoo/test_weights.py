"""Weights of the zoo's models: words, paths, addresses, and files that do not fit."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite.errors import ArgumentError, DownloadError, UnsupportedModelError
from larqlite_zoo import _registered_models
from larqlite_zoo._build import finish, image_input
from larqlite_zoo._card import PACKAGE_URL, Paper, WeightFile
from tests.zoo.weight_server import serve

PAPER = Paper("A paper", "https://example.org/paper", 2020)
IMAGES = np.random.default_rng(1).random((2, 8, 8, 3), dtype=np.float32)


def tiny_body(x, include_top, num_classes, filters=4):
    """Written out once more than in the registered model: what others have saved."""
    x = tf_keras.layers.Conv2D(filters, 3, use_bias=False)(x)
    x = tf_keras.layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(
        5, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )(x)
    x = tf_keras.layers.GlobalAveragePooling2D()(x)
    return tf_keras.layers.Dense(num_classes)(x) if include_top else x


def saved(path, *, include_top=True, channels=3, num_classes=6, filters=4, whole=False):
    """A file of random weights, and the outputs of the model that they belong to."""
    image = tf_keras.layers.Input((8, 8, channels))
    model = tf_keras.Model(image, tiny_body(image, include_top, num_classes, filters))
    rng = np.random.default_rng(7)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    (model.save if whole else model.save_weights)(path)
    return model(IMAGES[..., :channels]).numpy()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """By `include_top` a file of weights, and the outputs of its model."""
    folder = tmp_path_factory.mktemp("published")
    paths = {top: folder / f"published_{top}.h5" for top in (True, False)}
    return {top: (path, saved(path, include_top=top)) for top, path in paths.items()}


@pytest.fixture
def tiny(tmp_path, monkeypatch, published):
    """The registered model "tiny_net" (Keras name "tiny8"), and its published outputs."""
    monkeypatch.setenv("LARQLITE_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(
        _registered_models, "_entries", dict(_registered_models._entries)
    )
    outputs, files = {}, []
    for include_top in (True, False):
        original, outputs[include_top] = published[include_top]
        path = tmp_path / original.name
        shutil.copy(original, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(WeightFile(path.name, path.as_uri(), digest, include_top))

    @_registered_models.register_model(
        "tiny_net",
        summary="A model for tests.",
        paper=PAPER,
        weights=tuple(files),
        input_shape=(8, 8, 3),
        num_classes=6,
        keras_name="tiny8",
    )
    def TinyNet(
        *,
        input_shape=None,
        input_tensor=None,
        weights="imagenet",
        include_top=True,
        num_classes=6,
    ):
        image = image_input(
            "TinyNet",
            input_shape=input_shape,
            input_tensor=input_tensor,
            weights=weights,
            include_top=include_top,
            num_classes=num_classes,
            default_size=8,
        )
        x = tiny_body(image, include_top, num_classes)
        return finish(image, x, "tiny8", weights=weights, include_top=include_top)

    return outputs


@pytest.mark.parametrize("include_top", [True, False])
def test_the_word_finds_the_published_file(tiny, include_top):
    model = larqlite_zoo.get("TinyNet", include_top=include_top)
    np.testing.assert_array_equal(model(IMAGES), tiny[include_top])


def test_the_word_fetches_over_http_into_the_cache(tiny, tmp_path):
    content = (tmp_path / "published_True.h5").read_bytes()
    entry = _registered_models.find("tiny_net")
    with serve(content) as server:
        file = dataclasses.replace(entry.weights[0], url=server.url())
        _registered_models._entries["tiny_net"] = dataclasses.replace(
            entry, weights=(file,)
        )
        for _ in range(2):
            model = larqlite_zoo.get("tiny_net")
            np.testing.assert_array_equal(model(IMAGES), tiny[True])
        assert server.asked == [None]
    cached = tmp_path / "cache" / "tiny_net" / "published_True.h5"
    assert cached.read_bytes() == content
    cached.write_bytes(content[:-10])
    with pytest.raises(DownloadError, match=server.url()):
        larqlite_zoo.get("tiny_net")


@pytest.mark.parametrize("ending", [".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize("form", ["path", "string", "address"])
def test_a_file_of_ones_own_loads(tiny, tmp_path, ending, form):
    path = tmp_path / f"my own{ending}"
    model = larqlite_zoo.get("tiny_net")
    (model.save if ending == ".keras" else model.save_weights)(path)
    given = {"path": path, "string": str(path), "address": path.as_uri()}[form]
    again = larqlite_zoo.get("tiny_net", weights=given)
    np.testing.assert_array_equal(again(IMAGES), tiny[True])


def test_a_whole_saved_model_and_a_checkpoint_load(tiny, tmp_path):
    expected = saved(tmp_path / "whole.h5", whole=True)
    model = larqlite_zoo.get("tiny_net", weights=tmp_path / "whole.h5")
    np.testing.assert_array_equal(model(IMAGES), expected)
    model.save_weights(tmp_path / "checkpoint", save_format="tf")
    again = larqlite_zoo.get("tiny_net", weights=tmp_path / "checkpoint")
    np.testing.assert_array_equal(again(IMAGES), expected)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"weights": "imagnet"}, '"imagnet" is neither.*Did you mean "imagenet"'),
        ({"weights": "no/such.h5"}, "no such file .*no/such.h5.*path of a weight file"),
        ({"weights": "file:///no/such.h5"}, r"no such file \(/no/such.h5\)"),
        ({"weights": "."}, r'weights="\." is a folder'),
        ({"weights": "https://example.org/a.h5"}, "without a known checksum"),
        ({"weights": 3}, "weights=3 is a int"),
        ({"weights": True}, "weights=True is a bool"),
        ({"num_classes": 10}, "num_classes=10.*6 classes.*include_top=False"),
        ({"input_shape": (8, 8, 1)}, r"input_shape=\(8, 8, 1\).*images of 3 channels"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(tiny, keywords, says):
    with pytest.raises(ArgumentError, match=f"(?s)TinyNet.*{says}"):
        larqlite_zoo.get("tiny_net", **keywords)


def test_words_of_models_without_published_weights_are_refused(tiny):
    entry = _registered_models.find("tiny_net")
    _registered_models._entries["tiny_net"] = dataclasses.replace(entry, weights=())
    with pytest.raises(ArgumentError, match="nobody published weights"):
        larqlite_zoo.get("tiny_net")
    _registered_models._entries["tiny_net"] = dataclasses.replace(
        entry, weights=entry.weights[:1]
    )
    with pytest.raises(ArgumentError, match="published only with the classifier"):
        larqlite_zoo.get("tiny_net", include_top=False)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"filters": 8}, r'weight 0 is "conv2d[^"]*" \(3, 3, 3, 8\) in the file.*'
                         r'\(3, 3, 3, 4\) in the model'),
        ({"channels": 1}, r"\(3, 3, 1, 4\) in the file.*\(3, 3, 3, 4\) in the model"),
        ({"num_classes": 9}, r"\(5, 9\) in the file.*\(5, 6\) in the model"),
        ({"include_top": False}, r"missing in the file.*dense.*7 weights in the file, "
                                 "9 in the model"),
    ],
)  # fmt: skip
def test_a_file_of_another_network_is_refused_at_its_first_difference(
    tiny, tmp_path, other, says
):
    path = tmp_path / "other.h5"
    saved(path, **other)
    model = larqlite_zoo.get("tiny_net")
    before = model.get_weights()
    with pytest.raises(UnsupportedModelError, match=f"(?s)other.h5.*{says}"):
        larqlite_zoo._weights.load_file(model, path)
    for left, right in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(UnsupportedModelError, match="tiny8"):
        larqlite_zoo.get("tiny_net", weights=path)


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_a_file_in_the_newer_layout_of_another_network_is_refused(
    tiny, tmp_path, ending
):
    path = tmp_path / f"other{ending}"
    # The first convolution would fit: nothing of it may stay.
    saved(path, num_classes=9, whole=ending == ".keras")
    model = larqlite_zoo.get("tiny_net")
    with lq.context.quantized_scope(True):
        with pytest.raises(UnsupportedModelError, match="cannot be loaded"):
            larqlite_zoo._weights.load_file(model, path)
    np.testing.assert_array_equal(model(IMAGES), tiny[True])
    assert not set(np.unique(model.layers[3].get_weights()[0])) <= {-1.0, 1.0}


def test_a_checkpoint_of_another_network_is_refused(tiny, tmp_path):
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    model.save_weights(tmp_path / "checkpoint", save_format="tf")
    with pytest.raises(UnsupportedModelError, match="cannot be loaded"):
        larqlite_zoo.get("tiny_net", weights=tmp_path / "checkpoint")


def test_a_damaged_local_file_is_named(tiny, tmp_path):
    path = tmp_path / "cut.h5"
    saved(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UnsupportedModelError, match=r"cut\.h5: no readable HDF5 file"):
        larqlite_zoo.get("tiny_net", weights=path)


# Its Keras name is not the registered one; all others under `slow`.
FAST = ("birealnet",)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(entry.name, marks=() if entry.name in FAST else pytest.mark.slow)
        for entry in _registered_models.entries()
        if entry.weights
    ],
)
def test_published_weights_are_found_by_the_name_of_the_keras_model(
    name, kernels_of_zeros
):
    entry = _registered_models.find(name)
    model = entry.build(weights=None, include_top=False)
    found = _registered_models.entries_of_keras_name(model.name)
    assert found, f'{name}: register_model(keras_name="{model.name}") is missing'
    assert found[0].weights == entry.weights


def test_every_weight_file_has_a_checksum_and_a_safe_address():
    for entry in _registered_models.entries():
        for file in entry.weights:
            assert len(bytes.fromhex(file.sha256)) == 32
            if file.url == PACKAGE_URL:
                continue
            assert file.url.startswith("https://")
            assert file.url.endswith("/" + file.name)
