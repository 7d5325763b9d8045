"""`calibrate`: the ranges of a quantization-aware model, from data instead of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.layers import QuantLayer
from larqlite.qat._annotate import require_model
from larqlite.qat._batches import batches_of
from larqlite.qat._layer import QuantizeLayer
from larqlite.qat._wrapper import QuantizeWrapperV2
from larqlite.qat.quantizers._calibration import calibrating

__all__ = ["calibrate"]

_QUANTIZED = (QuantizeLayer, QuantizeWrapperV2, QuantLayer)


def calibrate(
    model: tf_keras.Model, data: Any, batch_size: int = 32, steps: int | None = None
) -> tf_keras.Model:
    """Sets the ranges of a quantization-aware model from data; weights stay as they are.

    Each range becomes the mean of the batches' ranges (`MovingAverageQuantizer`), the
    range over all batches (`AllValuesQuantizer`), or that of the weight itself
    (`LastValueQuantizer`). Layers behind see what those before them quantize.

    Args:
        model: a model made by `quantize_model` or `quantize_apply`; changed in place.
        data: an array, or list or dictionary of arrays, of inputs; or a
            `tf.data.Dataset`, generator or list of batches, each of inputs or
            `(inputs, labels)`. Several inputs are a list or dictionary, never a tuple.
        batch_size: for arrays.
        steps: stop after this many batches; all by default.

    Returns:
        The model.

    Raises:
        ArgumentError: no data, or not of the model's shapes, or values that are not
            finite, or a model with nothing to calibrate. The ranges are as before then.

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
    if not any(isinstance(part, _QUANTIZED) for part in model.submodules):
        raise ArgumentError(
            f'{where}: no layer of "{model.name}" is quantization-aware, so there are no '
            "ranges to set.\n  Fix: make it so first, with lq.qat.quantize_model(model)."
        )
    batches = batches_of(model, data, batch_size, steps, where)
    kept = [(v, v.numpy()) for v in model.variables if not v.trainable]
    try:
        _observe_all(model, batches, where)
    except BaseException:  # Ctrl-C leaves no half-set ranges either
        for variable, value in kept:
            variable.assign(value)
        raise
    return model


def _observe_all(model: tf_keras.Model, batches: Iterable, where: str) -> None:
    count = tf.Variable(0, trainable=False, dtype=tf.int32)

    @tf.function(reduce_retracing=True)
    def observe(inputs):
        with calibrating(count):
            return _finite(inputs), _finite(model(inputs, training=False))

    for inputs in batches:
        for part, finite in zip(("inputs", "outputs"), observe(inputs), strict=True):
            if not finite:
                raise ArgumentError(
                    f'{where}: batch {int(count)} has {part} of "{model.name}" that are '
                    "not finite.\n"
                    "  Fix: look for NaN and infinities in the data and the weights."
                )
        count.assign_add(1)
    if count == 0:
        raise ArgumentError(
            f"{where}: the data has no batch.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )


def _finite(tensors: Any) -> tf.Tensor:
    return tf.reduce_all(
        [
            tf.reduce_all(tf.math.is_finite(tensor))
            for tensor in tf.nest.flatten(tensors)
            if tensor.dtype.is_floating
        ]
    )
