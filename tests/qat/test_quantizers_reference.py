"""Quantizers give what TensorFlow Model Optimization 0.8.1 gave, to the last bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.qat import quantizers
from tests.common.samples import sampled
from tests.qat.reference_batches import TRAINING, batches

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
CASES = json.loads((GOLDEN / "qat_quantizers.json").read_text())


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "qat_quantizers.npz") as file:
        return dict(file)


def ran(index: int, case: dict, compiled: bool):
    """Outputs, gradients and ranges of the calls that made the golden file."""
    quantizer = getattr(quantizers, case["class"])(**case["config"])
    layer = tf_keras.layers.Layer()
    weights = quantizer.build(tf.TensorShape(case["shape"]), "x", layer)

    def call(x, dy, training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x, training=training, weights=weights)
        return y, tape.gradient(y, x, dy)

    if compiled:
        call = tf.function(call, autograph=False)
    outputs, gradients, ranges = [], [], []
    for x, dy, training in zip(*batches(index, case), TRAINING, strict=True):
        y, dx = call(tf.constant(x), tf.constant(dy), training)
        outputs.append(y.numpy())
        gradients.append(dx.numpy())
        ranges.append([v.numpy() for v in weights.values()])
    return np.stack(outputs), np.stack(gradients), np.float32(ranges)


def name(index: int) -> str:
    case = CASES[index]
    config = "-".join(f"{k}={v}" for k, v in case["config"].items())
    return f"{index}-{case['class']}-{config}-{case['shape']}"


@pytest.mark.parametrize("index", sampled(range(len(CASES)), 2), ids=name)
def test_values_gradients_and_ranges_are_the_references(index, golden):
    # Every seventh case in a graph too: tracing them all would take a minute.
    for compiled in (False, True)[: 1 + (index % 7 == 0 or index > 115)]:
        outputs, gradients, ranges = ran(index, CASES[index], compiled)
        # No step is made that float32 cannot hold: 1e-30 takes the place of 0.
        np.testing.assert_allclose(
            ranges, golden[f"{index}_ranges"], rtol=0, atol=1e-30
        )
        np.testing.assert_array_equal(outputs, golden[f"{index}_outputs"])
        # At an infinite range the reference converts NaN to an integer.
        finite = np.isfinite(ranges).all(1)
        finite = finite[(slice(None), *[None] * (gradients.ndim - finite.ndim))]
        expected = golden[f"{index}_gradients"]
        np.testing.assert_array_equal(gradients * finite, expected * finite)
