"""Forward values and pseudo-gradients against the reference numbers in tests/golden."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import larqlite as lq

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "quantizers.npz")
SPECS = json.loads(str(GOLDEN["specs"]))
INPUTS = ("grid", "conv_kernel", "dense_kernel")


def make(spec):
    return getattr(lq.quantizers, spec["class"])(**spec["kwargs"])


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize(
    "index",
    range(len(SPECS)),
    ids=lambda i: f"{SPECS[i]['class']}-{SPECS[i]['kwargs']}",
)
def test_values_and_pseudo_gradients_equal_the_reference(index, given):
    quantizer = make(SPECS[index])
    x = tf.constant(GOLDEN[given])
    with tf.GradientTape() as tape:
        tape.watch(x)
        q = quantizer(x)
    dq = tape.gradient(q, x)
    np.testing.assert_allclose(q, GOLDEN[f"{index}:{given}:q"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(dq, GOLDEN[f"{index}:{given}:dq"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s['class']}-{s['kwargs']}")
def test_the_declared_precision_equals_the_reference(spec):
    assert make(spec).precision == spec["precision"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bit_floats_do_not_overflow_inside(dtype):
    q = lq.quantizers.DoReFa(16)(tf.constant([0.25, 0.5], dtype))
    np.testing.assert_allclose(tf.cast(q, "float32"), [0.25, 0.5], rtol=1e-2)
    kernel = tf.ones((70001, 2), dtype)
    scaled = lq.quantizers.MagnitudeAwareSign()(kernel)
    np.testing.assert_allclose(tf.cast(scaled, "float32"), 1, rtol=1e-2)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s['class']}-{s['kwargs']}")
def test_the_number_of_levels_fits_the_declared_precision(spec):
    quantizer = make(spec)
    if isinstance(quantizer, lq.quantizers.NoOp):
        return
    x = np.linspace(-3, 3, 4000, dtype="float32")
    levels = len(np.unique(quantizer.codes(quantizer(x))))
    ternary = isinstance(quantizer, lq.quantizers.SteTern)
    assert levels == (3 if ternary else 2**quantizer.precision)
