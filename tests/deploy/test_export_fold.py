"""Scales of kernels become part of a batch normalization, where nobody else sees them."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from tests.deploy.inside_a_file import metadata
from tests.deploy.keras_and_file import assert_same, export, sequential

K = tf_keras.layers


def conv(**arguments):
    defaults = {
        "filters": 4,
        "kernel_size": 3,
        "padding": "same",
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "magnitude_aware_sign",
        "use_bias": False,
    }
    return lq.layers.QuantConv2D(**defaults | arguments)


def scales_in_the_file(model, tmp_path) -> list[str]:
    export(model, tmp_path / "model.onnx")
    return metadata(tmp_path / "model.onnx")["larqlite.scales"]


@pytest.mark.parametrize(
    "between", [[], [K.MaxPooling2D], [K.MaxPooling2D, K.MaxPooling2D]]
)
@pytest.mark.parametrize("inputs", ["ste_sign", lq.quantizers.DoReFa(3)])
def test_a_scale_is_folded_behind_the_sums_or_their_maxima(between, inputs, tmp_path):
    layers = [conv(input_quantizer=inputs), *(cls() for cls in between)]
    model = sequential((8, 8, 3), *layers, K.BatchNormalization(), K.ReLU())
    operations = assert_same(model, tolerance=3e-6)
    assert operations.count("Mul") == 1
    assert scales_in_the_file(model, tmp_path) == []


@pytest.mark.parametrize(
    "first",
    [
        lambda: [conv(use_bias=True)],
        lambda: [conv(activation="relu")],
        lambda: [conv(), K.ReLU()],
        lambda: [conv(), K.AveragePooling2D()],
    ],
    ids=["bias", "activation", "relu", "average"],
)
def test_what_is_not_linear_keeps_the_scale_apart(first, tmp_path):
    model = sequential((8, 8, 3), *first(), K.BatchNormalization(), K.ReLU())
    assert assert_same(model, tolerance=3e-6).count("Mul") == 2
    assert len(scales_in_the_file(model, tmp_path)) == 1


def test_a_tensor_that_others_read_keeps_its_scale():
    x = inputs = tf_keras.Input((8, 8, 4))
    x = conv()(x)
    normalized = K.BatchNormalization()(x)
    for outputs in ([normalized, x], normalized + x):
        model = tf_keras.Model(inputs, outputs)
        assert assert_same(model, tolerance=3e-6).count("Mul") == 2


def test_a_shared_normalization_keeps_its_own_scale():
    x = inputs = tf_keras.Input((8, 8, 4))
    norm = K.BatchNormalization()
    model = tf_keras.Model(inputs, norm(conv()(norm(conv()(x)))))
    for weight in model.weights:
        weight.assign(np.abs(np.random.default_rng(0).normal(size=weight.shape)) + 0.1)
    assert assert_same(model, tolerance=3e-6).count("Mul") == 4


def test_a_normalization_along_another_axis_keeps_its_own_scale():
    model = sequential((8, 6, 3), conv(), K.BatchNormalization(axis=1))
    assert assert_same(model, tolerance=3e-6).count("Mul") == 2
