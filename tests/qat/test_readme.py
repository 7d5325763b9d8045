"""What the README of `larqlite.qat` shows runs, and does what the page says."""

import re
from pathlib import Path

import numpy as np
import tf_keras

import larqlite as lq
from larqlite import qat
from larqlite.qat.lowerings import TABLE
from larqlite.qat.passes import PASSES
from larqlite.qat.schemes import RULES

layers = tf_keras.layers
FOLDER = Path(qat.__file__).parent
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_what_the_page_adds_is_followed():
    names = {"lq": lq, "tf_keras": tf_keras, "PASSES": PASSES, "__name__": "readme"}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 4
    try:
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)
        _check(names)
    finally:
        RULES.pop(names.get("Gain"), None)
        TABLE.pop(names.get("Gain"), None)


def _check(names):
    parts = [
        layers.Dense(6, input_shape=(4,), name="dense"),
        names["Gain"](name="gain"),
    ]
    model = tf_keras.Sequential(parts)
    model.set_weights([*model.get_weights()[:2], np.linspace(0.5, 2.0, 6)])
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    quantized = qat.quantize_model(model, scheme=names["NarrowDense"](), calibrate=x)
    report = qat.report(quantized)
    assert report.layer("quant_dense").weights == {"kernel": 4}
    assert report.layer("quant_dense").outputs == 8
    gain = report.layer("quant_gain")
    assert (gain.weights, gain.outputs, gain.reason) == ({"gain": 8}, None, "an output")
    content = qat.to_tflite(quantized)
    found = qat.compare_tflite(quantized, content, x)
    assert found.step is None
    assert found.largest_difference < 0.02 * np.abs(quantized(x)).max()
