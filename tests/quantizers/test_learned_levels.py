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


@pytest.mark.parametrize(("given", "low", "high"), ENDS)
def test_uniform_is_the_chain_rule(given, low, high):
    x = some((32, 6), 0.25, high)
    upstream = RNG.normal(size=x.shape)
    q, of_x, of_scale = value_and_gradients(
        built(Q.Uniform(**given), 6, 0.25), x, upstream
    )
    expected, whole, v, _ = levels_by_hand(x, 0.25, low, high)
    inside = (v >= low) & (v <= high)
    np.testing.assert_array_equal(q, expected)
    np.testing.assert_array_equal(of_x, upstream * inside)
    of_all = np.sum(upstream * np.where(inside, whole - v, whole))
    np.testing.assert_allclose(of_scale, of_all, rtol=1e-5)
    fixed = built(Q.Uniform(learned_scale=False, **given), 6, 0.25)
    assert not fixed.trainable_weights
    np.testing.assert_array_equal(fixed(x), q)


@pytest.mark.parametrize(
    ("given", "high"), [({"bits": 2}, 3), ({"bits": 4, "mode": "weights"}, 7)]
)
def test_pact_is_the_paper(given, high):
    alpha = 0.75 * high / 2
    low = -high if "mode" in given else 0
    x = some((16, 6), alpha / high, high)
    upstream = RNG.normal(size=x.shape)
    pact = built(Q.PACT(**given), 6, alpha)
    assert (pact.low, pact.high) == (low, high)
    q, of_x, of_alpha = value_and_gradients(pact, x, upstream)
    # Eq. 1: a clip, then k bits of [0, alpha].
    n = high / alpha
    clipped = np.clip(x, low / n, alpha)
    np.testing.assert_allclose(q, np.rint(clipped * n) / n, rtol=1e-6)
    inside = (x > low / n) & (x < alpha)
    np.testing.assert_array_equal(of_x, upstream * inside)
    slopes = np.where(x >= alpha, 1, np.where((x <= -alpha) & (low < 0), -1, 0))
    np.testing.assert_allclose(of_alpha, np.sum(upstream * slopes), rtol=1e-6)


def test_the_clip_of_pact_begins_where_it_is_told_and_its_square_is_in_the_loss():
    layer = lq.layers.QuantDense(
        2, input_quantizer=Q.PACT(2, alpha=1.5, l2=0.01), kernel_quantizer="pact"
    )
    layer.build((None, 3))
    assert float(layer.input_quantizer.alpha) == 1.5
    np.testing.assert_allclose(sum(layer.losses), 0.01 * 1.5**2, rtol=1e-6)
    assert Q.PACT(4)(tf.constant([[9.0]])).numpy().tolist() == [[6]]
    layer(tf.ones((1, 3)), training=True)
    largest = np.abs(layer.latent_weight()).max()
    assert float(layer.kernel_quantizer.alpha) == largest
    assert layer.quantized_weight().numpy().max() <= largest


def test_lsq_plus_is_the_paper():
    x = some((32, 6), 0.3, 7) - 0.5
    upstream = RNG.normal(size=x.shape)
    plus = built(Q.LSQPlus(3), 6, 0.25, -0.5)
    q, of_x, of_step, of_offset = value_and_gradients(plus, x, upstream)
    expected, whole, v, inside = levels_by_hand(x, 0.25, 0, 7, -0.5)
    np.testing.assert_array_equal(q, expected)
    np.testing.assert_array_equal(of_x, upstream * inside)
    scale = 1 / np.sqrt(6 * 7)
    of_all = np.sum(upstream * np.where(inside, whole - v, whole)) * scale
    np.testing.assert_allclose(of_step, of_all, rtol=1e-5)
    np.testing.assert_allclose(of_offset, np.sum(upstream * ~inside) * scale, rtol=1e-5)
    weights = built(Q.LSQPlus(3, mode="weights"), 6, 0.25)
    q, _, of_step = value_and_gradients(weights, x, upstream)
    expected, whole, v, inside = levels_by_hand(x, 0.25, -4, 3)
    np.testing.assert_array_equal(q, expected)
    slopes = upstream * np.where(inside, whole - v, whole)
    np.testing.assert_allclose(of_step, slopes.sum() / np.sqrt(x.size * 3), rtol=1e-5)


