"""The datasets that come through tensorflow_datasets (TFDS)."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo.datasets._registered_datasets import register_dataset
from larqlite_zoo.datasets._source import Dataset, Source

# Name here: name in TFDS, versions (the first that is there), training split, validation
# split, preprocessing.
DATASETS = {
    "fashion_mnist": ("fashion_mnist", ["3.0.*"], "train", "test", "small"),
    "mnist": ("mnist", ["3.0.*"], "train", "test", "small"),
    "cifar10": ("cifar10", ["3.0.*"], "train", "test", "small"),
    "oxford_flowers102": (
        "oxford_flowers102",
        ["2.0.*", "2.1.*"],
        "train+validation",
        "test",
        "imagenet",
    ),
    "imagenet": (
        "imagenet2012",
        ["5.*.*", "5.0.*"],
        "train",
        "validation",
        "imagenet",
    ),
}
FILES_AT_ONCE = 16
# Examples that are permuted at once; of ImageNet's about 450 MB.
BLOCK = 4096


class RecordSource(Source):
    """Examples in the TFRecord files of TFDS; those of `order` are not parsed yet.

    A key decides the order of the files and that within each 4,096 examples, which come
    from 16 files in turn. TFDS itself has mixed the examples when it wrote the files.

    Args:
        builder: of TFDS, its files prepared.
        split: such as "train" or "train+validation".
    """

    def __init__(self, builder, split: str):
        import tensorflow_datasets as tfds

        parts = [builder.info.splits[part] for part in split.split("+")]
        self.size = sum(part.num_examples for part in parts)
        self._features = builder.info.features
        self._skip = {"image": tfds.decode.SkipDecoding()}
        files = [str(path) for part in parts for path in part.filepaths]
        with tf.init_scope(), tf.device("CPU"):
            self._files = tf.constant(files, tf.string)

    def order(self, key):
        if key is None:
            return tf.data.TFRecordDataset(self._files)
        files_key, block_key = tf.unstack(
            tf.random.experimental.stateless_split(key, 2)
        )
        files = tf.random.experimental.stateless_shuffle(self._files, files_key)
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset,
            cycle_length=FILES_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

        def permuted(number, block):
            key = block_key + tf.stack([tf.cast(0, tf.int64), number])
            return tf.data.Dataset.from_tensor_slices(
                tf.random.experimental.stateless_shuffle(block, key)
            )

        return records.batch(BLOCK).prefetch(1).enumerate().flat_map(permuted)

    def load(self, item):
        example = self._features.deserialize_example(item, decoders=self._skip)
        image, label = example["image"], tf.cast(example["label"], tf.int64)
        shape = self._features["image"].shape
        if None in shape:
            return image, label
        return tf.ensure_shape(tf.io.decode_png(image, shape[-1]), shape), label


def tfds_dataset(name: str, folder, download: bool = False) -> Dataset:
    """A dataset of the table above.

    Args:
        name: in the table.
        folder: TFDS' `data_dir`; None for its own place.
        download: let TFDS download and prepare what is missing.

    Raises:
        MissingFileError: tensorflow_datasets is not installed, or the data is not there.
        ArgumentError: the data is in another file format than TFRecord.
    """
    where = f'datasets.load("{name}")'
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingFileError(
            f"{where}: tensorflow_datasets cannot be imported ({error}).\n"
            '  Fix: pip install "larqlite[tfds]"; or load("folder", folder=...), which '
            "needs nothing more."
        ) from error
    known_as, versions, train, validation, preprocessing = DATASETS[name]
    folder = None if folder is None else str(Path(folder).expanduser())
    builders = [_builder(tfds, f"{known_as}:{each}", folder) for each in versions]
    builders = [builder for builder in builders if builder is not None]
    prepared = [b for b in builders if {"train", validation} <= set(b.info.splits)]
    if builders and download and not prepared:
        builders[0].download_and_prepare()
        prepared = builders[:1]
    if not prepared:
        by_hand = (
            " ImageNet's archives have to be fetched by hand first, see "
            "https://www.tensorflow.org/datasets/catalog/imagenet2012."
        )
        raise MissingFileError(
            f"{where}: {known_as}, version {' or '.join(versions)}, is not prepared in "
            f"{folder or tfds.core.constants.DATA_DIR}.\n"
            "  Fix: pass download=True; or as folder= the data_dir of TFDS that has it."
            f"{by_hand if name == 'imagenet' else ''}"
        )
    builder = prepared[0]
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise ArgumentError(
            f"{where}: the files in {builder.data_path} are "
            f"{builder.info.file_format.value}, not tfrecord.\n"
            "  Fix: prepare the dataset again with file_format=tfrecord."
        )
    features = builder.info.features
    shape = tuple(features["image"].shape)
    return Dataset(
        name,
        RecordSource(builder, train),
        RecordSource(builder, validation),
        features["label"].names,
        None if None in shape else shape,
        preprocessing,
    )


def _builder(tfds, name: str, folder: str | None):
    """The builder; None where neither this TFDS nor the folder knows the version."""
    try:
        return tfds.builder(name, data_dir=folder, try_gcs=False)
    except (AssertionError, ValueError, tfds.core.registered.DatasetNotFoundError):
        return None


def _register(name: str) -> None:
    @register_dataset(name)
    def through_tfds(folder=None, download: bool = False) -> Dataset:
        return tfds_dataset(name, folder, download)


for _name in DATASETS:
    if _name not in (
        "fashion_mnist",
        "cifar10",
    ):  # whose own files are looked for first
        _register(_name)
