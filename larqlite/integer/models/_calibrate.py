"""`calibrate`: the ranges of a quantized model's outputs, from samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._progress import bar
from larqlite.errors import ArgumentError, QuantizedTypeError, near_matches
from larqlite.graph import in_order, require_model
from larqlite.integer.layers import OutputObserver
from larqlite.integer.models import _calibrated_inputs, _equalize, _samples
from larqlite.integer.models._model_graph import output_quantizers_of
from larqlite.integer.models.transforms.internal import prepared

__all__ = ["calibrate", "calibration_required"]


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
) -> None:
    r"""Sets the ranges of a quantized model's outputs to those of the float model.

    For each output quantizer, \(r = \max |x|\) over the first batch, then a moving mean
    with momentum 0.9 over the batches. Where a layer feeds exactly one convolution or
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

    Raises:
        ArgumentError: (a `ValueError`) samples of a wrong shape, with NaN or infinities,
            or none; `epochs` or `num_samples` below 1; models that do not belong
            together. Nothing is changed then.

    References:
        Equalization across layers: Nagel et al., https://arxiv.org/abs/1906.04721
    """
    calibrated(model, qmodel, samples, num_samples, batch_size, epochs)


def calibrated(
    model: tf_keras.Model,
    qmodel: tf_keras.Model,
    samples: Any = None,
    num_samples: int = 1024,
    batch_size: int | None = None,
    epochs: int = 1,
    beside: Mapping[str, str] | None = None,
) -> Callable[[tf_keras.Model], None]:
    """As `calibrate`, and the ranges of layers without an output quantizer come along.

    Args:
        model, qmodel, samples, num_samples, batch_size, epochs: see `calibrate`.
        beside: names of such layers, with the axis of the quantizer that they may get.

    Returns:
        A function that sets what was found in another quantized form of the model.
    """
    where = _samples.FUNCTION
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
    ranges = _observed(
        model, axes, qmodel, samples, num_samples, batch_size, epochs, seen
    )

    def set_in(other: tf_keras.Model) -> None:
        own = {name: ranges[name] for name in output_quantizers_of(other)}
        _equalize.set_ranges(other, own)
        _calibrated_inputs.keep(other, seen)

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


def _observed(
    model, axes, qmodel, samples, num_samples, batch_size, epochs, inputs
) -> dict[str, np.ndarray]:
    """The ranges of the float model by name of the layer, for those with an axis."""
    model = _with_the_layers_of(model, qmodel)
    observers, outputs = {}, []
    for name, axis in axes.items():
        observer = OutputObserver(axis=axis, name=f"{name}_observer")
        output = tf.nest.flatten(model.get_layer(name).output)[0]
        outputs.append(observer(output))
        observers[name] = observer
    # The model's own outputs come along: they advance the state of stateful layers.
    probe = tf_keras.Model(model.input, [*outputs, *model.outputs])

    @tf.function(reduce_retracing=True)
    def observe(inputs):
        probe(inputs, training=False)

    with bar("calibrate", num_samples * epochs) as shown:
        for epoch in range(epochs):
            seen = 0
            for batch, is_new in _samples.batches(
                model, samples, num_samples, batch_size
            ):
                if is_new:
                    probe.reset_states()
                observe(batch)
                if not epoch:
                    _add(model, batch, inputs)
                count = len(tf.nest.flatten(batch)[0])
                shown.advance(count)
                seen += count
            shown.expect(seen * epochs)
    return {name: observer.range_max.numpy() for name, observer in observers.items()}


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