def test_lsq_plus_begins_with_a_small_error_where_lsq_cuts_off_what_is_below_zero():
    x = RNG.normal(size=(64, 8)).astype("float32")
    x = x / (1 + np.exp(-x))  # swish: a little below zero, a long way above
    errors = {}
    for name in ("lsq", "lsq_plus", "uniform"):
        quantizer = Q.get(name)
        errors[name] = np.square(quantizer(x, training=True) - x).mean()
    assert errors["lsq_plus"] < 0.25 * min(errors["lsq"], errors["uniform"])
    # Of an exhaustive search over ends, in steps of 1/40 of the range.
    best = np.inf
    for low in np.linspace(x.min(), 0, 40):
        for high in np.linspace(0, x.max(), 40)[1:]:
            step = (high - low) / 15
            best = min(
                best, np.square(levels_by_hand(x, step, 0, 15, low)[0] - x).mean()
            )
    assert errors["lsq_plus"] < 1.5 * best


def test_int_symmetric_has_a_scale_of_the_largest_weight_of_each_channel():
    x = RNG.normal(size=(3, 2, 4)).astype("float32")
    x[..., 2] = 0
    upstream = RNG.normal(size=x.shape)
    for axis, axes in ((-1, (0, 1)), (0, (1, 2)), (None, None)):
        quantizer = Q.IntSymmetric(3, axis=axis)
        q, of_x = value_and_gradients(quantizer, x, upstream)
        scale = np.abs(x).max(axes, keepdims=True) / 3
        whole = np.rint(x / np.where(scale == 0, 1, scale))
        assert np.abs(whole).max() == 3
        np.testing.assert_allclose(q, whole * scale, rtol=1e-6)
        np.testing.assert_array_equal(of_x, upstream.astype("float32"))
        np.testing.assert_array_equal(quantizer.codes(q), whole)
    with pytest.raises(lq.errors.ArgumentError, match=r"bits=1 .*\n.*Fix: bits=2"):
        Q.IntSymmetric(1)


def test_absmax_int8_has_a_scale_of_the_largest_of_each_token():
    x = RNG.normal(size=(3, 5, 7)) * 10.0 ** RNG.integers(-6, 6, (3, 5, 1))
    x = x.astype("float32")
    x[0, 0] = 0
    upstream = RNG.normal(size=x.shape)
    quantizer = Q.AbsmaxInt8()
    q, of_x = value_and_gradients(quantizer, x, upstream)
    scale = np.abs(x.astype("float64")).max(-1, keepdims=True) / 127
    whole = np.rint(x / np.where(scale == 0, 1, scale))
    assert np.abs(whole).max(-1).ravel().tolist() == [0] + [127] * 14
    np.testing.assert_allclose(q, whole * scale, rtol=1e-6)
    np.testing.assert_array_equal(of_x, upstream.astype("float32"))
    np.testing.assert_array_equal(quantizer.codes(q), whole)
    # A token has the same values in any company.
    np.testing.assert_array_equal(quantizer(x[1:2, 2:3]), q[1:2, 2:3])


