"""Calibration: ranges against their formula, kinds of samples, and bad ones."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite.integer.models import _equalize
from tests.common.eager import eagerly, quantize

layers = tf_keras.layers
models = lq.integer.models
RNG = np.random.default_rng(5)
ROWS = RNG.integers(-100, 100, (64, 6)).astype(np.float32)


def chain():
    return tf_keras.Sequential(
        [
            layers.Dense(4, input_shape=(6,), name="a"),
            layers.ReLU(name="r"),
            layers.Dense(2, name="b"),
        ]
    )


@pytest.fixture(scope="module")
def pair():
    """A float model, and it in integers, calibrated."""
    model = chain()
    return model, quantize(model, samples=ROWS, num_samples=64, batch_size=16)


@pytest.fixture
def uncalibrated(pair):
    """The same pair, the integers without ranges."""
    model, integers = pair
    kept = integers.get_weights()
    for quantizer in (layer.out_quantizer for layer in integers.layers[:-1]):
        if quantizer is not None:
            quantizer.reset()
    yield model, integers
    integers.set_weights(kept)


def test_a_range_is_the_moving_mean_of_the_batches():
    model = chain()
    integers = models.quantize(model, samples=ROWS, num_samples=64, batch_size=16)
    found = integers.get_layer("r").out_quantizer.range_max.numpy()
    rate = integers.get_layer("r").out_quantizer.rescaling_rate.numpy()
    kernel, bias = model.get_layer("a").get_weights()
    activations = np.maximum(ROWS @ kernel + bias, 0)
    expected = None
    for batch in np.split(activations, 4):
        largest = np.abs(batch).max()
        expected = largest if expected is None else 0.9 * expected + 0.1 * largest
    ideal = 255 / 256 * 2 ** np.floor(np.log2(expected))
    assert found == pytest.approx(ideal, rel=1e-6)
    assert rate == pytest.approx(ideal / expected, rel=1e-5)


def test_the_next_kernel_takes_back_what_equalization_changes(pair):
    model, integers = pair
    rate = integers.get_layer("r").out_quantizer.rescaling_rate.numpy()
    np.testing.assert_allclose(
        integers.get_layer("b").kernel.numpy() * rate,
        model.get_layer("b").kernel.numpy(),
        rtol=1e-6,
    )


@pytest.mark.parametrize(
    ("value", "ideal"),
    [(1.0, 255 / 256), (1.5, 255 / 256), (4.1, 255 / 64), (0.0, 0.0)],
)
def test_an_ideal_range_is_just_below_a_power_of_two(value, ideal):
    assert _equalize.ideal_range(np.float32(value), 8) == pytest.approx(ideal)


def test_a_range_of_exactly_1_counts_as_calibrated_once_it_was_set(uncalibrated):
    _, integers = uncalibrated
    assert models.calibration_required(integers)
    integers.get_layer("r").out_quantizer.calibrate(1.0)
    assert not models.calibration_required(integers)


def test_a_second_calibration_changes_nothing(pair):
    model, integers = pair
    before = integers.get_weights()
    with eagerly():
        models.calibrate(model, integers, samples=ROWS * 100)
    for old, new in zip(before, integers.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def generator():
    yield from np.split(ROWS, 4)


@pytest.mark.parametrize(
    "samples",
    [
        tf.data.Dataset.from_tensor_slices(ROWS).batch(16),
        tf.data.Dataset.from_tensor_slices((ROWS, ROWS[:, 0])).batch(16).repeat(),
        generator,
        list(np.split(ROWS, 4)),
    ],
    ids=["dataset", "labelled dataset without end", "generator", "list of batches"],
)
def test_datasets_and_generators_give_what_the_array_gives(pair, samples):
    samples = samples() if callable(samples) else samples
    model, expected = pair
    found = quantize(model, samples=samples, num_samples=64)
    for a, b in zip(expected.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_num_samples_limits_how_many_are_used():
    model = chain()
    first = quantize(model, samples=ROWS[:20])
    limited = quantize(model, samples=ROWS, num_samples=20)
    for a, b in zip(first.get_weights(), limited.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.full((8, 6), np.nan, "f"), "NaN"),
        (np.zeros((8, 5), "f"), r"\(8, 5\)"),
        (iter(()), "no samples"),
        ([[1.0, 2.0]], r"batch 0 has the shapes .*\n.*Fix: an array"),
        ([3.0], "Fix: an array"),
        (np.zeros((0, 6), "f"), "samples"),
        (3, "no data"),
    ],
    ids=[
        "NaN",
        "shape",
        "empty generator",
        "row",
        "numbers",
        "empty array",
        "number",
    ],
)
def test_bad_samples_are_refused_and_nothing_is_changed(uncalibrated, samples, message):
    model, integers = uncalibrated
    before = integers.get_weights()
    with pytest.raises(ArgumentError, match=message):
        models.calibrate(model, integers, samples=samples)
    assert models.calibration_required(integers)
    for old, new in zip(before, integers.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", ["num_samples", "epochs"])
def test_counts_below_1_are_refused(name):
    model = chain()
    with pytest.raises(ArgumentError, match=name):
        quantize(model, samples=ROWS, **{name: 0})


def test_models_that_do_not_belong_together_are_refused(uncalibrated):
    _, integers = uncalibrated
    other = tf_keras.Sequential([layers.Dense(4, input_shape=(6,), name="a")])
    with pytest.raises(ArgumentError, match='no layer "r"'):
        models.calibrate(other, integers, samples=ROWS)


def test_random_samples_warn_when_channels_have_ranges_of_their_own():
    model = tf_keras.Sequential(
        [layers.Conv2D(2, 3, input_shape=(8, 8, 3)), layers.Conv2D(2, 3)]
    )
    with pytest.warns(UserWarning, match="random samples"):
        quantize(model, num_samples=4)


def stateful():
    x = layers.Input(batch_shape=(2, 3, 4))
    y = layers.Dense(4, name="a")(x)
    y = layers.ReLU(name="r")(y)
    y = layers.Dense(4, name="b")(y)
    return tf_keras.Model(x, layers.LSTM(2, stateful=True, name="rnn")(y))


@pytest.mark.filterwarnings("ignore:.*stays float")
def test_a_model_with_a_state_takes_arrays_in_order():
    sequences = np.rint(RNG.normal(size=(8, 3, 4)) * 50).astype(np.float32)
    model = stateful()
    integers = quantize(model, samples=sequences, batch_size=2)
    relu = integers.get_layer("r").out_quantizer
    kernel, bias = model.get_layer("a").get_weights()
    expected = None
    for step in range(4):
        batch = sequences.reshape(2, 4, 3, 4)[:, step]
        largest = np.maximum(batch @ kernel + bias, 0).max((0, 1))
        expected = largest if expected is None else 0.9 * expected + 0.1 * largest
    measured = relu.range_max.numpy() / relu.rescaling_rate.numpy()
    np.testing.assert_allclose(measured, expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*stays float")
def test_a_model_with_a_state_takes_nothing_else():
    data = tf.data.Dataset.from_tensor_slices(np.zeros((4, 3, 4), "f")).batch(2)
    with pytest.raises(ArgumentError, match="must be an array"):
        quantize(stateful(), samples=data)
    with pytest.raises(ArgumentError, match="whole number of steps"):
        quantize(stateful(), samples=np.zeros((5, 3, 4), "f"))
