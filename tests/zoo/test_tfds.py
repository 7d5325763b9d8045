"""Datasets of tensorflow_datasets, on small files in its own format.

Skipped where it is not installed: `pip install "larqlite[tfds]"`.
"""

import numpy as np
import pytest
import tensorflow as tf

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo.datasets import load, preprocessing

pytestmark = pytest.mark.filterwarnings("ignore")  # of a package that is not ours
tfds = pytest.importorskip("tensorflow_datasets")

CLASSES = ["rose", "tulip", "poppy"]


VERSIONS = {
    "mnist": "3.0.1", "oxford_flowers102": "2.1.1", "imagenet2012": "5.0.0",
    "cifar10": "3.0.2",
}  # fmt: skip


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """MNIST, Flowers and ImageNet with a handful of random images."""
    folder, photos = tmp_path_factory.mktemp("tfds"), (None, None, 3)
    store(folder, "mnist", (28, 28, 1), {"train": 30, "test": 10})
    flowers = {"train": 6, "validation": 5, "test": 7}
    store(folder, "oxford_flowers102", photos, flowers)
    store(folder, "imagenet2012", photos, {"train": 6, "validation": 5})
    return folder


def store(folder, name, shape, splits, file_format="tfrecord"):
    encoding = "png" if shape[-1] == 1 else "jpeg"
    image = tfds.features.Image(shape=shape, encoding_format=encoding)
    label = tfds.features.ClassLabel(names=CLASSES)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=VERSIONS[name],
        features=tfds.features.FeaturesDict({"image": image, "label": label}),
        split_datasets={
            split: _random_images(count, shape) for split, count in splits.items()
        },
        data_dir=folder,
        file_format=file_format,
    )


def _random_images(count, shape):
    rng = np.random.default_rng(count)
    size = (count, *(side or 20 for side in shape))
    images = rng.integers(0, 256, size).astype(np.uint8)
    return tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": np.arange(count) % 3}
    )


def seen(source, *key):
    """`(label, sum of the pixels)` of every image, in the order of the source."""
    items = source.order(tf.constant(key, tf.int64) if key else None).map(source.load)
    return [
        (int(label), int(image.sum())) for image, label in items.as_numpy_iterator()
    ]


def test_the_images_are_those_that_tfds_itself_reads(data_dir):
    dataset = load("mnist", folder=data_dir)
    assert (dataset.train.size, dataset.validation.size) == (30, 10)
    assert dataset.image_shape == (28, 28, 1)
    assert list(dataset.class_names) == CLASSES
    for source, split in ((dataset.train, "train"), (dataset.validation, "test")):
        theirs = tfds.load("mnist:3.0.*", data_dir=data_dir, split=split)
        expected = [
            (int(example["label"]), int(example["image"].sum()))
            for example in tfds.as_numpy(theirs)
        ]
        assert seen(source) == expected


def test_cifar10_whose_own_files_are_not_there_is_read_through_tfds(tmp_path):
    store(tmp_path, "cifar10", (32, 32, 3), {"train": 6, "test": 4})
    dataset = load("cifar10", folder=tmp_path)
    assert (dataset.train.size, dataset.validation.size) == (6, 4)
    assert (dataset.image_shape, dataset.variant) == ((32, 32, 3), "")


def test_the_order_depends_on_the_key_alone(data_dir):
    train = load("mnist", folder=data_dir).train
    first = seen(train, 1, 1)
    tf.random.set_seed(5)
    assert seen(train, 1, 1) == first
    assert first != seen(train, 1, 2)
    assert sorted(first) == sorted(seen(train)) == sorted(seen(train, 1, 2))


def test_large_images_stay_encoded_and_splits_are_joined(data_dir):
    flowers = load("oxford_flowers102", folder=data_dir)
    assert (flowers.train.size, flowers.validation.size) == (11, 7)
    assert flowers.image_shape is None
    assert flowers.train.order(None).map(flowers.train.load).element_spec[0].dtype == (
        tf.string
    )
    prepare = preprocessing(flowers.preprocessing, 32)
    key = tf.constant([1, 2], tf.int64)
    images = flowers.train.order(key).map(
        lambda item: prepare(flowers.train.load(item)[0], key, True)
    )
    assert images.batch(11).get_single_element().shape == (11, 32, 32, 3)


def test_imagenet_is_found_in_an_older_version(data_dir):
    for download in (False, True):  # what is there is not fetched again
        dataset = load("imagenet", folder=data_dir, download=download)
        assert (dataset.train.size, dataset.validation.size) == (6, 5)


def test_data_that_is_not_there_is_told(tmp_path):
    with pytest.raises(
        MissingFileError,
        match=r"oxford_flowers102, version 2\.0\.\* or 2\.1\.\*, is not prepared",
    ) as e:
        load("oxford_flowers102", folder=tmp_path)
    assert "download=True" in str(e.value)
    with pytest.raises(MissingFileError, match="catalog/imagenet2012"):
        load("imagenet", folder=tmp_path)


def test_another_file_format_is_refused(tmp_path):
    store(tmp_path, "mnist", (28, 28, 1), {"train": 3, "test": 2}, "array_record")
    with pytest.raises(ArgumentError, match="array_record, not tfrecord"):
        load("mnist", folder=tmp_path)