BEGINNINGS = [
    (
        lambda mode: Q.LSQ(3, mode=mode),
        lambda x, high: [2 * np.abs(x).mean() / np.sqrt(high)],
    ),
    (
        lambda mode: Q.Uniform(3, mode=mode),
        lambda x, high: [np.abs(x).max() / high],
    ),
    (
        lambda mode: Q.LSQPlus(3, mode="weights", axis=-1),
        lambda x, high: [
            np.maximum(*(np.abs(x.mean(0) + k * x.std(0)) for k in (-3, 3))) / 4
        ],
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
    if quantizer.of_weights:  # of which all are there before too
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


def places():
    """A kernel and an input quantizer of each layer of a network."""
    return [
        (Q.LSQ(3), None),
        (Q.LSQ(2, axis=-1), Q.LSQ(3)),
        (Q.Uniform(4), Q.LSQPlus(3)),
        (Q.LSQPlus(3, axis=-1), Q.Uniform(3, signed=True)),
        (Q.PACT(4), Q.PACT(3, alpha=3.0, l2=1e-3)),
        (Q.LQLevels(2), Q.LQLevels(2)),
    ]


def network(every):
    """Float layers are bypassed, so that the deepest quantizer has a gradient too."""
    x = inputs = tf_keras.Input((6,))
    for kernel, of_input in places()[::every]:
        layer = lq.layers.QuantDense(
            6, kernel_quantizer=kernel, input_quantizer=of_input
        )
        x = tf_keras.layers.Add()([tf_keras.layers.BatchNormalization()(layer(x)), x])
    return tf_keras.Model(inputs, tf_keras.layers.Dense(2)(x))


@pytest.mark.parametrize(
    ("policy", "eagerly"),
    [
        ("mixed_bfloat16", True),
        pytest.param("mixed_bfloat16", False, marks=pytest.mark.slow),
        pytest.param("mixed_float16", False, marks=pytest.mark.slow),
        pytest.param("float32", False, marks=pytest.mark.slow),
    ],
)
def test_a_network_learns_and_so_do_its_levels(policy, eagerly, tmp_path):
    tf_keras.utils.set_random_seed(3)
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model = network(2 if eagerly else 1)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    x = RNG.normal(size=(64, 6)).astype("float32")
    y = np.stack([x[:, 0] * x[:, 1], np.abs(x[:, 2])], -1)
    model.compile(tf_keras.optimizers.Adam(0.01), "mse", run_eagerly=eagerly)
    learned = {
        (part.name, weight.name): weight
        for part in model.submodules
        if isinstance(part, Q.Quantizer)
        for weight in part.trainable_weights
    }
    assert len(learned) == (6 if eagerly else 10)
    size, epochs = (64, 6) if eagerly else (32, 10)
    model.fit(x, y, batch_size=size, epochs=1, verbose=0)
    begun = {name: weight.numpy() for name, weight in learned.items()}
    losses = model.fit(x, y, batch_size=size, epochs=epochs, verbose=0).history["loss"]
    assert losses[-1] < (0.9 if eagerly else 0.8) * losses[0]
    for name, weight in learned.items():
        assert weight.dtype == "float32"
        assert np.all(begun[name] > 0) or "offset" in weight.name
        assert np.any(weight.numpy() != begun[name]), name
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = lq.models.load(path)
    np.testing.assert_array_equal(loaded(x), model(x))
    for layer in model.layers:
        if isinstance(layer, lq.layers.QuantDense):
            values = layer.quantized_weight().numpy()
            assert np.unique(values[:, 0]).size <= 2**layer.kernel_quantizer.bits


def test_the_place_in_a_layer_says_whether_there_are_levels_below_zero():
    layer = lq.layers.QuantDense(2, input_quantizer="lsq", kernel_quantizer="lsq")
    assert (layer.input_quantizer.low, layer.kernel_quantizer.low) == (0, -8)
    again = type(layer).from_config(layer.get_config())
    assert (again.input_quantizer.low, again.kernel_quantizer.low) == (0, -8)
    wrapped = lq.qat.quantizers.NamedQuantizer("lsq", bits=3)
    assert wrapped.quantizer.low == 0


def test_a_kernel_that_would_lose_its_negative_weights_is_warned_of(caplog):
    lq.layers.QuantDense(2, kernel_quantizer=Q.LSQ(3, mode="activations"))
    (record,) = caplog.records
    assert 'Fix: LSQ(bits=3, mode="weights")' in record.message


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
    for cls in (Q.LSQ, Q.LSQPlus, Q.PACT, Q.Uniform):
        with pytest.raises(lq.errors.ArgumentError, match=message):
            cls(**given)
    with pytest.raises(lq.errors.ArgumentError, match=r"alpha=-1.0.*\n.*Fix: "):
        Q.PACT(alpha=-1.0)
    with pytest.raises(lq.errors.ArgumentError, match="axis 1"):
        Q.LSQ(axis=1).build((None, None))


@pytest.mark.slow
def test_two_replicas_begin_with_the_mean_of_what_their_halves_say(run_fork):
    printed = run_fork(
        """
        import numpy as np, tensorflow as tf
        import larqlite as lq
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        import tf_keras
        x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            layers = [lq.layers.QuantDense(2, kernel_quantizer="lsq", input_quantizer=q)
                      for q in ("lsq", "uniform", "lq_levels")]
            image = tf_keras.Input((5,))
            model = tf_keras.Model(image, [layer(image) for layer in layers])
            model.compile(tf_keras.optimizers.SGD(0.0), "mse")
        model.fit(x, [np.ones((8, 2), "float32")] * 3, batch_size=8, verbose=0)
        halves = np.abs(x.reshape(2, 4, 5))
        np.testing.assert_allclose(
            layers[0].input_quantizer.step, 2 * halves.mean() / np.sqrt(15), rtol=1e-5
        )
        np.testing.assert_allclose(
            layers[1].input_quantizer.scale, halves.max((1, 2)).mean() / 15, rtol=1e-5
        )
        kernel = layers[0].latent_weight().numpy()
        np.testing.assert_allclose(
            layers[0].kernel_quantizer.step,
            2 * np.abs(kernel).mean() / np.sqrt(7), rtol=1e-5,
        )
        print("begun", bool(np.any(layers[2].input_quantizer.basis)))
        """
    )
    assert printed.split()[-2:] == ["begun", "True"]
