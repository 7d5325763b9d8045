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


OPERATIONS = {
    "several": lambda x: K.RMSNormalization()(
        keras.ops.where(
            keras.ops.mean(x, axis=1, keepdims=True) > x, keras.ops.exp(x), -x
        )
    ),
    "moves": lambda x: keras.ops.swapaxes(keras.ops.normalize(x), 1, 2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_that_are_several_functions_are_exported(name, tmp_path):
    inputs = keras.Input((6, 5))
    model = lq.models.from_keras(keras.Model(inputs, OPERATIONS[name](inputs)))
    lq.deploy.export(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", noise(4, 6, 5)).ok


def test_a_function_without_a_converter_is_refused_inside_of_its_operation(tmp_path):
    inputs = keras.Input((6, 5))
    model = keras.Model(inputs, keras.ops.einsum("bij,bkj->bik", inputs, inputs))
    with pytest.raises(lq.errors.UnsupportedLayerError, match=r'"einsum/tf\.einsum"'):
        lq.deploy.export(lq.models.from_keras(model), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"), [("ConvNeXtTiny", 32), ("InceptionResNetV2", 75)]
)
def test_a_network_with_layers_of_keras_3_alone_is_exported(name, size, tmp_path):
    make = getattr(keras.applications, name)
    made = make(weights=None, input_shape=(size, size, 3), classes=10)
    model = lq.models.from_keras(randomized_as_trained(made))
    lq.deploy.export(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", noise(2, size, size, 3)).ok
