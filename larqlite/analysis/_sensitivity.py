"""`sensitivity`: what each width of each layer costs, measured and from gradients."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import tf_keras

from larqlite._progress import bar
from larqlite.analysis._gradients import gradient_scores
from larqlite.analysis._measured import FloatReference
from larqlite.analysis._samples import Samples
from larqlite.analysis._sensitivity_report import LayerSensitivity, Sensitivity
from larqlite.analysis._units import Unit, units_of
from larqlite.errors import ArgumentError, near_matches
from larqlite.from_keras import as_tf_keras
from larqlite.qat.schemes import FLOAT, get_schemes

__all__ = ["METHODS", "WIDTHS", "sensitivity"]

WIDTHS = ("int8", "int4", "int3", "int2", "ternary", "binary")
# Inputs that ranges are set from.
CALIBRATED = 128
METHODS = ("both", "measured", "gradients")
_WHERE = "lq.analysis.sensitivity"


def sensitivity(
    model: tf_keras.Model,
    data: Any,
    widths: Sequence[str] | Mapping[str, Any] = WIDTHS,
    *,
    method: str = "both",
    calibrate: Any = None,
    samples: int | None = 512,
    gradient_samples: int = 64,
    batch_size: int = 128,
    seed: int = 0,
) -> Sensitivity:
    r"""What each width of each layer costs, with all other layers in float.

    Each layer with weights of a float model is quantized alone, at each width, by
    `lq.qat.quantize_apply`, together with the normalizations and activations that only it
    feeds; nothing is trained. With the outputs f of the float model and q of the
    quantized one, the signal that is left is

    $$ \mathrm{SQNR} = 10 \log_{10} \frac{\sum f^2}{\sum (f - q)^2} \, \mathrm{dB}. $$

    With labels, the accuracy is counted too.

    Gradients foretell the same, many times cheaper. What the width changes in the outputs
    z of the layer, $\Delta z$, is computed exactly, for the inputs that it has in float;
    what that changes in the outputs of the model, to first order:

    $$ \sum (f - q)^2 \approx \lVert J_z \Delta z \rVert^2
       = E_v ( \nabla_z (v^\top f) \cdot \Delta z)^2 $$

    for signs v = ±1 drawn at random, which one backward pass takes for all layers
    together. This is the quadratic form that HAWQ and BRECQ have, its Hessian that of
    squared errors of the outputs, in the Gauss-Newton approximation.

    Args:
        model: a built Sequential or functional tf_keras model, or one of Keras 3. Its
            layers of larqlite keep their quantizers; the others are looked at.
        data: inputs, or `(inputs, labels)`, as arrays; or batches of these. Labels are
            numbers of classes or one-hot rows.
        widths: words for schemes of `lq.qat.quantize_apply`, such as "int4", "ternary",
            "int4/8"; or a dictionary of schemes by words of your own.
        method: "measured", "gradients", or "both", to compare them.
        calibrate: inputs to set ranges from; the first 128 of `data` by default.
        samples: how many of the data to measure on; None for all.
        gradient_samples: how many of them to take gradients on.
        batch_size: how many are computed at once.
        seed: of the signs.

    Returns:
        A `Sensitivity`; `print` of it shows both side by side, with Spearman's rank
        correlation and the time that each way took.

    Raises:
        ArgumentError: data that do not fit the model or are not finite, an unknown width
            or method, or a number that cannot be.
        UnbuiltModelError, UnsupportedModelError: as `lq.qat.quantize_apply`; or no layer
            is left that has weights and no quantizers.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(8, activation="relu", input_shape=(4,), name="first"),
        ...     tf_keras.layers.Dense(2, name="last")])
        >>> x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
        >>> report = lq.analysis.sensitivity(model, x, ("int8", "int2"))
        >>> report.layers, report.widths
        (('first', 'last'), ('int8', 'int2'))
        >>> report.cell("last", "int8").sqnr_db > report.cell("last", "int2").sqnr_db
        True

    References:
        HAWQ-V2, https://arxiv.org/abs/1911.03852 (traces by Hutchinson's random signs);
        BRECQ, https://arxiv.org/abs/2102.05426, section 3 (changes of outputs, Gauss-Newton).
    """
    schemes = _schemes(widths)
    _require(method, samples, gradient_samples, batch_size)
    model = as_tf_keras(model, _WHERE)
    units = units_of(model, _WHERE)
    given = Samples.of(model, data, samples, batch_size, _WHERE)
    ranges = given.first(CALIBRATED)
    if calibrate is not None:
        ranges = Samples.of(model, calibrate, None, batch_size, _WHERE)
    places = [
        (unit, word) for unit in units for word in schemes if unit.takes(schemes[word])
    ]
    measured: dict[tuple[str, str], tuple[float, float | None]] = {}
    foretold: dict[tuple[str, str], float] = {}
    seconds: dict[str, float] = {}
    accuracy = None
    if method != "measured":
        start = time.process_time()
        few = given.first(gradient_samples)
        foretold = gradient_scores(model, units, schemes, few, seed)
        seconds["gradients"] = time.process_time() - start
    if method != "gradients":
        start = time.process_time()
        measuring = FloatReference(model, given, ranges)
        accuracy = measuring.accuracy
        with bar("sensitivity", len(places), "widths of layers") as shown:
            for unit, word in places:
                measured[unit.name, word] = measuring.cell(unit, schemes[word])
                shown.advance()
        seconds["measured"] = time.process_time() - start
    return Sensitivity(
        name=model.name,
        samples=given.count,
        gradient_samples=min(gradient_samples, given.count),
        widths=tuple(schemes),
        cells=tuple(
            _cell(unit, word, measured, foretold, accuracy) for unit, word in places
        ),
        members={unit.name: tuple(m.name for m in unit.members) for unit in units},
        accuracy=accuracy,
        seconds=dict(sorted(seconds.items(), reverse=True)),
    )


def _cell(
    unit: Unit, word: str, measured: dict, foretold: dict, in_float: float | None
) -> LayerSensitivity:
    key = unit.name, word
    ratio, accuracy = measured.get(key, (None, None))
    loss = None if accuracy is None or in_float is None else in_float - accuracy
    return LayerSensitivity(
        *(unit.name, type(unit.layer).__name__, unit.weights, word),
        *(ratio, foretold.get(key), accuracy, loss),
    )


def _schemes(widths: Any) -> dict[str, Any]:
    """The schemes of the widths, by their words."""
    if isinstance(widths, str):
        widths = (widths,)
    if not isinstance(widths, Mapping):
        widths = {word: word for word in widths}
    schemes = dict(get_schemes(widths, _WHERE))
    if not schemes:
        raise ArgumentError(
            f"{_WHERE}: no widths.\n  Fix: some words, such as {WIDTHS[:3]}."
        )
    for word, scheme in schemes.items():
        if scheme == FLOAT:
            raise ArgumentError(
                f"{_WHERE}: widths has {word!r}, which leaves a layer as it is.\n"
                "  Fix: leave it out; float is what the others are compared with."
            )
    return schemes


def _require(
    method: Any, samples: int | None, gradient_samples: int, batch_size: int
) -> None:
    if method not in METHODS:
        raise ArgumentError(
            f"{_WHERE}: unknown method {method!r}.{near_matches(str(method), METHODS)}\n"
            f"  Fix: one of {', '.join(map(repr, METHODS))}."
        )
    numbers = {"gradient_samples": gradient_samples, "batch_size": batch_size}
    if samples is not None:
        numbers["samples"] = samples
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ArgumentError(
                f"{_WHERE}: {name}={number!r}.\n  Fix: a whole number from 1, such as 64."
            )
