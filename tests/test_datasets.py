"""The embedded images are Fashion-MNIST's, and are served as Keras serves its own."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from larqlite import datasets
from larqlite.errors import ArgumentError, DtypeError


@pytest.fixture(scope="module")
def data():
    return datasets.load_fashion_mnist()


def test_the_file_is_the_one_that_was_checked_in():
    file = resources.files("larqlite.datasets") / "fashion_mnist_10k.npz"
    assert (
        hashlib.sha256(file.read_bytes()).hexdigest()
        == "7ae47c3e9648a2e1dbc801ff6cfa89f63336a59ca2454f1a90387b9de60eb33c"
    )


def test_shapes_and_dtypes_are_those_of_a_keras_data_set(data):
    (x_train, y_train), (x_test, y_test) = data
    assert (x_train.shape, y_train.shape) == ((8000, 28, 28), (8000,))
    assert (x_test.shape, y_test.shape) == ((2000, 28, 28), (2000,))
    assert {array.dtype for split in data for array in split} == {np.dtype("uint8")}


def test_the_first_labels_are_those_of_the_original_files(data):
    (_, y_train), (_, y_test) = data
    assert y_train[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert y_test[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]


def test_mean_and_deviation_are_the_known_ones_of_the_whole_set(data):
    # 0.2860 and 0.3530 are the constants that training scripts for the 60,000 use.
    (x_train, _), _ = data
    assert x_train.mean() / 255 == pytest.approx(0.2860, rel=0.01)
    assert x_train.std() / 255 == pytest.approx(0.3530, rel=0.01)


def test_every_class_has_about_a_tenth_of_the_images(data):
    for _, labels in data:
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == len(datasets.FASHION_MNIST_CLASSES) == 10
        assert np.abs(counts / len(labels) - 0.1).max() < 0.01


def test_no_test_image_is_a_training_image(data):
    (x_train, _), (x_test, _) = data
    assert not {image.tobytes() for image in x_train} & {
        image.tobytes() for image in x_test
    }


def test_the_licence_lies_beside_the_images():
    text = (
        resources.files("larqlite.datasets") / "fashion_mnist_LICENSE.txt"
    ).read_text()
    assert "The MIT License" in text
    assert "Copyright (c) 2017 Zalando SE, https://tech.zalando.com" in text


def test_trousers_look_like_two_legs(data):
    # A mix-up of labels would show: the gap between the legs is dark, the legs bright.
    (x_train, y_train), _ = data
    mean = x_train[y_train == datasets.FASHION_MNIST_CLASSES.index("Trouser")].mean(0)
    low = mean[22]
    assert low[10] > 2 * low[14] < low[18]


def test_float_images_span_minus_one_to_one_and_gain_a_channel(data):
    (x_train, _), _ = data
    images = datasets.to_float_images(x_train[:100])
    assert images.shape == (100, 28, 28, 1)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (-1.0, 1.0)
    np.testing.assert_array_equal(
        np.rint((images[..., 0].astype("float64") + 1) * 127.5), x_train[:100]
    )


def test_a_channel_axis_that_is_there_is_kept():
    assert datasets.to_float_images(np.zeros((2, 4, 4, 3), "uint8")).shape == (
        2,
        4,
        4,
        3,
    )


def test_images_scaled_already_are_refused():
    with pytest.raises(DtypeError, match=r"float32.*uint8"):
        datasets.to_float_images(np.zeros((1, 2, 2), "float32"))


def test_a_single_image_is_refused_with_the_fix():
    with pytest.raises(ArgumentError, match=r"\(28, 28\)[\s\S]*image\[np.newaxis\]"):
        datasets.to_float_images(np.zeros((28, 28), "uint8"))
