"""Datasets by name: Fashion-MNIST from its own files, and what is said when data lacks."""

import gzip
import struct
import sys

import numpy as np
import pytest
import tensorflow as tf

import larqlite as lq
from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo import datasets
from larqlite_zoo.datasets import _fashion_mnist

NAMES = [
    "cifar10",
    "fashion_mnist",
    "fashion_mnist_subset",
    "folder",
    "imagenet",
    "mnist",
    "oxford_flowers102",
]


def idx(array):
    """The IDX format, from its description."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    """The first images of the embedded subset as the four files; two of them gzipped."""
    (x_train, y_train), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    for name, array in (
        ("train-images-idx3-ubyte", x_train[:20]),
        ("train-labels-idx1-ubyte.gz", y_train[:20]),
        ("t10k-images-idx3-ubyte.gz", x_test[:10]),
        ("t10k-labels-idx1-ubyte", y_test[:10]),
    ):
        content = idx(array)
        packed = gzip.compress(content) if name.endswith("gz") else content
        (tmp_path / name).write_bytes(packed)
    return tmp_path


@pytest.fixture
def no_other_place(monkeypatch, tmp_path):
    """No environment variable, no Debian package."""
    monkeypatch.delenv("LARQLITE_FASHION_MNIST", raising=False)
    monkeypatch.setattr(_fashion_mnist, "DEBIAN_FOLDER", tmp_path / "not installed")


def test_all_datasets_are_listed():
    assert datasets.names() == NAMES


def test_the_subset_is_the_embedded_one():
    dataset = datasets.load("fashion_mnist_subset")
    (x_train, y_train), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.class_names[9] == "Ankle boot"
    for source, x, y in (
        (dataset.train, x_train, y_train),
        (dataset.validation, x_test, y_test),
    ):
        batch = source.order(None).map(source.load).batch(len(x)).get_single_element()
        np.testing.assert_array_equal(batch[0][..., 0], x)
        np.testing.assert_array_equal(batch[1], y)


def test_fashion_mnist_is_read_from_idx_files(idx_folder, no_other_place, monkeypatch):
    (x_train, y_train), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    by_argument = datasets.load("fashion_mnist", folder=idx_folder)
    monkeypatch.setenv("LARQLITE_FASHION_MNIST", str(idx_folder))
    by_variable = datasets.load("fashion_mnist")
    monkeypatch.delenv("LARQLITE_FASHION_MNIST")
    monkeypatch.setattr(_fashion_mnist, "DEBIAN_FOLDER", idx_folder)
    by_package = datasets.load("fashion_mnist")
    for dataset in (by_argument, by_variable, by_package):
        assert (dataset.train.size, dataset.validation.size) == (20, 10)
        image, label = dataset.train.load(7)
        np.testing.assert_array_equal(image[..., 0], x_train[7])
        assert label == y_train[7]
        image, label = dataset.validation.load(tf.constant(3))
        np.testing.assert_array_equal(image[..., 0], x_test[3])
        assert label == y_test[3]


@pytest.mark.skipif(
    not _fashion_mnist.DEBIAN_FOLDER.is_dir(),
    reason="Debian's package dataset-fashion-mnist is not installed",
)
def test_the_whole_of_fashion_mnist_has_the_known_mean_and_classes():
    dataset = datasets.load("fashion_mnist", folder=_fashion_mnist.DEBIAN_FOLDER)
    images = np.asarray(dataset.train.images)
    assert images.shape == (60_000, 28, 28, 1)
    # The constants that training scripts use for normalisation.
    assert images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert images.std() / 255 == pytest.approx(0.3530, abs=5e-5)
    for source, count in ((dataset.train, 6000), (dataset.validation, 1000)):
        assert np.bincount(source.labels).tolist() == [count] * 10


def test_damaged_idx_files_are_named(idx_folder):
    def fails(name, content, match):
        path = idx_folder / name
        kept = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(ArgumentError, match=match) as caught:
            datasets.load("fashion_mnist", folder=idx_folder)
        assert name.removesuffix(".gz") in str(caught.value)
        path.write_bytes(kept)

    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"
    whole = (idx_folder / images).read_bytes()
    fails(images, whole[:-1], "are announced, 15679 are there")
    fails(images, whole[:6], "are announced")
    fails(images, b"\x89PNG", "no IDX file of bytes, for it begins with 89504e47")
    fails(images, b"", "no IDX file")
    packed = (idx_folder / labels).read_bytes()
    fails(labels, packed[:-9], "a damaged gzip file")
    fails(labels, b"no gzip at all", "a damaged gzip file")
    fails(labels, gzip.compress(idx(np.zeros(3, np.uint8))), "20 images, but")


def test_a_missing_idx_file_is_told_with_the_ways_to_get_it(idx_folder):
    (idx_folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(MissingFileError, match="LARQLITE_FASHION_MNIST") as caught:
        datasets.load("fashion_mnist", folder=idx_folder)
    assert f"{idx_folder} has neither t10k-images-idx3-ubyte nor" in str(caught.value)
    assert "dataset-fashion-mnist" in str(caught.value)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"fashion_mnist_subset", "folder"}))
def test_without_tensorflow_datasets_the_error_says_how_to_install_it(
    name, monkeypatch, no_other_place
):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingFileError, match=r"larqlite\[tfds\]") as caught:
        datasets.load(name)
    assert f'datasets.load("{name}")' in str(caught.value)


def test_mistakes_are_answered_with_near_matches():
    with pytest.raises(ArgumentError, match='Did you mean "fashion_mnist"'):
        datasets.load("fashion-mnist")
    with pytest.raises(ArgumentError, match='Did you mean "download"'):
        datasets.load("mnist", downlod=True)
    with pytest.raises(ArgumentError, match="these images are part of the package"):
        datasets.load("fashion_mnist_subset", folder="/data")
