"""Range quantizers at their edges: graphs, dtypes, degenerate batches, bad arguments."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.primitives import batch_range, fake_quant
from larqlite.qat.quantizers import (
    FixedQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from tests.common.samples import in_turn
from tests.qat.closed_forms import (
    FORMS,
    RANGES,
    built,
    closed_form,
    ends_of,
    not_at_an_end,
    value_and_gradient,
)


@pytest.mark.parametrize(("form", "cls"), in_turn(FORMS, list(RANGES)))
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
    "negative, below the smallest step": np.full(4, -1e-37, "float32"),
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
