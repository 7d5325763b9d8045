"""On real images: a trained float network keeps its accuracy at 8 bits, and nearly at 4."""

import logging
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter

import larqlite as lq
from tests.common.samples import sampled

layers = tf_keras.layers
TRAINED = Path(__file__).parents[1] / "fixtures" / "clothes_float.npz"


@pytest.fixture(scope="module")
def images():
    """Fashion-MNIST as kept in the package: 8,000 images to train on, 2,000 to test."""
    (x_train, y_train), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    to_float = lq.datasets.to_float_images
    return to_float(x_train), y_train, to_float(x_test), y_test


@pytest.fixture(scope="module")
def trained():
    """A small float network, with what `make_clothes_float.py` learned in three epochs."""
    model = network()
    with np.load(TRAINED) as kept:
        model.set_weights([kept[name] for name in kept])
    return model


def network() -> tf_keras.Model:
    inputs = tf_keras.Input((28, 28, 1))
    x = inputs
    for filters, strides in ((16, 2), (32, 2), (32, 2), (64, 1)):
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


@pytest.fixture(scope="module")
def tuned(trained, images):
    """The network with 8 bits after one epoch more, and its accuracy before."""
    tf_keras.utils.set_random_seed(1)
    x_train, y_train, *_ = images
    quantized = lq.qat.quantize_model(trained, calibrate=x_train[:512])
    before = accuracy(quantized, images)
    schedule = tf_keras.optimizers.schedules.CosineDecay(5e-4, 125)
    compiled(quantized, schedule).fit(x_train, y_train, batch_size=64, verbose=0)
    return quantized, before


def compiled(model, learning_rate):
    model.compile(
        tf_keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def accuracy(model, images) -> float:
    """Percent of the test images that a model names rightly."""
    *_, x_test, y_test = images
    return 100 * np.mean(labels(model, x_test) == y_test)


def labels(model, x) -> np.ndarray:
    """The classes that a model names; without a graph, which is traced for longer."""
    return model(x, training=False).numpy().argmax(axis=1)


def test_the_float_network_has_learned(trained, images):
    assert accuracy(trained, images) > 84


def test_calibration_alone_keeps_accuracy_within_a_point(trained, tuned, images):
    assert abs(tuned[1] - accuracy(trained, images)) <= 1.0


def test_without_ranges_one_warning_says_so_and_the_network_guesses(
    trained, images, caplog
):
    with caplog.at_level(logging.WARNING, "larqlite.qat"):
        quantized = lq.qat.quantize_model(trained)
    assert len(caplog.records) == 1
    assert "ranges" in caplog.text
    assert "calibrate" in caplog.text
    assert accuracy(quantized, images) < 20


def test_int8_is_within_half_a_point_after_one_epoch(trained, tuned, images):
    assert accuracy(tuned[0], images) >= accuracy(trained, images) - 0.5


@pytest.mark.slow
def test_int4_is_within_two_points_after_three_epochs(trained, images):
    x_train, y_train, *_ = images
    quantized = lq.qat.quantize_model(trained, scheme="int4", calibrate=x_train[:512])
    before = accuracy(quantized, images)
    schedule = tf_keras.optimizers.schedules.CosineDecay(1e-3, 375)
    compiled(quantized, schedule)
    quantized.fit(x_train, y_train, batch_size=64, epochs=3, verbose=0)
    after = accuracy(quantized, images)
    assert after >= accuracy(trained, images) - 2.0
    assert after > before


@pytest.mark.slow
def test_a_float_network_becomes_binary_inside_and_learns_again(trained, images):
    x_train, y_train, *_ = images
    quantized = lq.qat.binarize(trained, calibrate=x_train[:512])
    binary = [
        layer for layer in quantized.layers if isinstance(layer, lq.layers.QuantConv2D)
    ]
    assert len(binary) == 3
    before = accuracy(quantized, images)
    schedule = tf_keras.optimizers.schedules.CosineDecay(3e-3, 500)
    compiled(quantized, schedule)
    quantized.fit(x_train, y_train, batch_size=64, epochs=4, verbose=0)
    assert accuracy(quantized, images) > max(before + 20, 60)
    costs = lq.models.profile(quantized)
    assert costs.params_by_bits[1] == 16 * 32 * 9 + 32 * 32 * 9 + 32 * 64 * 9
    assert costs.params_by_bits[8] == 9 * 16 + 64 * 10


@pytest.mark.parametrize("inputs", sampled(["int8", "float32"], 2))
def test_tflite_is_as_good_as_the_quantized_network(
    trained, tuned, images, inputs, tmp_path
):
    *_, x_test, y_test = images
    path = tmp_path / "quantized.tflite"
    content = lq.qat.to_tflite(tuned[0], path, inputs=inputs)
    assert content.float_layers == ()
    interpreter = Interpreter(model_path=str(path))
    predicted = run_tflite(interpreter, x_test)
    of_keras = labels(tuned[0], x_test)
    of_file = predicted.argmax(axis=1)
    assert np.mean(of_file == of_keras) >= 0.99
    difference = np.mean(of_file == y_test) - np.mean(of_keras == y_test)
    assert abs(100 * difference) <= 0.3
    types = {tensor["dtype"] for tensor in interpreter.get_tensor_details()}
    floats = [
        tensor["name"]
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.float32
    ]
    assert len(floats) == (2 if inputs == "float32" else 0)
    assert np.int8 in types
    # 8 bits a weight: a quarter of float32, and some header.
    assert path.stat().st_size < trained.count_params() * 4 / 2


def run_tflite(interpreter, images) -> np.ndarray:
    """What stock TFLite makes of images, in numbers whatever its types are."""
    source = interpreter.get_input_details()[0]
    target = interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    if source["dtype"] == np.int8:
        scale, zero_point = source["quantization"]
        codes = np.round(images / scale) + zero_point
        images = np.clip(codes, -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])
