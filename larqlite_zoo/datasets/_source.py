"""What a split of a dataset is: images that can be put in order and loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError


class Source:
    """The images of one split, as two steps, so that a run can go on in the middle.

    `order` lists cheap items (positions, or files that are not read yet); `load` reads
    one. Skipping the first items of an epoch therefore costs nothing.

    Attributes:
        size: number of images.
    """

    size: int

    def order(self, key: tf.Tensor | None) -> tf.data.Dataset:
        """The items of one epoch.

        Args:
            key: int64 `(2,)`, a function of the seed and the epoch, which alone decides
                the order; None for the order of the files.
        """
        raise NotImplementedError

    def load(self, item):
        """`(image, label)` of an item: uint8 `(height, width, channels)`, or the bytes
        of an encoded image as a scalar string, and an int64 label."""
        raise NotImplementedError

    def first(self, count: int) -> Source:
        """The first images of this split, in the order of the files.

        Args:
            count: how many.

        Raises:
            ArgumentError: there are not so many.

        Example:
            >>> from larqlite_zoo import datasets
            >>> datasets.load("fashion_mnist_subset").train.first(100).size
            100
        """
        return _First(self, count)

    def explain(self, error: Exception) -> ArgumentError | None:
        """The error to raise instead of one that does not say which image failed.

        Args:
            error: what the iterator of a tf.data pipeline over this source raised.

        Returns:
            An error that names the file, or None: nothing better is known.
        """
        return None


class IndexedSource(Source):
    """A source whose items are the positions 0 ... size - 1."""

    def order(self, key):
        positions = tf.range(self.size, dtype=tf.int64)
        if key is not None:
            positions = tf.random.experimental.stateless_shuffle(positions, key)
        return tf.data.Dataset.from_tensor_slices(positions)


class _First(IndexedSource):
    """Some items of another source, kept in memory: positions, file names or bytes."""

    def __init__(self, source: Source, count: int):
        if not 1 <= count <= source.size:
            raise ArgumentError(
                f"the first {count:,} images of a split that has {source.size:,}.\n"
                f"  Fix: a number from 1 to {source.size:,}."
            )
        self.size = count
        self._source = source
        with tf.init_scope(), tf.device("CPU"):
            self._items = source.order(None).batch(count).take(1).get_single_element()

    def load(self, item):
        return self._source.load(tf.gather(self._items, item))

    def explain(self, error):
        return self._source.explain(error)


class ArraySource(IndexedSource):
    """Images that are in memory.

    Args:
        images: uint8 `(count, height, width)` or `(count, height, width, channels)`.
        labels: integers `(count,)`.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        images = np.asarray(images)
        self.images = images[..., np.newaxis] if images.ndim == 3 else images
        self.labels = np.asarray(labels).astype(np.int64)
        self.size = len(self.images)
        self._tensors: tuple[tf.Tensor, tf.Tensor] | None = None

    def load(self, item):
        if self._tensors is None:
            # Once, on the host, so that graphs share them; and only now, because several
            # workers must find each other before TensorFlow makes its first tensor.
            with tf.init_scope(), tf.device("CPU"):
                self._tensors = tf.constant(self.images), tf.constant(self.labels)
        images, labels = self._tensors
        return tf.gather(images, item), tf.gather(labels, item)


@dataclass(frozen=True)
class Dataset:
    """A dataset for image classification.

    Attributes:
        name: such as "fashion_mnist".
        train, validation: the two splits.
        class_names: one for each label.
        image_shape: `(height, width, channels)`; None where the images differ.
        preprocessing: the name of the usual preprocessing of its images.
    """

    name: str
    train: Source
    validation: Source
    class_names: Sequence[str]
    image_shape: tuple[int, int, int] | None
    preprocessing: str

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.class_names)
