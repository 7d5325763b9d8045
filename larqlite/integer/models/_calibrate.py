"""`calibrate`: the ranges of a quantized model's outputs, from samples."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._progress import bar
from larqlite.errors import ArgumentError, QuantizedTypeError, near_matches
from larqlite.graph import in_order, require_model
from larqlite.integer.layers import OutputObserver
from larqlite.integer.models import _calibrated_inputs, _equalize, _samples
from larqlite.integer.models._model_graph import output_quantizers_of
from larqlite.integer.models._output_ranges import (
    ENOUGH_BITS,
    METHODS,
    Observation,
    clip_kernels,
    error_of,
    has_few_bits,
)
from larqlite.integer.models.transforms.internal import prepared
from larqlite.primitives import GrowingHistogram

__all__ = ["calibrate", "calibration_required"]

log = logging.getLogger("larqlite.integer")

# Samples whose outputs "auto" compares.
_COMPARED = 256


def calibration_required(model: tf_keras.Model) -> bool:
    """Whether an output quantizer of the model has no range yet.

    A range that happens to be exactly 1 is a range, once it was set by `calibrate` or
    read from a file.

    Args:
        model: a quantized model.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> lq.integer.models.calibration_required(lq.integer.models.quantize(model))
        False
    """
    return any(not q.is_calibrated for q in output_quantizers_of(model).values())


def calibrate(
    model: tf_keras.Model,
    qmodel: tf_keras.Model,
    samples: Any = None,
    num_samples: int = 1024,
    batch_size: int | None = None,
    epochs: int = 1,
    *,
    calibration: str = "auto",
    percentile: float = 99.99,
) -> None:
    r"""Sets the ranges of a quantized model's outputs to those of the float model.

    For each output quantizer, by `calibration`:

    - "moving_average": \(r = \max |x|\) over the first batch, then a moving mean with
      momentum 0.9 over the batches;
    - "minmax": \(r = \max |x|\) over all samples;
    - "mse": the range with the least squared error of rounding, by a histogram; the
      kernels are clipped where theirs has less that way;
    - "percentile": a range that holds so many percent of the values;
    - "entropy": that at which the distribution of what is left diverges least;
    - "auto": the moving mean for 8 bits and more. For fewer it tries "mse", compares the
      outputs of both models for up to 256 samples, and takes what comes nearer.

    Where a layer feeds exactly one convolution or
    dense layer, the range is then moved to just below a power of two,
    \(r' = (1 - 2^{-bits}) \cdot 2^{\lfloor \log_2 r \rfloor}\): the output is multiplied
    by \(r' / r\) and the next kernel divided by it, so that all codes are used.

    Does nothing when no calibration is required.

    The samples are the numbers that the integer model will be fed: whole ones from -256
    to 255 (those of int16 for an input of that dtype). It warns of others, which the
    integer model cuts, with the scale that brings them there, and `check_quantization`
    names them ever after.

    Args:
        model: the float model.
        qmodel: what `quantize` made of it; changed in place.
        samples: array (or list of arrays), `tf.data.Dataset` or generator of batches; of
            inputs, or (inputs, labels). None: random ones. A model that keeps a state
            takes an array `(batch_size * steps, ...)`, the steps of each sequence one
            after the other; its state is reset before each sequence.
        num_samples: how many samples are used, or made.
        batch_size: for arrays; 32 by default.
        epochs: how often the samples are gone through; a generator allows for one.
        calibration: how ranges follow, as above.
        percentile: for "percentile", above 50 and up to 100.

    Raises:
        ArgumentError: (a `ValueError`) samples of a wrong shape, with NaN or infinities,
            or none; `epochs` or `num_samples` below 1; an unknown `calibration`; models
            that do not belong together. Nothing is changed then.

    References:
        Equalization across layers: Nagel et al., https://arxiv.org/abs/1906.04721;
        "mse": https://arxiv.org/abs/2106.08295, section 3.1.
    """
    how = How(calibration, percentile)
    calibrated(model, qmodel, samples, num_samples, batch_size, epochs, how=how)


@dataclasses.dataclass(frozen=True)
class How:
    """How ranges follow from samples; see `calibrate`."""

    calibration: str = "auto"
    percentile: float = 99.99

    def __post_init__(self):
        name = self.calibration
        if not isinstance(name, str) or name not in METHODS:
            raise ArgumentError(
                f"{_samples.FUNCTION}: unknown calibration {name!r}."
                f"{near_matches(str(name), METHODS)}\n"
                f"  Fix: one of {', '.join(METHODS)}."
            )
        if isinstance(self.percentile, bool) or not 50 < self.percentile <= 100:
            raise ArgumentError(
                f"{_samples.FUNCTION}: percentile is {self.percentile!r}.\n"
                "  Fix: how many percent of the values a range holds, above 50 and up "
                "to 100, as percentile=99.9."
            )


def calibrated(
    model: tf_keras.Model,
    qmodel: tf_keras.Model,
    samples: Any = None,
    num_samples: int = 1024,
    batch_size: int | None = None,
    epochs: int = 1,
    beside: Mapping[str, str] | None = None,
    how: How | None = None,
) -> Callable[[tf_keras.Model], None]:
    """As `calibrate`, and the ranges of layers without an output quantizer come along.

    Args:
        model, qmodel, samples, num_samples, batch_size, epochs: see `calibrate`.
        beside: names of such layers, with the axis of the quantizer that they may get.
        how: how ranges follow; "auto" by default.

    Returns:
        A function that sets what was found in another quantized form of the model.
    """
    where, how = _samples.FUNCTION, how or How()
    require_model(model, where, refused=QuantizedTypeError)
    require_model(qmodel, where, refused=QuantizedTypeError)
    for name, value in (("num_samples", num_samples), ("epochs", epochs)):
        if not isinstance(value, int) or value < 1:
            raise ArgumentError(
                f"{where}: {name} is {value!r}.\n  Fix: an integer from 1 on."
            )
    seen = _calibrated_inputs.watched(model, qmodel)
    if not calibration_required(qmodel):
        if samples is not None and None in _calibrated_inputs.known_ends(qmodel):
            _look_at(model, qmodel, samples, num_samples, batch_size, seen)
        return lambda other: None
    if samples is None:
        _warn_of_random_samples(qmodel)
        samples = _samples.random_samples(model, num_samples)
    axes = {name: q.axis for name, q in output_quantizers_of(qmodel).items()}
    axes |= beside or {}
    observed = _observed(
        *(model, axes, qmodel, samples, num_samples, batch_size, epochs, seen, how)
    )
    chosen = [observed.options[0]]

    def set_in(other: tf_keras.Model) -> None:
        method, least_bits = chosen[0]
        _equalize.set_ranges(
            other,
            {
                name: dataclasses.replace(
                    observed.ranges[name],
                    method=method,
                    percentile=how.percentile,
                    least_bits=least_bits,
                )
                for name in output_quantizers_of(other)
            },
        )
        if method == "mse":
            clip_kernels(other, least_bits)
        _calibrated_inputs.keep(other, seen)

    if len(observed.options) > 1:
        chosen[0] = _better(qmodel, observed, chosen, set_in)
    set_in(qmodel)
    _calibrated_inputs.warn(seen, where)
    return set_in


def _look_at(model, qmodel, samples, num_samples, batch_size, seen) -> None:
    """Takes account of the inputs of a model that has no ranges to calibrate."""
    for batch, _ in _samples.batches(model, samples, num_samples, batch_size):
        _add(model, batch, seen)
    _calibrated_inputs.keep(qmodel, seen)
    _calibrated_inputs.warn(seen, _samples.FUNCTION)


def _add(model, batch, seen) -> None:
    for one, values in zip(seen, in_order(model, batch), strict=True):
        if one is not None:
            one.add(values)


def _warn_of_random_samples(qmodel: tf_keras.Model) -> None:
    import warnings

    quantizers = output_quantizers_of(qmodel).values()
    if any(q.axis == "per-axis" for q in quantizers):
        warnings.warn(
            f'{_samples.FUNCTION}: "{qmodel.name}" is calibrated with random samples, and '
            "has a range for each channel: ranges of real samples will differ.\n"
            "  Fix: pass samples=..., some hundred real inputs.",
            stacklevel=4,
        )


@dataclasses.dataclass
class _Observed:
    """What came out of the float model.

    Attributes:
        model: in the form in which it was quantized.
        ranges: by name of the layer.
        options: `(method, bits from which on it is not used)`, of which the best is taken.
        batches: of some hundred samples, to compare outputs with.
    """

    model: tf_keras.Model
    ranges: dict[str, Observation]
    options: list[tuple[str, int]]
    batches: list


def _better(qmodel, observed: _Observed, chosen: list, set_in: Callable) -> tuple:
    """The option with which the outputs come nearer to those of the float model."""
    weights, errors = qmodel.get_weights(), []
    for option in observed.options:
        chosen[0] = option
        set_in(qmodel)
        errors.append(error_of(observed.model, qmodel, observed.batches))
        qmodel.set_weights(weights)
    log.info(
        '%s: "%s": squared error of the outputs %s.',
        _samples.FUNCTION,
        qmodel.name,
        ", ".join(
            f"{error:.3g} with {option[0]}"
            for error, option in zip(errors, observed.options, strict=True)
        ),
    )
    return observed.options[1 if errors[1] <= errors[0] else 0]


def _observed(
    model, axes, qmodel, samples, num_samples, batch_size, epochs, inputs, how: How
) -> _Observed:
    """The ranges of the float model by name of the layer, for those with an axis."""
    model = _with_the_layers_of(model, qmodel)
    options = [(how.calibration, 17)]
    if how.calibration == "auto":
        options = [("moving_average", 17)]
        quantizers = output_quantizers_of(qmodel).values()
        if has_few_bits(qmodel, quantizers) and not _samples.is_stateful(model):
            options.append(("mse", ENOUGH_BITS))
    observers, outputs, histograms = {}, [], {}
    for name, axis in axes.items():
        observer = OutputObserver(axis=axis, name=f"{name}_observer")
        output = tf.nest.flatten(model.get_layer(name).output)[0]
        outputs.append(observer(output))
        observers[name] = observer
        if options[-1][0] != "moving_average":
            per_axis = axis == "per-axis"
            histograms[name] = GrowingHistogram(output.shape[-1] if per_axis else None)
    # The model's own outputs come along: they advance the state of stateful layers.
    probe = tf_keras.Model(model.input, [*outputs, *model.outputs])

    @tf.function(reduce_retracing=True)
    def observe(inputs):
        found = probe(inputs, training=False)
        return tf.nest.flatten(found)[: len(histograms)]

    kept = []
    with bar("calibrate", num_samples * epochs) as shown:
        for epoch in range(epochs):
            seen = 0
            for batch, is_new in _samples.batches(
                model, samples, num_samples, batch_size
            ):
                if is_new:
                    probe.reset_states()
                found = observe(batch)
                if not epoch:
                    _add(model, batch, inputs)
                    for histogram, values in zip(
                        histograms.values(), found, strict=True
                    ):
                        histogram.add(values.numpy())
                    if len(options) > 1 and seen < _COMPARED:
                        kept.append(batch)
                count = len(tf.nest.flatten(batch)[0])
                shown.advance(count)
                seen += count
            shown.expect(seen * epochs)
    ranges = {
        name: Observation(observer.range_max.numpy(), histograms.get(name))
        for name, observer in observers.items()
    }
    return _Observed(model, ranges, options, kept)


def _with_the_layers_of(model, qmodel) -> tf_keras.Model:
    """The float model in the form in which it was quantized."""
    wanted = output_quantizers_of(qmodel)
    for candidate in (lambda: model, lambda: prepared(model)[0]):
        found = candidate()
        names = {layer.name for layer in found.layers}
        if set(wanted) <= names:
            return found
    missing = sorted(set(wanted) - names)
    raise ArgumentError(
        f'{_samples.FUNCTION}: "{model.name}" has no layer "{missing[0]}", which '
        f'"{qmodel.name}" has.{near_matches(missing[0], names)}\n'
        "  Fix: pass the float model that was quantized."
    )
