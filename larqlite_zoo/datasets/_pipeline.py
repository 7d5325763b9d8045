"""Batches for training and validation, as functions of the seed and the step.

The stream of training batches depends on nothing but the seed: which images batch `n`
holds, in which order, and how each is augmented. So a run that goes on at step `n` sees
what it would have seen, and each of several workers reads only its own share.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite_zoo.datasets._source import Source

Preprocessing = Callable

# Keys of two epochs of one seed differ by this much, so that they never meet.
_EPOCH_STRIDE = 1_000_003


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Full batches in one epoch; which images are left over differs from one to the next.

    Raises:
        ArgumentError: a batch larger than the split.
    """
    if batch_size > source.size:
        raise ArgumentError(
            f"a batch of {batch_size} images, but the split has only {source.size}.\n"
            f"  Fix: a batch size of at most {source.size}."
        )
    return source.size // batch_size


def training_batches(
    source: Source,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    replica_batch_size: int | None = None,
) -> tf.data.Dataset:
    """An endless stream of `(images, labels)`, epoch after epoch, each in its own order.

    Args:
        source: the split.
        preprocessing: `(image, key, training)` to a float32 image.
        batch_size: images of one step, over all workers together.
        seed: decides order and augmentation.
        first_step: where the stream begins, counted from the first step of the run.
        shard: `(i, n)` for worker `i` of `n`: every n-th image of each batch, so that all
            workers together see the batches of a single one.
        replica_batch_size: images of one element, where a worker has several replicas;
            by default all images of the worker.

    Returns:
        Dataset of float32 `(images, height, width, channels)` and int64 `(images,)`.
    """
    worker, workers = shard
    if batch_size % workers:
        raise ArgumentError(
            f"a batch of {batch_size} images cannot be dealt out to {workers} workers.\n"
            f"  Fix: a multiple of {workers}."
        )
    steps = steps_per_epoch(source, batch_size)
    first_epoch, skipped = divmod(first_step, steps)

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.constant(seed, tf.int64), number])
        items = source.order(key).take(steps * batch_size)
        skip = tf.where(number == first_epoch, skipped * batch_size, 0)
        return (
            tf.data.Dataset.zip((tf.data.Dataset.range(steps * batch_size), items))
            .skip(tf.cast(skip, tf.int64))
            .shard(workers, worker)
            .map(lambda position, item: (number, position, item))
        )

    def load(number, position, item):
        image, label = source.load(item)
        key = tf.stack([seed + number * _EPOCH_STRIDE, position])
        return preprocessing(image, key, training=True), label

    return (
        tf.data.Dataset.range(first_epoch, tf.int64.max)
        .flat_map(epoch)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(replica_batch_size or batch_size // workers, drop_remainder=True)
        .prefetch(2)
    )


def validation_batches(
    source: Source, preprocessing: Preprocessing, *, batch_size: int
) -> tf.data.Dataset:
    """All images of a split once, in file order; the last batch may be smaller."""

    def load(item):
        image, label = source.load(item)
        key = tf.zeros([2], tf.int64)
        return preprocessing(image, key, training=False), label

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return (
        source.order(None)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(2)
        .with_options(options)
    )
