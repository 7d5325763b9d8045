"""Range quantizers against closed forms in NumPy: levels, ranges, gradients."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from larqlite.qat.quantizers import (
    AllValuesQuantizer,
    FixedQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from larqlite.qat.quantizers.internal import calibrating, of_weights
from tests.common.samples import in_turn
from tests.qat.closed_forms import (
    FORMS,
    RANGES,
    built,
    closed_form,
    ends_of,
    not_at_an_end,
    range_form,
    value_and_gradient,
)

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
@example(np.float32([1.1754944e-38]), 2, (False, False, False), True)
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
    # A value in the middle between two levels may go to either in float32, whose 24 bits
    # leave the less behind the point of a code the more bits it has.
    middle = np.abs(x - expected) > (0.499 - 2.0 ** (bits - 22)) * step
    tolerance = np.where(middle, 1.001 * step, 0) + 1e-4 * step + 1e-30
    assert (np.abs(y - expected) <= tolerance + 1e-6 * np.abs(expected)).all()
    sure = not_at_an_end(x, low, high, bits, narrow)
    np.testing.assert_array_equal(dx[sure], passes[sure])


@pytest.mark.parametrize(
    ("width", "per_axis"),
    in_turn([(cls, bits) for bits in range(1, 9) for cls in RANGES], [False, True]),
    ids=lambda value: (
        str(value)
        if isinstance(value, bool)
        else "-".join((value[0].__name__, str(value[1])))
    ),
)
def test_a_width_has_its_number_of_levels(width, per_axis):
    cls, bits = width
    for narrow in (False, True):
        # The wide symmetric range has one level more below 0 than above.
        top = 1.0 if narrow else 1 - 2 / 2**bits
        x = tf.reshape(tf.linspace(-1.0, top, 4000), (4000, 1)) * [[1.0, 0.25]]
        quantizer = cls(bits, per_axis=per_axis, symmetric=True, narrow_range=narrow)
        assert quantizer.precision == bits
        _, weights = built(quantizer, x.shape)
        with calibrating(0, len(x)):
            unrounded = quantizer(x, False, weights).numpy()
        np.testing.assert_array_equal(unrounded, x)
        with calibrating(0), of_weights():
            of_a_weight = quantizer(x, False, weights).numpy()
        stored = quantizer(x, False, weights).numpy()
        levels = 2 if bits == 1 else 2**bits - narrow
        for y in (of_a_weight, stored):
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


def test_calibration_sets_ranges_from_what_it_sees():
    batches = [[-1.0, 2.0], [-3.0, 1.0], [0.5, 6.0]]
    extremes = [-3.0, 6.0]
    expected = {
        (LastValueQuantizer, "minmax"): extremes,
        (MovingAverageQuantizer, "minmax"): extremes,
        (AllValuesQuantizer, "minmax"): extremes,
        (LastValueQuantizer, "moving_average"): extremes,
        (MovingAverageQuantizer, "moving_average"): [-4 / 3, 3.0],
        (AllValuesQuantizer, "moving_average"): extremes,
    }
    for (cls, method), (low, high) in expected.items():
        quantizer = cls(symmetric=False)
        _, weights = built(quantizer)
        weights["max_var"].assign(77.0)

        @tf.function
        def observe(x, count, quantizer=quantizer, weights=weights, method=method):
            with calibrating(count, 1, method):
                return quantizer(x, False, weights)

        for count, batch in enumerate(batches):
            observe(tf.constant([batch]), tf.constant(count))
        np.testing.assert_allclose(ends_of(weights), [low, high], rtol=1e-6)


def test_the_first_batch_of_a_calibration_heals_a_range_that_is_nan():
    for cls in RANGES:
        quantizer = cls(symmetric=False)
        _, weights = built(quantizer)
        weights["min_var"].assign(np.nan)
        with calibrating(0):
            quantizer(tf.constant([[-1.0, 2.0]]), True, weights)
        np.testing.assert_array_equal(ends_of(weights), [-1.0, 2.0])


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
