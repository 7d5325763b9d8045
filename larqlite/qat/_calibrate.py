"""`calibrate`: the ranges of a quantization-aware model, from data instead of training."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._copies import is_table
from larqlite._io import batches_of
from larqlite._progress import bar
from larqlite.errors import ArgumentError, near_matches
from larqlite.graph import require_model
from larqlite.layers import QuantLayer
from larqlite.primitives import batch_range, mse_range, range_of_histogram
from larqlite.qat.quantizers import LastValueQuantizer
from larqlite.qat.quantizers.internal import (
    METHODS,
    OF_HISTOGRAMS,
    calibrating,
    unrounded,
)
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2

__all__ = ["calibrate"]

log = logging.getLogger("larqlite.qat")

_QUANTIZED = (QuantizeLayer, QuantizeWrapperV2, QuantLayer)
# From so many bits on, clipping costs more than the finer steps bring.
_ENOUGH_BITS = 8
# Samples whose outputs "auto" compares.
_COMPARED = 256


def calibrate(
    model: tf_keras.Model,
    data: Any,
    batch_size: int = 32,
    steps: int | None = None,
    calibration: str = "auto",
    percentile: float = 99.99,
) -> tf_keras.Model:
    r"""Sets the ranges of a quantization-aware model from data; weights stay as they are.

    With $R(x_k) = [\min(x_k, 0), \max(x_k, 0)]$ of a tensor in sample $k$ of $n$, its
    range becomes, by `calibration`:

    $$ [\min_k \min R(x_k), \max_k \max R(x_k)] \qquad \text{"minmax"} $$
    $$ \frac{1}{n} \sum_k R(x_k) \qquad \text{"moving\_average"} $$
    $$ \arg\min_{[a, b]} \sum (q_{[a, b]}(x) - x)^2 \qquad \text{"mse"} $$

    The extremes clip nothing. The mean clips what few samples reach, which at few bits
    may be worth it; it is for tensors of `MovingAverageQuantizer`s, and the others, as
    the inputs of the model, keep their extremes. The next are for all tensors, from
    histograms: "mse" has the least squared error of rounding, for the ranges of
    weights too; "percentile" holds so many percent of the values; "entropy" clips at
    the magnitude where the distribution of what is left diverges least. With these
    two, as with the first ones, weights bring their own range along. Tensors of one
    bit always have the mean magnitude.

    "auto" is "minmax" for models whose tensors all have 8 bits or more. With fewer, it
    sets those below 8 bits by "mse", compares the model's outputs for up to 256 samples
    with those of the float model, and takes the extremes if they come nearer.

    What is observed are activations before they are rounded, behind layers with rounded
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
        calibration: "auto", "minmax", "moving_average", "mse", "percentile" or
            "entropy".
        percentile: for "percentile", above 50 and up to 100.

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
        https://arxiv.org/abs/1806.08342, section 3 (minmax, moving average);
        https://arxiv.org/abs/2106.08295, section 3.1 (mse);
        Migacz, 8-bit Inference with TensorRT, GTC 2017 (entropy).
    """
    where = "lq.qat.calibrate"
    require_method(calibration, where, percentile)
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
        _set_ranges(model, batches, calibration, percentile, where)
    except BaseException:  # Ctrl-C leaves no half-set ranges either
        for variable, value in kept:
            variable.assign(value)
        raise
    return model


def require_method(calibration: Any, where: str, percentile: float = 99.99) -> None:
    """Raises unless it is a name of how ranges follow from data."""
    if not isinstance(calibration, str) or calibration not in METHODS:
        raise ArgumentError(
            f"{where}: unknown calibration {calibration!r}."
            f"{near_matches(str(calibration), METHODS)}\n"
            '  Fix: "minmax" (the extremes), "moving_average" (the mean of the samples\' '
            'ranges), "mse" (the least squared error), "percentile", "entropy", or '
            '"auto".'
        )
    if isinstance(percentile, bool) or not 50 < percentile <= 100:
        raise ArgumentError(
            f"{where}: percentile is {percentile!r}.\n"
            "  Fix: how many percent of the values a range holds, above 50 and up to "
            "100, as percentile=99.9."
        )


@dataclasses.dataclass
class _Pass:
    """One way to find ranges, while the data go through the model.

    Attributes:
        method: of `METHODS`, but not "auto".
        of_weights: `(quantizer, variables, ends)` of the weights that it has ranges for.
        observed: histograms of tensors, by the `id` of the first variable of each.
    """

    method: str
    of_weights: list = dataclasses.field(default_factory=list)
    observed: dict = dataclasses.field(default_factory=dict)

    def scope(self, seen, samples):
        """In which a batch of the data is observed."""
        known = {id(v["min_var"]): ends for v, ends in self.of_weights}
        return calibrating(seen, samples, self.method, self.observed, known)

    def store(self, percentile: float, least_bits: int = 17) -> None:
        """Sets what was found; extremes for tensors of so many bits or more."""
        found = list(self.of_weights)
        for each in self.observed.values():
            q, weights, histogram = each.quantizer, each.weights, each.histogram
            form = (q.symmetric, q.narrow_range, q.num_bits)
            ends = batch_range(tf.stack([histogram.low, histogram.high]), *form, True)
            if q.num_bits < least_bits:
                ends = range_of_histogram(
                    histogram,
                    [np.asarray(e, np.float64) for e in ends],
                    self.method,
                    q.num_bits,
                    *form[:2],
                    percentile,
                )
            found.append((weights, ends))
        for weights, ends in found:
            for name, end in zip(("min_var", "max_var"), ends, strict=True):
                weights[name].assign(tf.reshape(end, weights[name].shape))


def _set_ranges(
    model, batches, calibration: str, percentile: float, where: str
) -> None:
    is_auto = calibration == "auto"
    passes = [_Pass("minmax" if is_auto else calibration)]
    if is_auto and _has_few_bits(model):
        passes.append(_Pass("mse"))
    for each in passes:
        if each.method == "mse":
            each.of_weights = _ranges_of_weights(model, _ENOUGH_BITS if is_auto else 17)
    compared = _observe_all(model, batches, passes, where)
    if len(passes) == 1:
        if calibration in OF_HISTOGRAMS:
            passes[0].store(percentile)
        return
    error = _error_of(model, compared)
    extremes = [(v, v.numpy()) for v in _range_variables(model)]
    passes[1].store(percentile, _ENOUGH_BITS)
    other = _error_of(model, compared)
    log.info(
        '%s: "%s": mean squared error of the outputs %.3g with the extremes, %.3g with '
        "ranges of least squares.",
        where,
        model.name,
        error,
        other,
    )
    if not other <= error:
        for variable, value in extremes:
            variable.assign(value)


def _range_variables(model) -> list:
    return [v for v in model.variables if not v.trainable and not is_table(v)]


def _error_of(model, batches: list) -> float:
    """Mean squared difference of the outputs from those without rounding."""

    @tf.function(reduce_retracing=True)
    def error(inputs):
        with unrounded():
            wanted = tf.nest.flatten(model(inputs, training=False))
        given = tf.nest.flatten(model(inputs, training=False))
        return [
            tf.reduce_sum(tf.math.squared_difference(*map(_float, pair)))
            for pair in zip(wanted, given, strict=True)
        ]

    return float(sum(sum(error(inputs)) for inputs in batches))


def _float(tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float32)


def _quantizers_of(part) -> list:
    if isinstance(part, QuantizeLayer):
        return [part.quantizer]
    if isinstance(part, QuantizeWrapperV2):
        slots = [slot.quantizer for slot in part.weight_slots]
        return slots + [quantizer for _, quantizer, _ in part.value_quantizers]
    return []


def _has_few_bits(model) -> bool:
    """Whether a range has fewer than 8 bits; with one there is nothing to choose."""
    return any(
        1 < getattr(quantizer, "num_bits", 1) < _ENOUGH_BITS
        for part in model.submodules
        for quantizer in _quantizers_of(part)
    )


def _ranges_of_weights(model, least_bits: int) -> list:
    """`(variables, ends)` of each weight with a range of its values, by least squares."""
    found = []
    for part in model.submodules:
        if not isinstance(part, QuantizeWrapperV2):
            continue
        for weight, quantizer, variables, _ in part.weight_slots:
            # What keeps zeros or clusters of a weight has a range of its own.
            if type(quantizer) is not LastValueQuantizer:
                continue
            if 1 < quantizer.num_bits < least_bits:
                values = tf.convert_to_tensor(weight.latent_variable).numpy()
                found.append((variables, _of_weight(values, quantizer)))
    return found


def _of_weight(values: np.ndarray, quantizer) -> tuple:
    form = (quantizer.symmetric, quantizer.narrow_range)
    columns = values.reshape(-1, values.shape[-1] if quantizer.per_axis else 1)
    lows, highs = batch_range(tf.constant(columns), *form, quantizer.num_bits, True)
    ones = np.ones(len(columns))
    found = [
        mse_range(
            column.astype(np.float64),
            ones,
            float(low),
            float(high),
            quantizer.num_bits,
            *form,
        )
        for column, low, high in zip(
            columns.T, lows.numpy(), highs.numpy(), strict=True
        )
    ]
    lows, highs = np.array(found, np.float32).T
    return (lows, highs) if quantizer.per_axis else (lows[0], highs[0])


def _observe_all(model, batches: Iterable, passes: list[_Pass], where: str) -> list:
    """Lets the data go through the model; returns those to compare outputs with."""
    seen = tf.Variable(0, trainable=False, dtype=tf.int64)

    @tf.function(reduce_retracing=True)
    def observe(inputs):
        samples = tf.shape(tf.nest.flatten(inputs)[0], tf.int64)[0]
        for each in passes:
            with each.scope(seen, samples):
                finite = _finite(inputs), _finite(model(inputs, training=False))
        seen.assign_add(samples)
        return finite

    number, compared = 0, []
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
            if len(passes) > 1 and seen - count < _COMPARED:
                compared.append(inputs)
            shown.advance(count)
    if not number:
        raise ArgumentError(
            f"{where}: the data has no batch.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )
    return compared


def _finite(tensors: Any) -> tf.Tensor:
    return tf.reduce_all(
        [
            tf.reduce_all(tf.math.is_finite(tensor))
            for tensor in tf.nest.flatten(tensors)
            if tensor.dtype.is_floating
        ]
    )
