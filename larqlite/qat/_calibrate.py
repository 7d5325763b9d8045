"""`calibrate`: the ranges of a quantization-aware model, from data instead of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.qat._annotate import require_model
from larqlite.qat.quantizers._calibration import calibrating

__all__ = ["calibrate"]


def calibrate(
    model: tf_keras.Model, data: Any, batch_size: int = 32, steps: int | None = None
) -> tf_keras.Model:
    """Sets the ranges of a quantization-aware model from data; weights stay as they are.

    Each range becomes the mean of the batches' ranges (`MovingAverageQuantizer`), the
    range over all batches (`AllValuesQuantizer`), or that of the weight itself
    (`LastValueQuantizer`). Layers behind see what those before them quantize.

    Args:
        model: a model made by `quantize_model` or `quantize_apply`; changed in place.
        data: an array or list of arrays of inputs; or a `tf.data.Dataset`, generator or
            list of batches, each of inputs or `(inputs, labels)`.
        batch_size: for arrays.
        steps: stop after this many batches; all by default.

    Returns:
        The model.

    Raises:
        ArgumentError: no data, or values that are not finite.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.ReLU(input_shape=(2,))])
        >>> quantized = lq.qat.quantize_model(model, calibrate=np.array([[0.0, 3.0]], "f"))
        >>> quantized.predict(np.array([[1.0, 9.0]]), verbose=0).round(2).tolist()
        [[1.0, 3.0]]

    References:
        https://arxiv.org/abs/1806.08342, section 3.
    """
    where = "lq.qat.calibrate"
    require_model(model, where)
    count = tf.Variable(0, trainable=False, dtype=tf.int32)

    @tf.function(reduce_retracing=True)
    def observe(inputs):
        with calibrating(count):
            outputs = model(inputs, training=False)
        return tf.reduce_all(
            [
                tf.reduce_all(tf.math.is_finite(output))
                for output in tf.nest.flatten(outputs)
                if output.dtype.is_floating
            ]
        )

    for number, inputs in enumerate(_batches(model, data, batch_size)):
        if number == steps:
            break
        if not observe(inputs):
            raise ArgumentError(
                f'{where}: batch {number} makes outputs of "{model.name}" that are not '
                "finite.\n  Fix: look for NaN and infinities in the data and weights."
            )
        count.assign_add(1)
    if count == 0:
        raise ArgumentError(
            f"{where}: the data has no batch.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )
    return model


def _batches(model: tf_keras.Model, data: Any, batch_size: int):
    """Batches of inputs, of the dtypes that the model takes."""
    arrays = isinstance(data, np.ndarray) or tf.is_tensor(data)
    arrays = arrays or (
        isinstance(data, (list, tuple))
        and len(model.inputs) == len(data)
        and all(isinstance(a, np.ndarray) for a in data)
    )
    if arrays or isinstance(data, dict):
        data = tf.data.Dataset.from_tensor_slices(
            tuple(data) if isinstance(data, list) else data
        ).batch(batch_size)
        yield from (_cast(model, batch) for batch in data)
        return
    for batch in data:
        is_pair = isinstance(batch, tuple) and len(batch) in (2, 3)
        yield _cast(model, batch[0] if is_pair else batch)


def _cast(model: tf_keras.Model, batch: Any) -> Any:
    flat = tf.nest.flatten(batch)
    cast = [
        tf.cast(value, tensor.dtype)
        for value, tensor in zip(flat, model.inputs, strict=True)
    ]
    return tf.nest.pack_sequence_as(batch, cast)
