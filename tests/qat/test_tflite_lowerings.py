"""The lowerings by which layers compute in inference give Keras' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from larqlite.qat.lowerings import _table, exporting
from tests.common.eager import quantize_model
from tests.common.samples import in_turn
from tests.qat.tflite_models import ALONE, PATTERNS, L, data_for, net

NETWORKS = {
    **ALONE,
    **PATTERNS,
    "one filter at a stride": lambda: net((9, 9, 2), L.Conv2D(1, 3, 2)),
    "strided row": lambda: net((9, 3), L.DepthwiseConv1D(3, 2, depth_multiplier=2)),
    "dense on images": lambda: net((4, 4, 3), L.Dense(5)),
    "dense on volumes": lambda: net((3, 4, 4, 3), L.Dense(5)),
    "grouped": lambda: net((8, 8, 4), L.Conv2D(6, 3, groups=2, dilation_rate=2)),
}
# None has a lowering of its own: "ReLU" and "GlobalAveragePooling2D" stand for them.
ALIKE = ("LeakyReLU", "relu6", "swish", "gelu")
ALIKE += ("GlobalAveragePooling1D", "GlobalAveragePooling3D")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        *(
            pytest.param(name, "int8", marks=[pytest.mark.slow] * (name in ALIKE))
            for name in NETWORKS
            if name not in PATTERNS
        ),
        *in_turn(PATTERNS, ["int8", "int3"]),
    ],
)
def test_a_form_computes_what_keras_computes(name, scheme, monkeypatch):
    float_model = NETWORKS[name]()
    data = data_for(float_model, 16)
    model = quantize_model(float_model, scheme=scheme, calibrate=data)
    by_form = model(data, training=False).numpy()
    with exporting():
        exported = model(data, training=False).numpy()
    monkeypatch.setattr(_table, "TABLE", {})
    by_keras = model(data, training=False).numpy()
    # A value on the edge of two levels may fall to the other side.
    step = np.diff(np.unique(by_keras)).min(initial=1.0)
    for outputs in (by_form, exported):
        off = np.abs(outputs - by_keras) > 1e-4 + step / 2
        assert off.mean() < 0.01


@pytest.mark.parametrize("steps", [None, 6])
def test_a_dense_layer_takes_sequences_of_any_length(steps):
    float_model = net((steps, 4), L.Dense(3), L.BatchNormalization())
    data = np.random.default_rng(0).normal(size=(5, 6, 4)).astype("float32")
    model = quantize_model(float_model, calibrate=data)
    assert model(data, training=False).shape == (5, 6, 3)
    assert model.output_shape == (None, steps, 3)


def test_training_does_not_use_forms(monkeypatch):
    float_model = PATTERNS["Dense, normalization, ReLU"]()
    data = data_for(float_model)
    model = quantize_model(float_model, calibrate=data)

    def refuse(call):
        raise AssertionError("a lowering in training")

    table = {
        cls: _table.Lowering(refuse, lowering.weight)
        for cls, lowering in _table.TABLE.items()
    }
    monkeypatch.setattr(_table, "TABLE", table)
    model(data, training=True)
    tf.function(lambda flag: model(data, training=flag))(tf.constant(True))
    with pytest.raises(AssertionError, match="a lowering in training"):
        model(data, training=False)


@pytest.mark.parametrize("name", ["dilated, normalization, relu", "Conv1D", "Dense"])
def test_gradients_pass_through_forms_as_through_keras(name, monkeypatch):
    float_model = NETWORKS[name]()
    data = data_for(float_model, 4)
    model = quantize_model(float_model, calibrate=data)

    def gradients():
        inputs = tf.constant(data)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(model(inputs, training=False) ** 2)
        return tape.gradient(loss, [inputs, *model.trainable_weights])

    by_form = gradients()
    monkeypatch.setattr(_table, "TABLE", {})
    for found, expected in zip(by_form, gradients(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
