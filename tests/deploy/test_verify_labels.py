"""Labels are compared where an output is classes, and ties are counted apart."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.deploy.verifier._counter import Labels
from larqlite.deploy.verifier._expected import Wanted
from larqlite.models.internal import label_axes
from tests.deploy.keras_and_file import with_random_weights
from tests.deploy.verified_network import BINARY

K = tf_keras.layers
IMAGE, FLAT = (8, 8, 3), (5,)

NESTED = tf_keras.Sequential([tf_keras.Input(FLAT), K.Dense(3), K.Softmax()])
CASES = {
    "logits": (FLAT, K.Dense(3), 1),
    "normalized logits": (FLAT, lambda x: K.BatchNormalization()(K.Dense(3)(x)), 1),
    "logits of a packed layer": (FLAT, lq.layers.QuantDense(3), 1),
    "sum of logits": (FLAT, lambda x: K.Add()([K.Dense(3)(x), K.Dense(3)(x)]), 1),
    "softmax": (FLAT, K.Dense(3, activation="softmax"), 1),
    "softmax layer": (FLAT, lambda x: K.Softmax()(K.Dense(3)(x)), 1),
    "softmax operator": (FLAT, lambda x: tf.nn.softmax(K.Dense(3)(x)), 1),
    "softmax and dropout": (FLAT, lambda x: K.Dropout(0.5)(K.Softmax()(x)), 1),
    "softmax of a nested model": (FLAT, NESTED, 1),
    "softmax of every pixel": (IMAGE, K.Conv2D(3, 3, activation="softmax"), 3),
    "softmax of channels first": (IMAGE, lambda x: K.Softmax(axis=1)(x), 1),
    "softmax over an axis": (IMAGE, lambda x: tf.nn.softmax(x, axis=2), 2),
    "softmax before a model inside": (
        IMAGE,
        lambda x: tf_keras.Sequential([K.Dropout(0.5)])(K.Softmax(axis=2)(x)),
        2,
    ),
    "softmax that a model inside moves": (
        IMAGE,
        lambda x: tf_keras.Sequential([K.Flatten()])(K.Softmax(axis=2)(x)),
        None,
    ),
    "sigmoids": (FLAT, K.Dense(3, activation="sigmoid"), None),
    "sigmoid operator": (FLAT, lambda x: tf.sigmoid(K.Dense(3)(x)), None),
    "tanh": (FLAT, K.Dense(3, activation=tf.nn.tanh), None),
    "relu": (FLAT, lambda x: K.ReLU()(K.Dense(3)(x)), None),
    "signs": (FLAT, K.Dense(3, activation="ste_sign"), None),
    "scaled sigmoids": (
        FLAT,
        lambda x: K.Rescaling(255.0)(K.Dense(3, activation="sigmoid")(x)),
        None,
    ),
    "flattened pixels": (
        IMAGE,
        lambda x: K.Flatten()(K.Conv2D(3, 3, activation="sigmoid")(x)),
        None,
    ),
    "pixels": (IMAGE, K.Conv2D(3, 3), None),
    "restored input": (FLAT, lambda x: K.Dense(5)(K.Dense(2)(x)), None),
    "one value": (FLAT, K.Dense(1), None),
    "comparisons": (FLAT, lambda x: K.Dense(3)(x) > 0, None),
    "a number a sample": (FLAT, lambda x: K.Dense(1)(x)[:, 0], None),
}


@pytest.mark.parametrize("name", CASES)
def test_where_labels_are(name):
    shape, build, axis = CASES[name]
    inputs = tf_keras.Input(shape)
    assert label_axes(tf_keras.Model(inputs, build(inputs))) == [axis]


@pytest.mark.parametrize(
    ("activation", "axis"),
    [("softmax", 1), ("sigmoid", None), ("tanh", None), (None, 1)],
)
def test_where_labels_are_in_quantization_aware_and_wrapped_models(activation, axis):
    inputs = tf_keras.Input(FLAT)
    model = tf_keras.Model(inputs, K.Dense(3, activation=activation)(inputs))
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    assert label_axes(lq.qat.quantize_model(model, calibrate=x)) == [axis]
    steps = tf_keras.Input((4, 5))
    dense = K.TimeDistributed(K.Dense(3, activation=activation))
    wanted = 2 if activation == "softmax" else None
    assert label_axes(tf_keras.Model(steps, dense(steps))) == [wanted]


CROSS_ENTROPY = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("loss", "flat", "pixels"),
    [
        ("mse", None, None),
        (tf_keras.losses.MeanAbsoluteError(), None, None),
        (tf_keras.losses.binary_crossentropy, None, None),
        ("sparse_categorical_crossentropy", 1, 3),
        (CROSS_ENTROPY, 1, 3),
        (lambda truth, found: found, 1, None),
        ({"flat": "mse", "pixels": CROSS_ENTROPY}, None, 3),
        (["categorical_hinge", "huber"], 1, None),
    ],
)
def test_the_loss_says_what_an_output_is(loss, flat, pixels):
    inputs = tf_keras.Input(IMAGE)
    image = K.Conv2D(3, 3, name="pixels")(inputs)
    dense = K.Dense(4, name="flat")(K.Flatten()(image))
    model = tf_keras.Model(inputs, [dense, image])
    model.compile("sgd", loss)
    assert label_axes(model) == [flat, pixels]


def test_ties_are_counted_apart_and_nan_gives_no_label():
    keras = np.array([[1, 2, 3], [5, 5 - 1e-6, 0], [1, 2, 3], [np.nan, 1, 2]])
    file = np.array([[1, 2, 3], [5 - 1e-6, 5, 0], [3, 2, 1], [0, 1, 2]])
    for axis in (1, 2):
        labels = Labels(axis)
        one, two = (np.moveaxis(a[:, None], -1, axis) for a in (keras, file))
        for part in (slice(1), slice(1, 4)):  # as batches
            labels.add(Wanted(one[part], limit=1e-5), two[part])
        assert (labels.count, labels.agreeing, labels.ties) == (3, 1, 1)
    nothing = Labels(None)
    nothing.add(Wanted(keras), file)
    assert nothing.count == 0


ACTIVATIONS = (tf_keras.activations.sigmoid, tf_keras.activations.tanh)


def test_an_exact_file_is_ok_whatever_its_outputs_are(tmp_path):
    inputs = tf_keras.Input((8, 8, 3))
    x = lq.layers.QuantConv2D(16, 3, padding="same", **BINARY)(inputs)
    x = K.BatchNormalization()(x)
    flat = K.GlobalAveragePooling2D()(x)
    outputs = {
        "image": K.Conv2D(3, 3, activation="sigmoid")(x),
        "generated": K.Conv2D(3, 3, activation="tanh")(x),
        "multi": K.Dense(11, activation="sigmoid")(flat),
        "sums": lq.layers.QuantDense(5, **BINARY)(flat),
        "classes": K.Dense(4, activation="softmax")(flat),
        "pixels": K.Softmax()(K.Conv2D(4, 3)(x)),
    }
    outputs = [K.Activation("linear", name=n)(x) for n, x in outputs.items()]
    model = with_random_weights(tf_keras.Model(inputs, outputs))
    for layer in model.layers:  # saturated, so that there are ties
        if getattr(layer, "activation", None) in ACTIVATIONS:
            layer.kernel.assign(10 * layer.kernel)
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file)
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
    found = lq.deploy.verify(model, file, x, stock=False)
    assert found.exact
    assert found.ok
    labels = {output.name: output.labels for output in found.outputs}
    assert labels == {
        **dict.fromkeys(("image", "generated", "multi"), 0),
        "sums": 16,
        "classes": 16,
        "pixels": 16 * 36,
    }


def test_other_labels_are_not_ok(tmp_path):
    model = tf_keras.Sequential([tf_keras.Input((5,)), K.Dense(3, name="out")])
    with_random_weights(model)
    lq.deploy.export(model, tmp_path / "net.onnx")
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([kernel[:, ::-1], bias])
    x = np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32)
    found = lq.deploy.verify(model, tmp_path / "net.onnx", x, stock=False)
    (output,) = found.outputs
    assert output.labels == 16 > output.agreeing
    assert not output.ok
    assert not found.ok


def test_signs_of_sums_that_are_ties_are_told_apart(tmp_path):
    """Keras' float sums of scaled kernels miss an exact zero, and its sign decides."""
    tf_keras.utils.set_random_seed(1)
    scaled = BINARY | {"kernel_quantizer": "magnitude_aware_sign", "padding": "same"}
    layers = []
    for number in range(3):
        layers += [
            lq.layers.QuantConv2D(16, 3, name=f"conv_{number}", **scaled),
            K.BatchNormalization(),
        ]
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), *layers])
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file)
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32)
    found = lq.deploy.verify(model, file, x, stock=False)
    assert found.exact
    assert found.first_departing == "conv_1"
    flips = found.layers[1].run_flips
    # The exact sums of signs, and which of them are zero.
    signs = np.where(x < 0, -1.0, 1.0)
    kernel = np.where(model.layers[0].kernel.numpy() < 0, -1.0, 1.0)
    sums = tf.nn.conv2d(signs, kernel, 1, "SAME").numpy()
    assert 0 < flips.different == flips.ties <= (sums == 0).sum()
    assert f"{flips.ties:,} of its {flips.different:,} flips are ties" in str(found)


