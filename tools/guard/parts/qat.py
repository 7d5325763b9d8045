"""Quantization-aware models: summaries, reports, outputs, a step of training, TFLite."""

from __future__ import annotations

import functools

import numpy as np
import tf_keras

import larqlite as lq

from .. import models, texts, tflite_text
from . import qat_models

SAMPLES = 16


def entries() -> dict:
    """An entry for each float model and scheme."""
    found = {
        name: functools.partial(_frozen, *case)
        for name, case in qat_models.cases().items()
    }
    return found | {
        "dynamic": _conversions,
        "known_ranges": _known_ranges,
        "preserved": _preserved,
        "quantizers": _quantizers,
    }


def _samples(model) -> list[np.ndarray]:
    return models.inputs_of(model, SAMPLES)


def _frozen(build, make, trained: bool):
    model = build()
    samples = _samples(model)
    quantized = make(model, models.given(samples))
    yield "summary", texts.printed(lq.models.summary, quantized)
    yield "report", str(lq.qat.report(quantized, verbose=False))
    yield from _state(quantized, samples, "calibrated")
    yield from _converted(quantized, samples)
    if trained:
        quantized.compile(tf_keras.optimizers.SGD(0.05), "mse")
        targets = np.zeros((SAMPLES, *quantized.output_shape[1:]), "float32")
        quantized.fit(
            models.given(samples), targets, SAMPLES // 2, verbose=0, shuffle=False
        )
        yield from _state(quantized, samples, "trained")


def _state(quantized, samples, when: str):
    yield f"{when} weights", texts.weights(quantized)
    outputs = quantized(models.given(samples))
    yield (
        f"{when} outputs",
        texts.arrays(
            [o.numpy() for o in outputs]
            if isinstance(outputs, (list, tuple))
            else outputs.numpy()
        ),
    )


def _converted(quantized, samples, inputs: str = "float32"):
    try:
        content = lq.qat.to_tflite(quantized, inputs=inputs)
    except lq.errors.LarqliteError as error:
        yield f"tflite {inputs} refused", f"{type(error).__name__}: {error}"
        return
    yield f"tflite {inputs} notes", [*content.notes, *map(str, content.float_layers)]
    yield from tflite_text.fields(content, samples, f"tflite {inputs} ")
    if len(samples) == 1:
        compared = lq.qat.compare_tflite(quantized, content, samples[0])
        yield f"tflite {inputs} compared", texts.printed(compared.print)


def _conversions():
    """Files that take integers, and copies of a model."""
    model = qat_models.cnn()
    samples = _samples(model)
    quantized = lq.qat.quantize_model(model, calibrate=samples[0])
    yield from _converted(quantized, samples, "int8")
    quantized.save("quantized.keras")
    again = lq.models.load("quantized.keras")
    yield from _state(again, samples, "loaded")
    averaged = lq.qat.quantize_model(
        model, calibrate=samples[0], calibration="moving_average"
    )
    yield from _state(averaged, samples, "moving average")
    yield (
        "quantized weights",
        [
            f"{name}: {weight.bits if hasattr(weight, 'bits') else ''} "
            f"{texts.array(weight.quantized)}"
            for name, weight in lq.models.quantized_weights(quantized).items()
        ],
    )


def _known_ranges():
    model = qat_models.cnn()
    samples = _samples(model)
    quantized = lq.qat.quantize_model(model, calibrate=samples[0])
    fixed = lq.qat.fix_input_output_range(quantized, input_min=-2.0, input_max=2.0)
    yield "fixed", str(lq.qat.report(fixed, verbose=False))
    yield from _state(fixed, samples, "fixed")
    without = lq.qat.remove_input_range(quantized)
    yield "without", str(lq.qat.report(without, verbose=False))
    yield from _state(without, samples, "without")


def _preserved():
    for scheme in ("prune_preserve", "cluster_preserve"):
        model = qat_models.cnn()
        for layer in model.layers:
            if hasattr(layer, "kernel"):
                kernel = np.round(layer.kernel.numpy() * 2) / 2
                layer.kernel.assign(kernel)
        samples = _samples(model)
        kept = lq.qat.quantize_model(model, scheme=scheme, calibrate=samples[0])
        kept.compile(tf_keras.optimizers.SGD(0.05), "mse")
        targets = np.zeros((SAMPLES, *kept.output_shape[1:]), "float32")
        kept.fit(samples[0], targets, SAMPLES, verbose=0, shuffle=False)
        yield from _state(kept, samples, scheme)


def _quantizers():
    """Each quantizer alone, in and out of training."""
    kinds = lq.qat.quantizers
    x = np.random.default_rng(3).normal(size=(6, 5, 4)).astype("float32") * 2
    makers = [
        (kinds.LastValueQuantizer, {}),
        (kinds.LastValueQuantizer, {"per_axis": True, "num_bits": 4}),
        (kinds.LastValueQuantizer, {"symmetric": False, "narrow_range": False}),
        (kinds.MovingAverageQuantizer, {}),
        (kinds.MovingAverageQuantizer, {"num_bits": 3, "symmetric": True}),
        (kinds.AllValuesQuantizer, {}),
        (kinds.AllValuesQuantizer, {"per_axis": True}),
        (kinds.FixedQuantizer, {}),
        (kinds.FixedQuantizer, {"num_bits": 2, "init_min": -1.0, "init_max": 1.0}),
    ]
    for place, (kind, options) in enumerate(makers):
        arguments = {"num_bits": 8} | options
        quantizer = kind(**arguments)
        layer = lq.qat.QuantizeLayer(quantizer)
        made = [layer(x, training=True), layer(x / 2, training=False)]
        yield (
            f"{place} {quantizer!r}",
            [
                *texts.arrays([m.numpy() for m in made]),
                *texts.weights(layer),
            ],
        )
