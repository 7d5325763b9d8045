"""What a model carries beside its layers: its class, losses, metrics, flags, names."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from tests.common.eager import quantize, quantize_apply, quantize_model
from tests.copies.networks import with_weights

L = tf_keras.layers
X = np.random.default_rng(0).integers(0, 3, (8, 6)).astype("float32")
Y = np.zeros((8, 2), "float32")
T = lq.integer.models.transforms


@tf_keras.saving.register_keras_serializable("tests_copies")
class Own(tf_keras.Model):
    """Trains and tests in a way of its own."""

    def train_step(self, data):
        return {**super().train_step(data), "mine": tf.constant(1.0)}

    def test_step(self, data):
        return {**super().test_step(data), "mine": tf.constant(2.0)}


def own_model():
    inputs = tf_keras.Input((6,))
    hidden = L.Dense(4, activation="relu", name="hidden")(inputs)
    model = Own(inputs, L.Dense(2, name="last")(hidden), name="own")
    with_weights(model, seed=1)
    model.add_loss(tf.reduce_mean(hidden**2))
    model.add_metric(tf.reduce_max(hidden), name="top", aggregation="mean")
    model.labels = ["cat", "dog"]
    return model


WAYS = {
    "quantize_model": lambda m: quantize_model(m, scheme="int16", calibrate=X),
    "annotate": lambda m: quantize_apply(
        qat.quantize_annotate_model(m), "int16", calibrate=X
    ),
    "freeze": lq.models.freeze,
    "sanitize": T.sanitize,
    "flatten_nested": T.flatten_nested,
    "integer": lambda m: quantize(m, samples=X),
}


IN_SHORT = [("quantize_model", True), ("freeze", False), ("integer", True)]
CASES = [
    pytest.param(*case, marks=() if case in IN_SHORT else pytest.mark.slow)
    for case in itertools.product(WAYS, (False, True))
]


@pytest.mark.parametrize(("way", "is_nested"), CASES)
def test_the_class_and_added_losses_and_metrics_are_kept(way, is_nested):
    model = own_model()
    if is_nested:
        inputs = tf_keras.Input((6,))
        model = Own(inputs, L.ReLU()(model(inputs)))
        model.labels = ["cat", "dog"]
    # One of them in a graph, where losses and metrics are traced.
    is_eager = way != "freeze"
    model.compile("sgd", "mse", run_eagerly=is_eager)
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert expected["loss"] > np.mean(model(X) ** 2) * 1.01
    copied = WAYS[way](model)
    assert type(copied) is Own
    assert copied.labels == ["cat", "dog"]
    copied.compile("sgd", "mse", run_eagerly=is_eager)
    found = copied.evaluate(X, Y, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=0.1 if way == "integer" else 0.02)
    if way != "integer":
        history = copied.fit(X, Y, verbose=0).history
        assert sorted(history) == ["loss", "mine", "top"]


def test_a_copy_with_a_loss_is_loaded_from_its_file(tmp_path):
    copied = quantize_model(own_model(), calibrate=X)
    copied.compile("sgd", "mse", run_eagerly=True)
    copied.save(tmp_path / "own.keras")
    again = lq.models.load(tmp_path / "own.keras")
    assert type(again) is Own
    again.compile("sgd", "mse", run_eagerly=True)
    for a, b in zip(
        again.evaluate(X, Y, verbose=0), copied.evaluate(X, Y, verbose=0), strict=True
    ):
        assert a == pytest.approx(b, rel=1e-6)


def test_layers_that_only_a_loss_reads_are_copied_and_stay_float():
    inputs, labels = tf_keras.Input((6,)), tf_keras.Input((2,), name="labels")
    hidden = L.Dense(4, name="hidden")(inputs)
    outputs = L.Dense(2, name="last")(hidden)
    model = tf_keras.Model([inputs, labels], outputs)
    guess = L.Dense(2, name="aside")(hidden)
    model.add_loss(tf.reduce_mean((guess - labels) ** 2))
    quantized = quantize_model(model, scheme="int16", calibrate=[X, Y])
    assert type(quantized.get_layer("aside")) is L.Dense
    for a, b in ((model, quantized), (model, lq.models.freeze(model))):
        losses = []
        for part in (a, b):
            part([X, Y])
            losses.append(float(part.losses[0]))
        assert losses[1] == pytest.approx(losses[0], rel=0.01)


def test_a_layer_shared_with_a_loss_stays_float_in_integers():
    inputs = tf_keras.Input((6,))
    shared, first = L.Dense(6, name="shared"), L.Dense(6, name="first")
    hidden = first(inputs)
    model = tf_keras.Model(inputs, shared(hidden))
    model.add_loss(tf.reduce_sum(shared(shared(hidden)) ** 2))
    with pytest.warns(UserWarning, match='"shared".*stays float'):
        integers = quantize(model, samples=X)
    assert type(integers.get_layer("shared")) is L.Dense
    assert len(integers.losses) == 1


def test_a_loss_that_is_a_function_is_said_by_name():
    model = own_model()
    model.add_loss(lambda: tf.reduce_sum(model.get_layer("last").kernel))
    for way in ("quantize_model", "freeze"):
        with pytest.warns(UserWarning, match='"own".*add_loss') as said:
            WAYS[way](model)
        assert len(said) == 1
    model = own_model()
    layer = model.get_layer("last")
    layer.add_loss(lambda: tf.reduce_sum(layer.kernel))
    with pytest.warns(UserWarning, match='"last".*add_loss'):
        lq.models.freeze(model)


class Fixed(tf_keras.Model):
    """Makes its graph itself, from arguments that are not those of a model."""

    def __init__(self, width):
        inputs = tf_keras.Input((6,))
        super().__init__(inputs=inputs, outputs=L.Dense(width)(inputs))

    def train_step(self, data):
        return {"mine": tf.constant(1.0)}


@pytest.mark.parametrize("way", ["quantize_model", "freeze"])
def test_a_class_that_cannot_be_kept_is_said_by_name(way):
    with pytest.warns(
        UserWarning, match="no Fixed but a plain model, without train_step"
    ):
        copied = WAYS[way](Fixed(2))
    assert not isinstance(copied, Fixed)
    np.testing.assert_allclose(copied(X).shape, (8, 2))


class Chain(tf_keras.Sequential):
    """A Sequential model with a training step of its own."""

    def train_step(self, data):
        return {**super().train_step(data), "mine": tf.constant(1.0)}


def test_a_sequential_class_of_ones_own_is_kept():
    model = Chain([tf_keras.Input((6,)), L.Dense(4, activation="relu"), L.Dense(2)])
    for way in ("freeze", "integer"):
        copied = WAYS[way](model)
        assert type(copied) is Chain, way
        copied.compile("sgd", "mse", run_eagerly=True)
        if way != "integer":
            assert "mine" in copied.fit(X, Y, verbose=0).history


def test_each_layer_and_model_is_trainable_as_before():
    inner = tf_keras.Sequential([tf_keras.Input((6,)), L.Dense(5), L.Dense(4)])
    tail = [L.Dense(3), L.BatchNormalization(), L.Dense(2)]
    model = tf_keras.Sequential([tf_keras.Input((6,)), inner, *tail])
    inner.trainable = False
    inner.layers[1].trainable = True
    model.layers[1].trainable = False
    shapes = [w.shape for w in model.trainable_weights]
    for way in ("quantize_model", "freeze"):
        copied = WAYS[way](model)
        assert [w.shape for w in copied.trainable_weights] == shapes, way
        part = next(p for p in copied.layers if isinstance(p, tf_keras.Model))
        flags = [layer.trainable for layer in part.layers if layer.weights]
        assert (part.trainable, flags) == (False, [False, True]), way
    model.trainable = False
    assert WAYS["quantize_model"](model).trainable_weights == []


def test_penalties_and_constraints_are_kept():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((4, 4, 2)),
            L.Conv2D(4, 3, groups=2, kernel_regularizer="l2", bias_regularizer="l1"),
            L.SeparableConv2D(
                3, 2, depthwise_regularizer="l2", activity_regularizer="l2"
            ),
            L.Dense(2, kernel_constraint="max_norm", activity_regularizer="l1"),
        ]
    )
    x = np.ones((2, 4, 4, 2), "float32")
    model(x)
    expected = sorted(float(loss) for loss in model.losses)
    for copied in (
        quantize_model(model, scheme="int16", calibrate=x),
        lq.models.freeze(model),
        T.grouped_to_depthwise(model),
        T.split_activations(model),
    ):
        copied(x)
        found = sorted(float(loss) for loss in copied.losses)
        np.testing.assert_allclose(found, expected, rtol=0.02)
    assert T.split_activations(model).layers[-1].kernel_constraint is not None


def test_new_names_differ_from_those_that_are_there():
    binary = lq.layers.QuantDense(
        3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    binary._name = "quant_fc"
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            L.Dense(3, name="fc"),
            binary,
            L.Dense(2, name="quantize_layer"),
        ]
    )
    quantized = quantize_model(model, calibrate=X)
    names = [layer.name for layer in quantized.layers]
    assert len(set(names)) == len(names)
    assert {"quant_fc", "quant_fc_1"} <= set(names)


def test_a_lambda_as_an_activation_is_kept():
    model = tf_keras.Sequential(
        [tf_keras.Input((6,)), L.Dense(3, activation=lambda x: 2 * x)]
    )
    np.testing.assert_array_equal(lq.models.freeze(model)(X), model(X))
    quantized = quantize_apply(model, {"*": "int16"}, calibrate=X)
    np.testing.assert_allclose(quantized(X), model(X), atol=1e-2)
