"""Quantizers in Keras 3: the values and gradients of tf_keras, on whatever back end."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

import larqlite as lq
from larqlite.errors import DtypeError, QuantizerError, UnknownQuantizerError
from tests.keras3 import gradients

BACKEND = keras.backend.backend()
CASES = [(name, given) for name, cases in gradients.CASES.items() for given in cases]


def test_every_quantizer_of_larqlite_is_compared():
    ours = {
        entry.target.__name__
        for entry in lq.quantizers.entries()
        if inspect.isclass(entry.target)
        and entry.target.__module__.startswith("larqlite.quantizers")
    }
    assert ours == set(gradients.CASES)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_values_and_gradients_are_those_of_tf_keras(name, given):
    values, gradient = gradients.compared(name, given)
    # Means are summed in another order by another library, and tanh has other last bits.
    exact = BACKEND == "tensorflow" or name in (
        *("SteSign", "ApproxSign", "SteHeaviside", "SwishSign", "NoOp", "RSign"),
    )
    assert values <= (0 if exact else 1e-6)
    assert gradient <= 1e-6


@pytest.mark.parametrize("name", ["SteSign", "SteHeaviside", "ApproxSign"])
def test_ties_and_what_is_no_number(name):
    x = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 1e-40])
    got = keras.ops.convert_to_numpy(getattr(lq.keras3, name)()(x))
    expected = {"SteHeaviside": [0, 0, np.nan, 1, 0]}.get(name, [1, 1, np.nan, 1, -1])
    np.testing.assert_array_equal(got[:5], np.float32(expected))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SteSign", "AdaBinWeights", "MagnitudeAwareSign"])
def test_the_dtype_is_that_of_the_input(name, dtype):
    x = keras.ops.cast(gradients.samples()[0], dtype)
    y = getattr(lq.keras3, name)()(x)
    assert keras.backend.standardize_dtype(y.dtype) == dtype
    expected = getattr(lq.quantizers, name)()(
        tf.cast(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")), dtype)
    )
    got = keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))
    expected = tf.cast(expected, tf.float32).numpy()
    assert gradients.difference(got, expected) <= (0 if name == "SteSign" else 0.008)


def test_what_names_a_quantizer():
    for identifier in (
        "ste_sign",
        "SteSign",
        lq.quantizers.SteSign,
        lq.quantizers.SteSign(),
        lq.quantizers.serialize(lq.quantizers.SteSign()),
        lq.keras3.SteSign(),
        keras.saving.serialize_keras_object(lq.keras3.SteSign()),
    ):
        got = lq.keras3.get(identifier)
        assert type(got) is lq.keras3.SteSign
        assert got.precision == 1
    assert lq.keras3.get(None) is None
    assert lq.keras3.get(keras.ops.relu) is keras.ops.relu
    with pytest.raises(UnknownQuantizerError, match='Did you mean "ste_sign"'):
        lq.keras3.get("ste_sing")
    with pytest.raises(UnknownQuantizerError, match="could not interpret 3"):
        lq.keras3.get(3)
    with pytest.raises(AttributeError, match='Did you mean "SteSign"'):
        _ = lq.keras3.SteSgin
    built = lq.quantizers.RSign()
    built.build((None, 2))
    with pytest.raises(QuantizerError, match="weights of tf_keras already"):
        lq.keras3.get(built)


@pytest.mark.parametrize(("name", "given"), CASES)
def test_either_keras_reads_what_the_other_wrote(name, given):
    quantizer = getattr(lq.keras3, name)(name="mine", **given)
    config = keras.saving.serialize_keras_object(quantizer)
    assert config["registered_name"] == f"larqlite>{name}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(quantizer)
    assert again.get_config() == quantizer.get_config()
    ours = lq.quantizers.deserialize(config)
    assert type(ours) is getattr(lq.quantizers, name)
    assert lq.keras3.get(ours).get_config() == quantizer.get_config()
    for key, value in given.items():
        assert getattr(ours, key) == value


def test_learned_levels_begin_with_the_first_batch_and_are_trained():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            lq.keras3.QuantDense(
                2,
                input_quantizer="lsq_plus",
                kernel_quantizer=lq.quantizers.LSQ(3, axis=-1),
            ),
        ]
    )
    layer = model.layers[0]
    quantizers = layer.input_quantizer, layer.kernel_quantizer
    assert [q.rule.low for q in quantizers] == [0, -4]
    x = np.random.default_rng(3).normal(size=(32, 4)).astype("float32")
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    # On JAX eager training would not take the way of users; elsewhere it is the same.
    eager = BACKEND == "tensorflow"
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=eager)
    model.fit(x, x[:, :2], batch_size=32, verbose=0)
    ours = lq.quantizers.LSQPlus()
    ours(x, training=True)
    begun = [keras.ops.convert_to_numpy(q.step_begun) for q in quantizers]
    np.testing.assert_allclose(begun[0], ours.step, rtol=1e-5)
    expected = 2 * np.abs(kernel).mean(0) / np.sqrt(3)
    np.testing.assert_allclose(begun[1], expected, rtol=1e-5)
    assert all(np.any(keras.ops.convert_to_numpy(q.step) != 0) for q in quantizers)
    model.fit(x, x[:, :2], batch_size=32, verbose=0)
    for quantizer, old in zip(quantizers, begun, strict=True):
        now = keras.ops.convert_to_numpy(quantizer.step_begun)
        np.testing.assert_array_equal(now, old)


def test_metrics_are_not_tracked_in_silence(caplog):
    lq.keras3.SteSign()
    assert not caplog.records
    lq.keras3.SteSign(metrics=["flip_ratio"])
    lq.keras3.get(lq.quantizers.SteSign(metrics=["flip_ratio"]))
    with lq.context.metrics_scope(["flip_ratio"]):
        lq.keras3.QuantDense(
            2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        )
    said = [r.message for r in caplog.records]
    assert len(said) == 3
    assert all("['flip_ratio'] are not tracked in Keras 3" in text for text in said)


@pytest.mark.parametrize("name", ["StochasticSign", "StochasticTernary"])
def test_in_training_alone_they_draw(name):
    x = np.full((4, 500), 0.25, "float32")
    first, again = (
        keras.ops.convert_to_numpy(getattr(lq.keras3, name)(seed=3)(x, training=True))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    # Five standard deviations of a mean of 2,000 draws.
    np.testing.assert_allclose(first.mean(), 0.25, atol=5 / 2000**0.5)
    layer = lq.keras3.QuantDense(
        500,
        kernel_quantizer=getattr(lq.keras3, name)(),
        kernel_initializer=keras.initializers.Constant(0.25),
        kernel_constraint="weight_clip",
    )
    ones = np.ones((1, 1), "float32")
    assert len(np.unique(keras.ops.convert_to_numpy(layer(ones, training=True)))) == 2
    assert len(np.unique(keras.ops.convert_to_numpy(layer(ones)))) == 1


def test_integers_are_refused():
    with pytest.raises(DtypeError, match=r'SteSign "s".*int'):
        lq.keras3.SteSign(name="s")(np.arange(3))


class Bell(lq.quantizers.Quantizer):
    """A sign as users write it, in words of no library."""

    precision = 1

    def forward(self, x):
        return lq.math.sign(x)

    def derivative(self, x):
        return lq.math.ops_of(x).exp(-4 * x * x)


class BellOfTensorFlow(Bell):
    def derivative(self, x):
        return tf.exp(-4 * x * x)

    def forward(self, x):
        return tf.sign(x)


class WithWeights(Bell):
    def build(self, input_shape):
        self.scale = self.add_weight("scale", ())
        super().build(input_shape)


def test_one_of_a_users_own():
    registered = lq.quantizers.register("bell_of_keras_3", package="theirs")(Bell)
    x, dy = gradients.samples((4, 3))
    layer = lq.keras3.get("bell_of_keras_3")
    assert isinstance(layer, lq.keras3.QuantizerOfKeras3)
    assert type(layer) is lq.keras3.get(registered).__class__
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == "theirs>Bell"
    y, gradient = gradients.in_keras_3(layer, x, dy)
    np.testing.assert_array_equal(y, np.where(x >= 0, 1, -1))
    np.testing.assert_allclose(gradient, dy * np.exp(-4 * x * x), rtol=1e-5, atol=1e-7)


def test_one_that_is_written_for_tensorflow():
    x = np.float32([[0.5, -0.5]])
    layer = lq.keras3.get(BellOfTensorFlow)
    if BACKEND == "tensorflow":
        assert np.array(layer(x)).tolist() == [[1, -1]]
    else:
        with pytest.raises(QuantizerError, match=f"back end of Keras is {BACKEND}"):
            gradients.in_keras_3(layer, x, x)


def test_one_with_weights_of_its_own():
    with pytest.raises(QuantizerError, match="WithWeights makes weights of tf_keras"):
        lq.keras3.get(WithWeights)
