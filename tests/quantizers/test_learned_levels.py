"""Evenly spaced learned levels: values, gradients and beginnings by hand, and training."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.quantizers.gradients import built, value_and_gradients

RNG = np.random.default_rng(20261130)
Q = lq.quantizers


def levels_by_hand(x, step, low, high, offset=0.0):
    """q(x), the integers, v, and where v is inside."""
    v = (x - offset) / step
    whole = np.rint(np.clip(v, low, high))
    return whole * step + offset, whole, v, (v > low) & (v < high)


# Arguments, and the integers of the lowest and the highest level.
ENDS = [
    ({"bits": 2}, 0, 3),
    ({"bits": 4, "signed": True}, -8, 7),
    ({"bits": 3, "mode": "weights"}, -4, 3),
    ({"bits": 3, "mode": "weights", "signed": False}, 0, 7),
    ({"bits": 8, "mode": "activations"}, 0, 255),
]


def some(shape, step, high):
    """Values around all levels, some on levels and some in their middles."""
    x = RNG.uniform(-1.5, 1.5, shape) * step * high
    x.ravel()[: 2 * high : 2] = np.arange(high)[: len(x.ravel()[: 2 * high : 2])] * step
    return x


@pytest.mark.parametrize(("given", "low", "high"), ENDS)
def test_lsq_is_the_paper(given, low, high):
    x = some((32, 6), 0.3, high)
    upstream = RNG.normal(size=x.shape)
    lsq = built(Q.LSQ(**given), 6, 0.3)
    assert (lsq.low, lsq.high) == (low, high)
    q, of_x, of_step = value_and_gradients(lsq, x, upstream)
    step = float(np.float32(0.3))
    expected, whole, v, inside = levels_by_hand(x, step, low, high)
    np.testing.assert_allclose(q, expected, rtol=1e-6)
    np.testing.assert_array_equal(of_x, upstream * inside)
    count = 32 * 6 if lsq.of_weights else 6
    slopes = np.where(inside, whole - v, whole)
    of_all = np.sum(upstream * slopes) / np.sqrt(count * high)
    np.testing.assert_allclose(of_step, of_all, rtol=1e-5)
    np.testing.assert_array_equal(lsq.codes(q), whole)


@pytest.mark.parametrize(("mode", "axis"), [("weights", -1), ("activations", 1)])
def test_each_channel_of_lsq_has_its_own_step(mode, axis):
    x = RNG.normal(size=(5, 3, 4))
    upstream = RNG.normal(size=x.shape)
    lsq = Q.LSQ(3, mode=mode, signed=True, axis=axis)
    lsq.build(x.shape)
    steps = np.linspace(0.1, 0.5, x.shape[axis], dtype="float32")
    lsq.set_weights([steps])
    q, of_x, of_step = value_and_gradients(lsq, x, upstream)
    shape = [1, 1, 1]
    shape[axis] = -1
    beside = steps.astype("float64").reshape(shape)
    expected, whole, v, inside = levels_by_hand(x, beside, -4, 3)
    np.testing.assert_allclose(q, expected, rtol=1e-6)
    np.testing.assert_array_equal(of_x, upstream * inside)
    others = tuple(a for a in range(3) if a != axis % 3)
    # Of weights all of a channel; of activations those of one example.
    count = {"weights": 15, "activations": 4}[mode]
    of_all = (upstream * np.where(inside, whole - v, whole)).sum(others)
    np.testing.assert_allclose(of_step, of_all / np.sqrt(count * 3), rtol=1e-5)


BEGINNINGS = [
    (
        lambda mode: Q.LSQ(3, mode=mode),
        lambda x, high: [2 * np.abs(x).mean() / np.sqrt(high)],
    ),
]


@pytest.mark.parametrize("mode", ["weights", "activations"])
@pytest.mark.parametrize(("make", "start"), BEGINNINGS)
def test_the_first_call_in_training_says_where_it_begins(make, start, mode):
    quantizer = make(mode)
    x, other = RNG.normal(size=(2, 16, 8)).astype("float32")
    before = quantizer(x).numpy()
    assert all(not np.any(weight) for weight in quantizer.get_weights())
    quantizer(np.zeros_like(x), training=True)  # which says nothing
    assert all(not np.any(weight) for weight in quantizer.get_weights())
    with tf.GradientTape() as tape:
        trained = quantizer(x, training=True)
        loss = tf.reduce_sum(trained * tf.constant(other))
    expected = start(x.astype("float64"), quantizer.high)
    np.testing.assert_allclose(quantizer.get_weights(), expected, rtol=1e-5)
    # Gradients are those of the next call, which uses what was stored.
    first = tape.gradient(loss, quantizer.trainable_variables)
    _, _, *second = value_and_gradients(quantizer, x, other)
    np.testing.assert_allclose(first, second, rtol=1e-6)
    np.testing.assert_array_equal(quantizer(x), trained)
    if mode == "weights":  # of which all are there before too
        np.testing.assert_allclose(before, trained, rtol=1e-6)
    stored = quantizer.get_weights()
    quantizer(other, training=True)
    quantizer(other)
    np.testing.assert_array_equal(quantizer.get_weights(), stored)


def test_in_a_graph_that_learns_at_run_time_whether_it_trains():
    lsq = Q.LSQ(4)
    lsq.build((None, 3))
    x = np.abs(RNG.normal(size=(4, 3))).astype("float32")

    @tf.function(input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((), "bool")])
    def call(x, training):
        return lsq(x, training=training)

    first = call(x, False)
    assert float(lsq.step) == 0
    call(x, True)
    assert np.isclose(lsq.step, 2 * x.mean() / np.sqrt(15))
    assert not np.array_equal(first, call(x, False))


def network(kernel, inputs, units=8):
    return tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            lq.layers.QuantDense(units, kernel_quantizer=kernel()),
            tf_keras.layers.BatchNormalization(),
            lq.layers.QuantDense(
                2, input_quantizer=inputs(), kernel_quantizer=kernel()
            ),
        ]
    )


TRAINED = {
    "lsq": (lambda: Q.LSQ(3), lambda: Q.LSQ(3)),
    "lsq of channels": (lambda: Q.LSQ(2, axis=-1), lambda: Q.LSQ(2, signed=True)),
}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", TRAINED)
def test_a_network_learns_and_so_do_its_levels(name, policy, tmp_path):
    if policy != "float32" and name != next(iter(TRAINED)):
        pytest.skip("the arithmetic is that of the first")
    tf_keras.utils.set_random_seed(3)
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model = network(*TRAINED[name])
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    x = RNG.normal(size=(64, 6)).astype("float32")
    y = np.stack([x[:, 0] * x[:, 1], np.abs(x[:, 2])], -1)
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    learned = [w for w in model.trainable_weights if "quantizer" not in w.name and any(
        part in w.name for part in ("step", "alpha", "offset"))]  # fmt: skip
    assert len(learned) >= 3
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    begun = [w.numpy() for w in learned]
    losses = model.fit(x, y, batch_size=32, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    for weight, old in zip(learned, begun, strict=True):
        assert weight.dtype == "float32"
        assert np.all(old > 0) or "offset" in weight.name
        assert np.any(weight.numpy() != old)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = lq.models.load(path)
    np.testing.assert_array_equal(loaded(x), model(x))
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), loaded(x))
    quantized = model.layers[0].quantized_weight().numpy()
    assert np.unique(quantized[:, 0]).size <= 2 ** model.layers[0].kernel_quantizer.bits


def test_the_place_in_a_layer_says_whether_there_are_levels_below_zero():
    layer = lq.layers.QuantDense(2, input_quantizer="lsq", kernel_quantizer="lsq")
    assert (layer.input_quantizer.low, layer.kernel_quantizer.low) == (0, -8)
    again = type(layer).from_config(layer.get_config())
    assert (again.input_quantizer.low, again.kernel_quantizer.low) == (0, -8)
    wrapped = lq.qat.quantizers.NamedQuantizer("lsq", bits=3)
    assert wrapped.quantizer.low == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bits": 0}, "bits must be a positive integer"),
        ({"bits": 2.0}, "bits must be a positive integer"),
        ({"mode": "weight"}, 'Did you mean "weights"'),
        ({"bits": 1, "signed": True}, r"bits=1 .*\n.*Fix: bits=2"),
    ],
)
def test_arguments_that_cannot_be_are_refused(given, message):
    with pytest.raises(lq.errors.ArgumentError, match=message):
        Q.LSQ(**given)
    with pytest.raises(lq.errors.ArgumentError, match="axis 1"):
        Q.LSQ(axis=1).build((None, None))
