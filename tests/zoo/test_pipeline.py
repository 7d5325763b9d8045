"""The stream of training batches: a function of seed and step, dealt out to workers once."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite_zoo import datasets
from larqlite_zoo.datasets import _pipeline as pipeline

SIZE, BATCH = 50, 8  # six batches in an epoch, two images left over
STEPS = SIZE // BATCH


@pytest.fixture(scope="module")
def numbered():
    """A source whose image `i` and label are the number `i`."""
    numbers = np.arange(SIZE, dtype=np.uint8)
    return datasets.ArraySource(np.tile(numbers[:, None, None], (1, 4, 4)), numbers)


def with_key(image, key, training):
    """Shows the key of an image in its first two pixels."""
    flat = tf.reshape(tf.cast(image, tf.float32), [-1])
    return tf.concat([tf.cast(key % 1_000_000, tf.float32), flat[2:]], 0)


def batches(source, count, preprocessing=with_key, **arguments):
    """Images and labels of the first batches, as arrays."""
    arguments = {"batch_size": BATCH, "seed": 1} | arguments
    stream = pipeline.training_batches(source, preprocessing, **arguments)
    drawn = list(stream.take(count).as_numpy_iterator())
    return np.stack([x for x, _ in drawn]), np.stack([y for _, y in drawn])


def test_an_epoch_reads_every_image_at_most_once_in_an_order_of_its_own(numbered):
    _, labels = batches(numbered, 3 * STEPS)
    epochs = labels.reshape(3, STEPS * BATCH)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == STEPS * BATCH
    assert not np.array_equal(epochs[0], epochs[1])
    left_over = [set(range(SIZE)) - set(epoch.tolist()) for epoch in epochs]
    assert len({frozenset(left) for left in left_over}) > 1  # others each time
    _, other = batches(numbered, STEPS, seed=2)
    assert not np.array_equal(other, labels[:STEPS])


def test_the_images_are_those_of_their_labels(numbered):
    images, labels = batches(numbered, STEPS)
    np.testing.assert_array_equal(images[..., 5], labels)


@pytest.mark.parametrize("first", [1, STEPS - 1, STEPS, STEPS + 2, 2 * STEPS + 3])
def test_a_stream_that_begins_later_is_the_rest_of_the_whole_one(numbered, first):
    images, labels = batches(numbered, 3 * STEPS)
    later_images, later_labels = batches(numbered, 3 * STEPS - first, first_step=first)
    np.testing.assert_array_equal(later_labels, labels[first:])
    np.testing.assert_array_equal(later_images, images[first:])  # keys included


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("first", [0, 4])
def test_workers_together_read_each_global_batch_exactly_once(numbered, workers, first):
    count = 2 * STEPS - first
    images, labels = batches(numbered, count, first_step=first)
    shares = [
        batches(numbered, count, first_step=first, shard=(worker, workers))
        for worker in range(workers)
    ]
    for step in range(count):
        dealt = np.concatenate([share[1][step] for share in shares])
        assert len(dealt) == BATCH
        assert sorted(dealt) == sorted(labels[step])
        # Augmented as they would have been by one worker: the key goes with the image.
        keys = {
            int(y): x[:2].tolist()
            for x, y in zip(images[step], labels[step], strict=True)
        }
        for share in shares:
            for image, label in zip(share[0][step], share[1][step], strict=True):
                assert image[:2].tolist() == keys[int(label)]


def test_replicas_of_one_worker_share_its_batch(numbered):
    _, labels = batches(numbered, STEPS)
    _, halves = batches(numbered, 2 * STEPS, replica_batch_size=BATCH // 2)
    np.testing.assert_array_equal(halves.reshape(labels.shape), labels)


def test_no_two_images_of_three_epochs_have_the_same_key(numbered):
    images, _ = batches(numbered, 3 * STEPS)
    keys = images.reshape(-1, images.shape[-1])[:, :2]
    assert len(np.unique(keys, axis=0)) == 3 * STEPS * BATCH


def test_augmentation_is_the_same_again_and_other_in_the_next_epoch(numbered):
    generator = np.random.default_rng(0)
    photos = datasets.ArraySource(
        generator.integers(0, 255, (SIZE, 28, 28), np.uint8), np.arange(SIZE)
    )
    prepare = datasets.preprocessing("small", shift=2)
    images, labels = batches(photos, 2 * STEPS, prepare)
    again, _ = batches(photos, 2 * STEPS, prepare)
    np.testing.assert_array_equal(images, again)
    flat = images.reshape(2, STEPS * BATCH, -1)
    orders = labels.reshape(2, STEPS * BATCH)
    both = set(orders[0]) & set(orders[1])
    equal = sum(
        np.array_equal(
            flat[0][list(orders[0]).index(i)], flat[1][list(orders[1]).index(i)]
        )
        for i in both
    )
    assert equal < len(both) / 4  # of 50 ways to flip and shift


def test_validation_reads_all_images_once_in_order(numbered):
    stream = pipeline.validation_batches(numbered, with_key, batch_size=BATCH)
    sizes = []
    labels = np.concatenate(
        [sizes.append(len(y)) or y for _, y in stream.as_numpy_iterator()]
    )
    np.testing.assert_array_equal(labels, np.arange(SIZE))
    assert sizes == [BATCH] * STEPS + [SIZE % BATCH]


def test_batches_that_cannot_be_are_refused(numbered):
    with pytest.raises(ArgumentError, match=r"51 images.*only 50.*\n.*at most 50"):
        pipeline.steps_per_epoch(numbered, 51)
    with pytest.raises(
        ArgumentError, match=r"8 images cannot be dealt out to 3 workers"
    ):
        batches(numbered, 1, shard=(0, 3))
