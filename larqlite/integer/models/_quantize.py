"""`quantize`: from a float model to one that computes in integers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import tf_keras

from larqlite._progress import bar
from larqlite.errors import (
    ArgumentError,
    QuantizedTypeError,
    UnsupportedLayerError,
    UnsupportedModelError,
)
from larqlite.from_keras import as_tf_keras
from larqlite.graph import require_model
from larqlite.integer._quantization_params import QuantizationParams
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models import _calibrate, _convert, _large_sums, _samples
from larqlite.integer.models._float_model import float_model_of
from larqlite.integer.models.transforms.internal import prepared

__all__ = ["quantize"]

_WHERE = "lq.integer.quantize"


def quantize(
    model: Any,
    q_config: Mapping | None = None,
    qparams: QuantizationParams = QuantizationParams(),  # noqa: B008  read-only
    samples: Any = None,
    num_samples: int = 1024,
    batch_size: int | None = None,
    epochs: int = 1,
    *,
    on_unsupported: str = "warn",
    calibration: str = "auto",
    percentile: float = 99.99,
) -> Any:
    """A copy of a float model that computes in integers, calibrated.

    The model is sanitized (`transforms.sanitize`), its layers are replaced by integer
    ones, output quantizers are put where values must be of few bits again, and
    `calibrate` sets their ranges. A `Dequantizer` turns the last integers into floats.

    A layer that has no integer form stays float, and so does what comes after it; a
    warning names them. A softmax or sigmoid at the very end is left float silently.

    Args:
        model: a Sequential or functional Keras model, of Keras 3 too
            (`lq.models.from_keras`), or an `onnx.ModelProto`.
        q_config: configurations by name of the layer, `{name: quant_config}`, as
            `dump_config` gives them. Each replaces all defaults of its layer. For a
            model that is quantized already, the configurations of all its layers.
        qparams: bit widths for all layers that `q_config` does not name.
        samples: calibration samples, see `calibrate`; random ones if None.
        num_samples: how many of them are used, or made.
        batch_size: for arrays; 32 by default.
        epochs: how often the samples are gone through; 1 for ONNX models.
        on_unsupported: "warn" leaves layers without an integer form in float; "raise"
            refuses the model.
        calibration: how ranges follow from samples, see `calibrate`; not for ONNX models.
        percentile: likewise.

    Returns:
        The quantized model, of the type of `model`, which is not changed.

    Raises:
        UnsupportedModelError: (a `ValueError`) a model that is no graph of layers, or
            none of whose layers can be quantized.
        UnsupportedLayerError: (a `RuntimeError`) a layer without an integer form, for
            `on_unsupported="raise"`.
        ArgumentError: (a `ValueError`) wrong samples or configuration; a quantized model
            without a complete `q_config`; another configuration than 8 bits for ONNX.
        QuantizedTypeError: (a `TypeError`) for something that is no model.

    Example:
        >>> model = tf_keras.Sequential(
        ...     [
        ...         tf_keras.layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
        ...         tf_keras.layers.Flatten(),
        ...         tf_keras.layers.Dense(2),
        ...     ]
        ... )
        >>> images = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3))
        >>> integer_model = lq.integer.models.quantize(model, samples=images)
        >>> lq.integer.models.check_quantization(integer_model)
        []

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877;
        Nagel et al., https://arxiv.org/abs/1906.04721
    """
    if on_unsupported not in ("warn", "raise"):
        raise ArgumentError(
            f"{_WHERE}: on_unsupported is {on_unsupported!r}.\n"
            '  Fix: "warn" or "raise".'
        )
    if not isinstance(qparams, QuantizationParams):
        raise QuantizedTypeError(
            f"{_WHERE}: qparams is a {type(qparams).__name__}.\n"
            "  Fix: a QuantizationParams, e.g. QuantizationParams(weight_bits=4)."
        )
    how = _calibrate.How(calibration, percentile)
    if _is_onnx(model):
        if calibration != "auto":
            raise ArgumentError(
                f"{_WHERE}: calibration={calibration!r} is for Keras models, and this is "
                "an ONNX model, whose ranges are the extremes.\n"
                "  Fix: leave `calibration` out."
            )
        from larqlite.integer.onnx.quantization import quantize_onnx

        return quantize_onnx(
            model,
            q_config=q_config,
            samples=samples,
            num_samples=num_samples,
            batch_size=batch_size,
            epochs=epochs,
            on_unsupported=on_unsupported,
            **vars(qparams),
        )
    model = as_tf_keras(model, _WHERE)
    require_model(model, _WHERE, refused=QuantizedTypeError)
    q_config = _checked_config(model, q_config)
    with bar("quantize"):
        original, low_bit = (model, {}) if _is_quantized(model) else prepared(model)
        conversion = _convert.conversion_of(original)
        _say_what_stays_float(conversion, on_unsupported)
        spare = _large_sums.spare_quantizers(conversion, qparams, q_config)
        quantized = _convert.converted(conversion, q_config, qparams, low_bit)
        float_model = float_model_of(original) if _is_quantized(model) else original
        set_ranges = _calibrate.calibrated(
            *(float_model, quantized, samples, num_samples, batch_size, epochs),
            beside=spare,
            how=how,
        )
        saturating = _run_once(quantized)
        large_sums = _large_sums.names_of(quantized, saturating) if spare else []
        if large_sums:
            conversion = _convert.conversion_of(original)
            quantized = _convert.converted(
                conversion, q_config, qparams, low_bit, large_sums
            )
            set_ranges(quantized)
            saturating = _run_once(quantized)
        _large_sums.warn(_WHERE, quantized, saturating)
    return quantized


def _run_once(model: tf_keras.Model) -> list[str]:
    """Runs the model on one sample: faults show now, and TensorFlow's kernels, which are
    made at the first use of each, are there for the first call of the user.

    Returns:
        Names of layers whose output quantizer saturates within its own range.
    """
    with _large_sums.shifts_of(model) as shifts:
        model(_samples.one_batch(model), training=False)
    model.reset_states()
    return _large_sums.saturating(model, shifts)


def _is_onnx(model) -> bool:
    return type(model).__module__.startswith("onnx") and hasattr(model, "graph")


def _is_quantized(model: tf_keras.Model) -> bool:
    return any(isinstance(layer, QuantizedLayer) for layer in model.layers)


def _checked_config(model, q_config) -> dict:
    if q_config is not None and not isinstance(q_config, Mapping):
        raise QuantizedTypeError(
            f"{_WHERE}: q_config is a {type(q_config).__name__}.\n"
            "  Fix: a dictionary {layer name: quant_config}, e.g. that of `dump_config`."
        )
    q_config = dict(q_config or {})
    missing = [
        layer.name
        for layer in model.layers
        if isinstance(layer, QuantizedLayer)
        and layer.quant_config
        and layer.name not in q_config
    ]
    if missing:
        raise ArgumentError(
            f'{_WHERE}: "{model.name}" is quantized already, and q_config does not say '
            f"how to quantize {missing[:3]}{' and others' if missing[3:] else ''}.\n"
            "  Fix: start from `q_config = dump_config(model)` and change it; or quantize "
            "the float model."
        )
    return q_config


def _say_what_stays_float(conversion: _convert.Conversion, on_unsupported: str) -> None:
    if not conversion.classes:
        name, reason = next(
            iter(conversion.stays_float.items()), ("", "it has no layers")
        )
        raise UnsupportedModelError(
            f'{_WHERE}: nothing of "{conversion.graph.model.name}" can be quantized: '
            f'"{name}": {reason}.\n'
            "  Fix: start with layers that have an integer form; docs/integer.md lists "
            "them. What is done to the inputs first may be `scale * x + offset`, as a "
            "Rescaling right before a Conv2D or Dense; do the rest outside of the model."
        )
    stays = {
        name: reason
        for name, reason in conversion.stays_float.items()
        if not _is_final(conversion, name)
    }
    if not stays:
        return
    name, reason = next(iter(stays.items()))
    others = [other for other in stays if other != name]
    more = (
        f"; so do {others[:5]}{' and others' if others[5:] else ''}" if others else ""
    )
    text = (
        f'{_WHERE}: the layer "{name}" of "{conversion.graph.model.name}" stays float: '
        f"{reason}{more}. {len(conversion.classes)} layers are quantized."
    )
    if on_unsupported == "raise":
        raise UnsupportedLayerError(
            f"{text}\n  Fix: replace it by a layer that has an integer form, or "
            'on_unsupported="warn".'
        )
    warnings.warn(text, stacklevel=3)


def _is_final(conversion: _convert.Conversion, name: str) -> bool:
    """Whether a layer only turns the model's outputs into probabilities."""
    for use in conversion.graph.uses:
        if use.entry.name == name:
            is_last = conversion.graph.consumers(use.outputs[0]) == [None]
            activation = getattr(use.layer, "activation", None)
            softmax = isinstance(use.layer, tf_keras.layers.Softmax)
            known = (tf_keras.activations.softmax, tf_keras.activations.sigmoid)
            return is_last and (softmax or activation in known)
    return False
