"""Range quantizers against closed forms in NumPy: levels, ranges, gradients, dtypes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

import larqlite as lq
from larqlite.qat.quantizers import (
    AllValuesQuantizer,
    FixedQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from larqlite.qat.quantizers._calibration import calibrating
from larqlite.qat.quantizers._fake_quant import batch_range, fake_quant

RANGES = (LastValueQuantizer, MovingAverageQuantizer, AllValuesQuantizer)
FORMS = list(itertools.product((False, True), repeat=3))  # per axis, symmetric, narrow


def built(quantizer, shape=()):
    layer = tf_keras.layers.Layer()
    return layer, quantizer.build(tf.TensorShape(shape), "x", layer)


def ends_of(weights) -> list:
    return [weights["min_var"].numpy(), weights["max_var"].numpy()]


def value_and_gradient(function, x):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y.numpy(), tape.gradient(y, x).numpy()


def closed_form(x, low, high, bits, narrow):
    """Quantized values, whether the gradient passes, and the step, in float64."""
    x, low, high = (np.asarray(v, np.float64) for v in (x, low, high))
    first, last = float(narrow), 2.0**bits - 1
    step = (high - low) / (last - first)
    safe = np.where(step == 0, 1, step)
    zero = np.clip(np.floor(first - low / safe + 0.5), first, last)
    lowest, highest = (first - zero) * step, (last - zero) * step
    clipped = np.clip(x, lowest, highest)
    codes = np.floor((clipped - lowest) / safe + 0.5)
    return codes * step + lowest, (x >= lowest) & (x <= highest), step


def not_at_an_end(x, low, high, bits, narrow):
    """Where rounding in float32 cannot decide whether a gradient passes."""
    below, above = (
        closed_form(x * factor, low, high, bits, narrow)[1]
        for factor in (1 - 1e-5, 1 + 1e-5)
    )
    return below == above


def range_form(x, symmetric, narrow, bits, axes):
    smallest, largest = np.min(x, axes), np.max(x, axes)
    if not symmetric:
        return np.minimum(smallest, 0), np.maximum(largest, 0)
    ratio = -1 if narrow else -(2**bits - 2) / 2**bits
    return np.minimum(smallest, largest / ratio), np.maximum(largest, smallest * ratio)


floats = st.floats(-100, 100, width=32, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(
    x=arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=1, max_dims=5, max_side=4),
        elements=floats,
    ),
    bits=st.integers(2, 16),
    form=st.sampled_from(FORMS),
    training=st.booleans(),
)
def test_any_array_is_rounded_to_the_nearest_level_of_its_range(
    x, bits, form, training
):
    per_axis, symmetric, narrow = form
    quantizer = LastValueQuantizer(bits, per_axis, symmetric, narrow)
    _, weights = built(quantizer, x.shape)
    y, dx = value_and_gradient(lambda x: quantizer(x, training, weights), x)
    if training:
        axes = tuple(range(x.ndim - 1)) if per_axis else None
        low, high = range_form(x, symmetric, narrow, bits, axes)
        np.testing.assert_allclose(ends_of(weights), [low, high], rtol=1e-6, atol=1e-30)
    else:
        low, high = -6.0, 6.0
    expected, passes, step = closed_form(x, low, high, bits, narrow)
    # A value in the middle between two levels may go to either in float32.
    middle = np.abs(x - expected) > 0.499 * step
    tolerance = np.where(middle, 1.001 * step, 0) + 1e-4 * step + 1e-30
    assert (np.abs(y - expected) <= tolerance + 1e-6 * np.abs(expected)).all()
    sure = not_at_an_end(x, low, high, bits, narrow)
    np.testing.assert_array_equal(dx[sure], passes[sure])


@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("cls", RANGES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_a_width_has_its_number_of_levels(bits, cls, per_axis):
    for narrow in (False, True):
        # The wide symmetric range has one level more below 0 than above.
        top = 1.0 if narrow else 1 - 2 / 2**bits
        x = tf.reshape(tf.linspace(-1.0, top, 4000), (4000, 1)) * [[1.0, 0.25]]
        quantizer = cls(bits, per_axis=per_axis, symmetric=True, narrow_range=narrow)
        assert quantizer.precision == bits
        _, weights = built(quantizer, x.shape)
        with calibrating(0):
            calibrated = quantizer(x, False, weights).numpy()
        stored = quantizer(x, False, weights).numpy()
        levels = 2 if bits == 1 else 2**bits - narrow
        for y in (calibrated, stored):
            assert len(np.unique(y[:, 0])) == levels
            if per_axis:
                assert len(np.unique(y[:, 1])) == levels
            elif bits > 2:
                assert len(np.unique(y[:, 1])) < levels
            if bits == 1:
                assert set(y[:, 0]) == {y[:, 0].max(), -y[:, 0].max()}


def test_fixed_ranges_obey_their_bits():
    x = tf.linspace(-1.0, 7.0, 4000)
    for bits in range(2, 9):
        y = FixedQuantizer(bits, 0.0, 6.0)(x, False, {}).numpy()
        np.testing.assert_allclose(np.unique(y), np.linspace(0, 6, 2**bits), atol=1e-5)
    assert set(FixedQuantizer(1, -2.0, 2.0)(x, False, {}).numpy()) == {-2.0, 2.0}


@pytest.mark.parametrize("per_axis", [False, True])
def test_one_bit_is_plus_and_minus_the_mean_magnitude(per_axis):
    x = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype("float32")
    quantizer = LastValueQuantizer(1, per_axis)
    _, weights = built(quantizer, x.shape)
    y, dx = value_and_gradient(lambda x: quantizer(x, True, weights), x)
    scale = np.abs(x).mean((0, 1, 2) if per_axis else None)
    np.testing.assert_allclose(y, np.where(x >= 0, scale, -scale), rtol=1e-6)
    np.testing.assert_allclose(ends_of(weights), [-scale, scale], rtol=1e-6)
    np.testing.assert_array_equal(dx, np.ones_like(x))
    # The scale of the least squared error, as XNOR-Net proves.
    error = [
        np.square(x - s * np.where(x >= 0, scale, -scale)).sum()
        for s in (0.99, 1, 1.01)
    ]
    assert error[1] == min(error)
    np.testing.assert_array_equal(quantizer(tf.zeros(x.shape), True, weights), 0 * x)


def test_a_moving_average_forgets_a_thousandth_per_step():
    quantizer = MovingAverageQuantizer(8, per_axis=True)
    _, weights = built(quantizer, (4, 3))
    rng, expected = np.random.default_rng(1), np.float64([[-6] * 3, [6] * 3])
    for _ in range(20):
        x = rng.normal(size=(4, 3)).astype("float32") * [[1, 2, 3]]
        quantizer(tf.constant(x, tf.float32), True, weights)
        batch = [np.minimum(x.min(0), 0), np.maximum(x.max(0), 0)]
        expected = 0.999 * expected + 0.001 * np.float64(batch)
    np.testing.assert_allclose(ends_of(weights), expected, rtol=1e-6)


def test_all_values_are_remembered_per_axis():
    quantizer = AllValuesQuantizer(8, per_axis=True)
    _, weights = built(quantizer, (None, 2))
    for batch in ([[1.0, -2.0]], [[-3.0, 1.0]], [[0.5, 0.5]]):
        quantizer(tf.constant(batch), True, weights)
    np.testing.assert_array_equal(ends_of(weights), [[-3, -2], [1, 1]])


@pytest.mark.parametrize("cls", RANGES)
@pytest.mark.parametrize("training", [None, False, 0, np.False_])
def test_outside_of_training_ranges_stay(cls, training):
    quantizer = cls()
    _, weights = built(quantizer)
    before = ends_of(weights)
    y = quantizer(tf.constant([3.0, 99.0]), training, weights).numpy()
    np.testing.assert_array_equal(ends_of(weights), before)
    assert y.max() == pytest.approx(before[1], abs=0.03)


@pytest.mark.parametrize("cls", RANGES)
def test_training_may_be_a_tensor(cls):
    x, results = tf.constant([-1.0, 0.3, 2.0]), []
    for given_as in (
        lambda v: v,
        lambda v: tf.constant(v),
        lambda v: tf.constant(int(v)),
    ):
        quantizer = cls(4)
        _, weights = built(quantizer)
        call = tf.function(lambda x, t, q=quantizer, w=weights: q(x, t, w))
        both = [call(x, given_as(v)).numpy() for v in (False, True)]
        results.append((both, ends_of(weights)))
    for result in results[1:]:
        np.testing.assert_array_equal(result[0], results[0][0])
        np.testing.assert_array_equal(result[1], results[0][1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cls", RANGES)
def test_graphs_and_xla_do_as_eager_calls(cls, form):
    x = np.random.default_rng(3).normal(size=(2, 3, 5)).astype("float32")
    results = []
    for options in (None, {"autograph": False}, {"jit_compile": True}):
        quantizer = cls(5, *form)
        _, weights = built(quantizer, x.shape)

        def step(x, quantizer=quantizer, weights=weights):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = quantizer(x, True, weights)
            return y, tape.gradient(y, x)

        run = step if options is None else tf.function(step, **options)
        y, dx = run(tf.constant(x))
        results.append((y.numpy(), *ends_of(weights)))
        arguments = (x, *ends_of(weights), 5, form[2])
        sure = not_at_an_end(*arguments)
        np.testing.assert_array_equal(
            dx.numpy()[sure], closed_form(*arguments)[1][sure]
        )
    for result in results[1:]:
        for actual, expected in zip(result, results[0], strict=True):
            np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 6), (1, 2048)])
@pytest.mark.parametrize("cls", [*RANGES, FixedQuantizer])
def test_second_derivatives_are_zero_not_an_error(cls, shape):
    quantizer = cls(4)
    _, weights = built(quantizer, shape)
    x = tf.random.normal(shape)
    for per_axis in (False, True) if cls is not FixedQuantizer else (None,):
        if per_axis:
            quantizer = cls(4, True, True, True)
            _, weights = built(quantizer, shape)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.square(quantizer(x, True, weights)))
            first = inner.gradient(y, x)
        second = outer.gradient(first, x)
        # d/dx of 2 q(x) [inside], with dq/dx = [inside]: 2 [inside].
        assert set(np.unique(second)) <= {0.0, 2.0}
        assert np.mean(second.numpy() == 2) > 0.5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_other_dtypes_come_back_as_they_came(dtype, per_axis, bits):
    x = tf.cast(tf.random.normal((6, 4)), dtype)
    quantizer = LastValueQuantizer(bits, per_axis, narrow_range=True)
    _, weights = built(quantizer, (6, 4))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x, True, weights)
    assert y.dtype == tape.gradient(y, x).dtype == tf.as_dtype(dtype)
    assert weights["min_var"].dtype == tf.float32
    reference = LastValueQuantizer(bits, per_axis, narrow_range=True)
    _, others = built(reference, (6, 4))
    expected = tf.cast(reference(tf.cast(x, "float32"), True, others), dtype)
    np.testing.assert_array_equal(tf.cast(y, "float32"), tf.cast(expected, "float32"))


def test_ranges_stay_float32_in_mixed_precision():
    class Quantized(tf_keras.layers.Layer):
        def build(self, input_shape):
            self.ends = quantizer.build(input_shape, "x", self)

        def call(self, x):
            assert x.dtype == tf.float16
            assert tf.convert_to_tensor(self.ends["max_var"]).dtype == tf.float32
            return quantizer(x, True, self.ends)

    quantizer = MovingAverageQuantizer()
    layer = Quantized(dtype="mixed_float16")
    y = layer(tf.constant([[1.0, 70.0]]))
    assert y.dtype == tf.float16
    # 6 + 0.064, which float16 would round to 6.0625.
    np.testing.assert_allclose(layer.get_weights()[1], 6.064, rtol=1e-6)


DEGENERATE = {
    "all zero": np.zeros(4, "float32"),
    "one value": np.full(4, 0.7, "float32"),
    "one negative value": np.full(4, -0.7, "float32"),
    "nothing": np.zeros(0, "float32"),
    "below the smallest step": np.full(4, 1e-38, "float32"),
}


@pytest.mark.parametrize("form", FORMS[::2])
@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("cls", RANGES)
def test_degenerate_batches_give_numbers(cls, kind, form):
    x = DEGENERATE[kind]
    quantizer = cls(8, *form)
    x = x[:, None]
    _, weights = built(quantizer, (None, 1))
    y, dx = value_and_gradient(lambda x: quantizer(x, True, weights), x)
    assert np.isfinite(ends_of(weights)).all()
    assert np.isfinite(dx).all()
    if kind != "below the smallest step":
        np.testing.assert_allclose(y, x, atol=0.03)
        assert cls is not LastValueQuantizer or x.any() or (dx == 1).all()


def test_filters_that_died_out_do_not_become_nan():
    x = np.float32([[1e-40, 0.5], [1e-38, -1.0]])
    quantizer = LastValueQuantizer(8, True, True, True)
    _, weights = built(quantizer, x.shape)
    for training in (True, False):
        y, dx = value_and_gradient(lambda x, t=training: quantizer(x, t, weights), x)
        np.testing.assert_allclose(y, [[0, 0.5], [0, -1.0]], atol=0.005)
        np.testing.assert_array_equal(dx[:, 0], 1)


@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_seen_in_the_range(bits, value, per_axis):
    quantizer = LastValueQuantizer(bits, per_axis, narrow_range=True)
    _, weights = built(quantizer, (2, 1))
    quantizer(tf.constant([[0.5], [value]]), True, weights)
    assert not np.isfinite(ends_of(weights)).any()


def test_nan_stays_nan_in_a_range_of_numbers():
    x = tf.constant([np.nan, 1.0])
    operation = tf.quantization.fake_quant_with_min_max_vars(x, -1.0, 1.0)
    np.testing.assert_array_equal(fake_quant(x, -1.0, 1.0), operation)
    assert np.isnan(fake_quant(x, -1.0, 1.0, bits=1)[0])


def test_the_range_of_a_batch_carries_no_gradient():
    x = tf.constant([1.0, -3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.add_n(batch_range(x, symmetric=True))
    assert tape.gradient(y, x) is None


# Calibration.


def test_calibration_sets_ranges_from_what_it_sees():
    batches = [[-1.0, 2.0], [-3.0, 1.0], [0.5, 6.0]]
    expected = {
        LastValueQuantizer: [-0.0, 6.0],
        MovingAverageQuantizer: [-4 / 3, 3.0],
        AllValuesQuantizer: [-3.0, 6.0],
    }
    for cls, (low, high) in expected.items():
        quantizer = cls(symmetric=False)
        _, weights = built(quantizer)
        weights["max_var"].assign(77.0)

        @tf.function
        def observe(x, count, quantizer=quantizer, weights=weights):
            with calibrating(count):
                return quantizer(x, False, weights)

        for count, batch in enumerate(batches):
            observe(tf.constant(batch), tf.constant(count))
        np.testing.assert_allclose(ends_of(weights), [low, high], rtol=1e-6)


def test_the_first_batch_of_a_calibration_heals_a_range_that_is_nan():
    for cls in RANGES:
        quantizer = cls(symmetric=False)
        _, weights = built(quantizer)
        weights["min_var"].assign(np.nan)
        with calibrating(0):
            quantizer(tf.constant([-1.0, 2.0]), True, weights)
        np.testing.assert_array_equal(ends_of(weights), [-1.0, 2.0])


# Arguments and configurations.


@pytest.mark.parametrize("cls", [*RANGES, FixedQuantizer])
@pytest.mark.parametrize(
    "arguments",
    [{"num_bits": v} for v in (0, 17, -1, 2.5, "8", True, None)]
    + [{"narrow_range": v} for v in ("yes", None, 2)],
)
def test_a_bad_argument_is_refused_with_its_value(cls, arguments):
    with pytest.raises(lq.errors.ArgumentError) as raised:
        cls(**arguments)
    (name, value), text = *arguments.items(), str(raised.value)
    assert cls.__name__ in text
    assert name in text
    assert repr(value) in text
    assert "Fix:" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"init_min": 1.0, "init_max": 6.0}, "contain 0"),
        ({"init_min": 0.0, "init_max": 0.0}, "more than one value"),
        ({"init_min": float("nan")}, "finite number, got nan"),
        ({"init_max": float("inf")}, "finite number, got inf"),
        ({"init_min": "low"}, "'low'"),
        ({"num_bits": 1, "init_min": 0.0}, "init_min=-6.0"),
    ],
)
def test_a_bad_fixed_range_is_refused(arguments, words):
    with pytest.raises(lq.errors.ArgumentError, match=words):
        FixedQuantizer(**arguments)


def test_per_axis_needs_the_length_of_the_axis():
    with pytest.raises(lq.errors.ArgumentError, match=r'"x" of layer.*per_axis=True'):
        built(LastValueQuantizer(per_axis=True), (3, None))


def test_integers_are_refused():
    with pytest.raises(lq.errors.DtypeError, match=r"LastValueQuantizer.*int32"):
        LastValueQuantizer()(tf.constant([1]), True, {})


def test_defaults_are_those_of_the_guides():
    assert LastValueQuantizer().get_config() == {
        "num_bits": 8,
        "per_axis": False,
        "symmetric": True,
        "narrow_range": False,
    }
    for cls in (MovingAverageQuantizer, AllValuesQuantizer):
        assert cls().get_config()["symmetric"] is False


def test_variables_have_the_names_and_first_values_of_the_reference():
    for cls, end in zip(RANGES, (6.0, 6.0, 0.0), strict=True):
        layer, weights = built(cls())
        assert [w.name for w in layer.weights] == ["x_min:0", "x_max:0"]
        assert ends_of(weights) == [-end, end]
        assert not layer.trainable_weights
