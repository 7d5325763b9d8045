"""`calibrate`: the ranges of a quantization-aware model, from data instead of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies import is_table
from larqlite._io import batches_of
from larqlite._progress import bar
from larqlite.errors import ArgumentError, near_matches
from larqlite.graph import require_model
from larqlite.layers import QuantLayer
from larqlite.qat.quantizers.internal import METHODS, calibrating
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2

__all__ = ["calibrate"]

_QUANTIZED = (QuantizeLayer, QuantizeWrapperV2, QuantLayer)


def calibrate(
    model: tf_keras.Model,
    data: Any,
    batch_size: int = 32,
    steps: int | None = None,
    calibration: str = "minmax",
) -> tf_keras.Model:
    r"""Sets the ranges of a quantization-aware model from data; weights stay as they are.

    With $R(x_k) = [\min(x_k, 0), \max(x_k, 0)]$ of a tensor in sample $k$ of $n$, its
    range becomes, by `calibration`:

    $$ [\min_k \min R(x_k), \max_k \max R(x_k)] \qquad \text{"minmax"} $$
    $$ \frac{1}{n} \sum_k R(x_k) \qquad \text{"moving\_average"} $$

    The extremes clip nothing. The mean clips what few samples reach, which at few bits
    may be worth it; it is for tensors of `MovingAverageQuantizer`s, and the others, as
    the inputs of the model, keep their extremes. Weights bring their range along. What
    is observed are activations before they are rounded, behind layers with rounded
    weights, so the ranges do not depend on how the data are split into batches.

    Args:
        model: a model made by `quantize_model` or `quantize_apply`; changed in place.
        data: an array, or list or dictionary of arrays, of inputs, or `(inputs,
            labels)`; or a `tf.data.Dataset`, `Sequence`, generator or list of batches,
            each of inputs or `(inputs, labels)`; or a function without arguments that
            returns one, as TFLite's `representative_dataset`. Several inputs are a list
            or dictionary, never a tuple.
        batch_size: for arrays; how many are computed at once.
        steps: stop after this many batches; all by default.
        calibration: "minmax" or "moving_average".

    Returns:
        The model.

    Raises:
        ArgumentError: no data, or not of the model's shapes, or values that are not
            finite, or a model with nothing to calibrate, or an unknown `calibration`.
            The ranges are as before then.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.ReLU(input_shape=(2,))])
        >>> quantized = lq.qat.quantize_model(model, calibrate=np.array([[0.0, 3.0]], "f"))
        >>> quantized.predict(np.array([[1.0, 9.0]]), verbose=0).round(2).tolist()
        [[1.0, 3.0]]

    References:
        https://arxiv.org/abs/1806.08342, section 3.
    """
    where = "lq.qat.calibrate"
    require_method(calibration, where)
    require_model(model, where, unbuilt=True)
    if not any(isinstance(part, _QUANTIZED) for part in model.submodules):
        raise ArgumentError(
            f'{where}: no layer of "{model.name}" is quantization-aware, so there are no '
            "ranges to set.\n  Fix: make it so first, with lq.qat.quantize_model(model)."
        )
    batches = batches_of(model, data, batch_size, steps, where)
    variables = [v for v in model.variables if not is_table(v)]
    kept = [(v, v.numpy()) for v in variables if not v.trainable]
    try:
        _observe_all(model, batches, calibration, where)
    except BaseException:  # Ctrl-C leaves no half-set ranges either
        for variable, value in kept:
            variable.assign(value)
        raise
    return model


def require_method(calibration: Any, where: str) -> None:
    """Raises unless it is a name of how ranges follow from data."""
    if not isinstance(calibration, str) or calibration not in METHODS:
        raise ArgumentError(
            f"{where}: unknown calibration {calibration!r}."
            f"{near_matches(str(calibration), METHODS)}\n"
            '  Fix: "minmax" (the extremes) or "moving_average" (the mean of the samples\' '
            "ranges)."
        )


def _observe_all(
    model: tf_keras.Model, batches: Iterable, method: str, where: str
) -> None:
    seen = tf.Variable(0, trainable=False, dtype=tf.int64)

    @tf.function(reduce_retracing=True)
    def observe(inputs):
        samples = tf.shape(tf.nest.flatten(inputs)[0], tf.int64)[0]
        with calibrating(seen, samples, method):
            finite = _finite(inputs), _finite(model(inputs, training=False))
        seen.assign_add(samples)
        return finite

    number = 0
    with bar("calibrate") as shown:
        for inputs in batches:
            count = len(tf.nest.flatten(inputs)[0])
            if not count:
                continue
            finite_parts = zip(("inputs", "outputs"), observe(inputs), strict=True)
            for part, finite in finite_parts:
                if not finite:
                    raise ArgumentError(
                        f'{where}: batch {number} has {part} of "{model.name}" that '
                        "are not finite.\n"
                        "  Fix: look for NaN and infinities in the data and the weights."
                    )
            number += 1
            shown.advance(count)
    if not number:
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
