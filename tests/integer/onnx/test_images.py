"""Networks trained on real images, quantized: accuracy, exactness, size and time."""

import warnings

import numpy as np
import onnx
import pytest
import tf_keras

import larqlite as lq
from larqlite.integer.onnx import quantize_onnx
from tests.integer.onnx.numpy_integers import assert_every_integer_is_exact, run

layers = tf_keras.layers


def network(ends_flat):
    """Every pattern that a residual network of separable convolutions has."""
    x = image = layers.Input((28, 28, 1))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.7)(x))
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.7)(x))
    x = shortcut = layers.ReLU()(layers.Conv2D(32, 1)(x))
    x = layers.ReLU()(layers.Conv2D(32, 3, padding="same")(x))
    x = layers.Add()([x, shortcut])
    x = layers.ReLU()(layers.Conv2D(32, 3, padding="same")(x))
    x = layers.MaxPooling2D()(x)
    if ends_flat:
        x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    else:
        x = layers.Conv2D(48, 3, activation="relu")(x)
        x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(image, layers.Dense(10)(x))


@pytest.fixture(scope="module")
def data():
    (x, y), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    to_float = lq.datasets.to_float_images
    return (to_float(x[:4000]), y[:4000]), (to_float(x_test[:1000]), y_test[:1000])


@pytest.mark.parametrize(
    "ends_flat", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_a_trained_network_keeps_its_accuracy_in_integers(data, tmp_path, ends_flat):
    (x, y), (x_test, y_test) = data
    model = network(ends_flat)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(3e-3), loss)
    # A mean over the image learns more slowly.
    model.fit(x, y, batch_size=64, epochs=1 if ends_flat else 3, verbose=0)
    lq.deploy.export(model, tmp_path / "float.onnx")
    exported = onnx.load(tmp_path / "float.onnx")
    float_logits = run(exported, x_test)[0]
    accuracy = np.mean(float_logits.argmax(axis=1) == y_test)
    assert accuracy > 0.7
    for per_tensor in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            quantized = quantize_onnx(
                exported,
                samples=x,
                num_samples=512,
                per_tensor_activations=per_tensor,
            )
        types = [node.op_type for node in quantized.graph.node]
        assert types[:2] == ["Transpose", "InputQuantizer"]
        assert types[-1] == "Dequantizer"
        assert all("Quantize" in kind for kind in types[2:-1])
        logits = run(quantized, x_test)[0]
        assert np.mean(logits.argmax(axis=1) == y_test) >= accuracy - 0.005
        correlation = np.corrcoef(logits.ravel(), float_logits.ravel())[0, 1]
        assert correlation > 0.998
        assert_every_integer_is_exact(quantized, x_test[:6])
    onnx.save(quantized, tmp_path / "integer.onnx")
    again = onnx.load(tmp_path / "integer.onnx")
    np.testing.assert_array_equal(run(again, x_test[:50])[0], logits[:50])
