"""Calibration samples: arrays, datasets and generators, or random ones, as batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._io import batches_of
from larqlite.errors import ArgumentError

FUNCTION = "lq.integer.calibrate"
BATCH_SIZE = 32
_IMAGE_CHANNELS = (1, 3)


def random_samples(model: tf_keras.Model, count: int) -> Any:
    """Uniform random inputs: uint8 for images of 1 or 3 channels, else int8.

    The same at each call, so that a calibration can be repeated.
    """
    rng = np.random.default_rng(0)
    made = []
    for tensor in model.inputs:
        shape = [size or 1 for size in tensor.shape[1:]]
        low, high = (0, 256) if shape and shape[-1] in _IMAGE_CHANNELS else (-128, 128)
        values = rng.integers(low, high, (count, *shape))
        made.append(values.astype(tensor.dtype.as_numpy_dtype))
    return made[0] if len(made) == 1 else made


def one_batch(model: tf_keras.Model) -> Any:
    """The smallest batch of random inputs that the model takes."""
    return random_samples(model, model.inputs[0].shape[0] or 1)


def is_stateful(model: tf_keras.Model) -> bool:
    """Whether a layer of the model keeps a state from one batch to the next."""
    layers = (
        part for part in model.submodules if isinstance(part, tf_keras.layers.Layer)
    )
    return any(
        getattr(layer, "stateful", False)
        for layer in layers
        if not isinstance(layer, (tf_keras.Model, tf_keras.metrics.Metric))
    )


def batches(
    model: tf_keras.Model,
    samples: Any,
    num_samples: int,
    batch_size: int | None,
) -> Iterator[tuple[Any, bool]]:
    """Batches of the model's inputs, until `num_samples` samples have come.

    Yields:
        `(inputs, whether a new sequence begins)`, for models that keep a state.

    Raises:
        ArgumentError: (a `ValueError`) for samples of another kind or shape, with NaN or
            infinities, or none.
    """
    size = batch_size or BATCH_SIZE
    if is_stateful(model):
        yield from _sequences(model, samples, num_samples, batch_size)
        return
    if isinstance(samples, (list, tuple, dict, np.ndarray)) or tf.is_tensor(samples):
        samples = tf.nest.map_structure(
            # What is no array is refused by name below.
            lambda x: x[:num_samples] if len(getattr(x, "shape", ())) else x,
            samples,
        )
    seen = 0
    for batch in batches_of(model, samples, size, num_samples, where=FUNCTION):
        yield _finite(batch, seen), False
        seen += len(tf.nest.flatten(batch)[0])
        if seen >= num_samples:
            break
    if seen == 0:
        raise ArgumentError(
            f"{FUNCTION}: there are no samples.\n"
            "  Fix: pass at least one batch; a generator can be read only once."
        )


def _sequences(model, samples, num_samples, batch_size):
    """An array `(batch_size * steps, ...)`: step t of all sequences is one batch."""
    if not isinstance(samples, np.ndarray) and not tf.is_tensor(samples):
        raise ArgumentError(
            f'{FUNCTION}: "{model.name}" keeps a state from one batch to the next, so its '
            f"samples must be an array; they are a {type(samples).__name__}.\n"
            "  Fix: an array of shape (batch_size * steps, ...), the steps of a sequence "
            "one after the other."
        )
    size = model.inputs[0].shape[0] or batch_size or 1
    steps, rest = divmod(len(samples), size)
    if rest or not steps:
        raise ArgumentError(
            f"{FUNCTION}: {len(samples)} samples are no whole number of steps of {size} "
            f'sequences, and "{model.name}" keeps a state.\n'
            "  Fix: pass batch_size * steps samples, and batch_size."
        )
    of_sequence = np.reshape(samples, (size, steps, *np.shape(samples)[1:]))
    for step in range(min(steps, -(-num_samples // size))):
        batch = tf.cast(of_sequence[:, step], model.inputs[0].dtype)
        (batch,) = batches_of(model, [batch], size, where=FUNCTION)
        yield _finite(batch, step * size), step == 0


def _finite(batch, seen: int):
    for tensor in tf.nest.flatten(batch):
        if tensor.dtype.is_floating and not np.isfinite(tensor.numpy()).all():
            bad = int(np.sum(~np.isfinite(tensor.numpy())))
            raise ArgumentError(
                f"{FUNCTION}: the samples from number {seen} have {bad} values that are NaN "
                "or infinite.\n  Fix: remove or replace them."
            )
    return batch
