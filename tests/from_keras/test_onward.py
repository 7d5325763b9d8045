"""What came in from Keras 3 is exported, activations that only Keras 3 has included."""

from __future__ import annotations

import keras
import pytest

import larqlite as lq
from tests.from_keras.networks import noise, randomized_as_trained

K = keras.layers


@pytest.mark.parametrize("name", ["hard_sigmoid", "hard_silu", "relu6", "leaky_relu"])
def test_an_activation_of_keras_3_is_exported(name, tmp_path):
    layers = [
        keras.Input((6, 6, 3)),
        K.Conv2D(4, 3, activation=name),
        K.BatchNormalization(),
        K.Activation(name),
        K.GlobalAveragePooling2D(),
        K.Dense(5, name),
    ]
    model = lq.models.from_keras(randomized_as_trained(keras.Sequential(layers)))
    lq.deploy.export(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", 3 * noise(4, 6, 6, 3)).ok