def test_signs_of_saturated_sigmoids_are_told_apart(tmp_path):
    """Keras gives 1e-11, the runtime 0, and a quantizer asks whether that is positive."""
    gate = K.Dense(6, activation="sigmoid", name="gate")
    step = {"input_quantizer": "ste_heaviside", "kernel_quantizer": "ste_sign"}
    x = inputs = tf_keras.Input((8,))
    x = gate(lq.layers.QuantDense(4, name="first", **BINARY)(x))
    outputs = [lq.layers.QuantDense(4, name="last", **step)(x), x > 0]
    model = tf_keras.Model(inputs, outputs)
    gate.bias.assign(np.full(6, -25.0))
    file = tmp_path / "net.onnx"
    lq.deploy.export(model, file, verify=False)
    found = lq.deploy.verify(model, file, stock=False)
    row = found.layers[1]
    assert row.ok
    assert row.run_flips.different == row.run_flips.ties == 4 * 6
    assert [output.labels for output in found.outputs] == [4, 0]


def test_comparisons_are_compared(tmp_path):
    inputs = tf_keras.Input((8,))
    x = lq.layers.QuantDense(4, **BINARY)(inputs)
    model = tf_keras.Model(inputs, [x > 0, x[:, 0], x])
    lq.deploy.export(model, tmp_path / "net.onnx")
    found = lq.deploy.verify(model, tmp_path / "net.onnx", samples=7)
    assert found.ok
    assert [output.values.values for output in found.outputs] == [28, 7, 28]
