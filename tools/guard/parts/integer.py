"""Integer models: codes of every layer, reports, configurations, the three exports."""

from __future__ import annotations

import functools
import json

import numpy as np
import onnxruntime
import tf_keras

import larqlite as lq

from .. import models, onnx_text, texts, tflite_text
from . import integer_models


def entries() -> dict:
    """An entry for each float model and its bits."""
    found = {
        name: functools.partial(_frozen, *case)
        for name, case in integer_models.cases().items()
    }
    return found | {"tensors": _tensors, "tuned": _tuned, "transforms": _transforms}


def _samples(model) -> list[np.ndarray]:
    return [models.images(item.shape[1:], 16) for item in model.inputs]


def _quantized(build, options):
    model = build()
    samples = _samples(model)
    options = dict(options)
    config = options.pop("config", None)
    params = lq.integer.models.QuantizationParams(**options)
    made = lq.integer.models.quantize(
        model, config, params, models.given(samples), num_samples=16
    )
    return made, samples


def _frozen(build, options):
    model, samples = _quantized(build, options)
    x = models.given([sample[:4] for sample in samples])
    yield "summary", texts.printed(lq.models.summary, model)
    yield "layers", [f"{layer.name}: {type(layer).__name__}" for layer in model.layers]
    config = lq.integer.models.dump_config(model)
    yield "config", json.dumps(config, indent=1, default=str)
    yield "weights", texts.weights(model)
    yield "codes", list(_codes(model, x))
    yield "check", lq.integer.models.check_quantization(model)
    yield "data report", str(lq.integer.models.data_report(model, x))
    yield from _exported(model, samples, x)


def _codes(model, x):
    """Integers and fractional bits of every output."""
    tensors = [(layer.name, layer.output) for layer in model.layers]
    every = tf_keras.Model(model.inputs, [tensor for _, tensor in tensors])
    for (name, _), found in zip(tensors, every(x), strict=True):
        for place, value in enumerate(_parts(found)):
            yield f"{name} {place}: {_value(value)}"


def _parts(found) -> list:
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _value(value) -> str:
    if isinstance(value, lq.integer.tensors.QFloat):
        scales = texts.array(value.scales.numpy())
        return f"{_value(value.fp)} scales {scales}"
    if isinstance(value, lq.integer.tensors.FixedPoint):
        bits = texts.array(np.asarray(value.frac_bits))
        codes = texts.array(value.values.numpy())
        return f"{codes} of {value.value_bits} bits, frac_bits {bits}"
    return texts.array(np.asarray(value))


def _exported(model, samples, x):
    export = lq.integer.export
    for name, write in (("onnx", export.to_onnx), ("qdq", export.to_qdq)):
        try:
            file = write(model)
        except lq.errors.LarqliteError as error:
            yield f"{name} refused", f"{type(error).__name__}: {error}"
            continue
        yield from onnx_text.fields(file, f"{name} ")
        session = onnxruntime.InferenceSession(file.SerializeToString())
        given = x if isinstance(x, list) else [x]
        named = {i.name: v for i, v in zip(session.get_inputs(), given, strict=True)}
        yield f"{name} outputs", texts.arrays(session.run(None, named))
        yield f"{name} compared", str(export.compare(model, file, x))
    try:
        content = export.to_tflite(model, samples=models.given(samples))
    except lq.errors.LarqliteError as error:
        yield "tflite refused", f"{type(error).__name__}: {error}"
        return
    yield from tflite_text.fields(content, x if isinstance(x, list) else [x], "tflite ")
    yield "tflite compared", str(export.compare(model, content, x))


def _tuned():
    """A step of training, and a file."""
    model, samples = _quantized(integer_models.cnn, {"weight_bits": 4})
    model.compile(tf_keras.optimizers.SGD(1e-3), "mse")
    model.fit(samples[0], np.zeros((16, 4), "float32"), 8, verbose=0, shuffle=False)
    yield "weights", texts.weights(model)
    model.save("integer.keras")
    loaded = lq.integer.models.load_model("integer.keras")
    yield "loaded", list(_codes(loaded, samples[0][:4]))
    frozen = lq.integer.models.freeze(loaded)
    yield "frozen", texts.arrays(frozen.predict(samples[0][:4], verbose=0))


def _transforms():
    """Each transform on a model that it changes."""
    of = lq.integer.models.transforms
    for name in ("fold_batchnorms", "sanitize", "split_activations", "flatten_nested"):
        for build in (integer_models.cnn, integer_models.pooled, integer_models.nested):
            model = getattr(of, name)(build())
            made = [f"{layer.name}: {type(layer).__name__}" for layer in model.layers]
            yield f"{name} {build.__name__}", made + texts.weights(model)
    rescaled = of.insert_rescaling(integer_models.cnn(), 0.5, 1.0)
    yield "insert_rescaling", texts.printed(lq.models.summary, rescaled)


def _tensors():
    """Arithmetic of fixed-point tensors."""
    of = lq.integer.tensors
    random = np.random.default_rng(5)
    x = random.normal(size=(3, 4)).astype("float32") * 3
    y = random.normal(size=(3, 4)).astype("float32")
    bits = np.array([2, 3, 4, 5])
    left = of.FixedPoint.quantize(x, 8, frac_bits=3)
    right = of.FixedPoint.quantize(y, 8, frac_bits=bits)
    yield "left", _value(left)
    yield "right", _value(right)
    operations = {
        "add": lambda: left + right,
        "subtract": lambda: left - right,
        "sum of aligned": lambda: left.align(right)[0] + right.align(left)[0],
        "multiply": lambda: left * right,
        "negative": lambda: -left,
        "shift": lambda: left << 2,
        "right shift": lambda: left >> 1,
        "abs": lambda: abs(left),
        "float": lambda: right.to_float(),
    }
    for name, operation in operations.items():
        try:
            yield name, _value(operation())
        except Exception as error:
            yield name, f"{type(error).__name__}: {error}"
