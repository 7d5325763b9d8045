"""What a split of a dataset is: images that can be put in order and loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError

# So many labels are read once to choose by class; of more images, the choice is random.
MOST_LABELS_READ = 200_000


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
        return _Chosen(self, np.arange(count), count)

    def choose(self, count: int, seed: int) -> Source:
        """So many images, chosen by the seed; each class has the part that it has here.

        The choice is the same each time. Of more than 200,000 images whose labels are in
        the records it is random, without regard to the class.

        Args:
            count: how many.
            seed: decides which.

        Raises:
            ArgumentError: there are not so many.

        Example:
            >>> from larqlite_zoo import datasets
            >>> all_images = datasets.load("fashion_mnist_subset").train
            >>> some = all_images.choose(100, seed=1)
            >>> shares = 100 * np.bincount(all_images.all_labels()) / all_images.size
            >>> bool(np.all(abs(np.bincount(some.all_labels()) - shares) < 1))
            True
        """
        require_count(count, self.size)
        if self.size > MOST_LABELS_READ:
            key = tf.constant([seed, -1], tf.int64)
            return _Chosen(self, np.arange(count), count, key)
        return _Chosen(self, stratified(self.all_labels(), count, seed), count)

    def all_labels(self) -> np.ndarray:
        """int64 `(size,)`: the label of every image, in the order of the files."""
        labels = self.order(None).map(
            lambda item: self.load(item)[1], num_parallel_calls=tf.data.AUTOTUNE
        )
        return np.concatenate(
            [np.zeros(0, np.int64), *labels.batch(1024).as_numpy_iterator()]
        )

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


class _Chosen(IndexedSource):
    """Some items of another source, kept in memory: positions, file names or bytes.

    Args:
        source: the other.
        positions: sorted, of the items in the order of `key`.
        count: how many these are.
        key: of the order; None for that of the files.
    """

    def __init__(self, source: Source, positions: np.ndarray, count: int, key=None):
        require_count(count, source.size)
        self.size = count
        self._source = source
        taken = np.zeros(int(positions[-1]) + 1, bool)
        taken[positions] = True
        with tf.init_scope(), tf.device("CPU"):
            wanted = tf.data.Dataset.from_tensor_slices(taken)
            items = tf.data.Dataset.zip((source.order(key), wanted))
            items = items.filter(lambda item, is_wanted: is_wanted)
            items = items.map(lambda item, is_wanted: item)
            self._items = items.batch(count).take(1).get_single_element()

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

    def all_labels(self):
        return self.labels

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
        variant: what sets its images apart from those that the name stands for, such as
            "jpeg" for a copy; it is part of what tables call the dataset.
    """

    name: str
    train: Source
    validation: Source
    class_names: Sequence[str]
    image_shape: tuple[int, int, int] | None
    preprocessing: str
    variant: str = ""

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return len(self.class_names)


_KEY = 0x5EED  # beside the seed, so that the choice is not the order of an epoch


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The positions of a choice whose classes are as in all images.

    Each class gets `count * n / total` places, rounded by the largest remainders; which
    of its images take them, the seed decides.

    Args:
        labels: integers `(total,)`.
        count: how many to choose.
        seed: decides which.

    Returns:
        int64 `(count,)`, sorted.

    Example:
        >>> from larqlite_zoo.datasets._source import stratified
        >>> labels = np.repeat([0, 1], [60, 20])
        >>> np.bincount(labels[stratified(labels, 8, seed=1)]).tolist()
        [6, 2]
    """
    random = np.random.default_rng([_KEY, seed])
    classes, sizes = np.unique(labels, return_counts=True)
    exact = count * sizes / len(labels)
    places = np.floor(exact).astype(np.int64)
    # Of equal remainders, which class is rounded up is a matter of chance.
    order = np.lexsort((random.random(len(classes)), places - exact))
    places[order[: count - places.sum()]] += 1
    chosen = [
        random.permutation(np.flatnonzero(labels == each))[:number]
        for each, number in zip(classes, places, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def require_count(count: int, size: int) -> None:
    """Refuses a number of images that a split does not have."""
    if not 1 <= count <= size:
        raise ArgumentError(
            f"{count:,} images of a split that has {size:,}.\n"
            f"  Fix: a number from 1 to {size:,}."
        )
