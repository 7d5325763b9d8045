"""Quantizers against Python integers, and what surrounds them: flags, errors, gradients."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

import larqlite as lq
from larqlite.errors import LarqliteError
from larqlite.integer.layers import (
    AlignedWeightQuantizer,
    Dequantizer,
    OutputObserver,
    OutputQuantizer,
    Quantizer,
    WeightQuantizer,
)
from larqlite.integer.tensors import FixedPoint, QFloat, _saturation
from tests.integer.layers import numpy_layers

rng = np.random.default_rng(7)


def output_quantizer(x, range_max, rate=1.0, **config):
    quantizer = OutputQuantizer(**config)
    quantizer.build(x.shape)
    quantizer.calibrate(range_max, rate)
    return quantizer


@pytest.mark.parametrize(
    ("bitwidth", "signed"),
    [(1, True), (0, False), (2.5, True), (54, True), (53, False)],
)
def test_a_bitwidth_without_levels_is_refused(bitwidth, signed):
    with pytest.raises(ValueError, match=rf"bitwidth={bitwidth}.*\n.*Fix"):
        Quantizer(bitwidth, signed)


def test_the_sign_takes_one_of_the_bits():
    assert Quantizer(8).value_bits == 7
    assert Quantizer(8, signed=False).value_bits == 8
    assert Quantizer(1, signed=False).value_bits == 1


@pytest.mark.parametrize("bitwidth", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((3, 3, 4, 5), -1), ((3, 3, 4, 5), None), ((3, 3, 4, 2), -2), ((6,), -1)],
)
def test_weights_are_the_integers_nearest_to_them(bitwidth, shape, axis):
    w = rng.normal(size=shape).astype(np.float32)
    w.flat[0] = 0
    codes, scales = numpy_layers.weights(w, bitwidth, axis)
    q = WeightQuantizer(bitwidth, axis=axis)(w)
    np.testing.assert_array_equal(q.fp.values, codes)
    # A mean is a sum, whose order is the machine's.
    close = 1e-6 if bitwidth == 1 else 0
    np.testing.assert_allclose(q.scales, scales.reshape(q.scales.shape), rtol=close)
    assert q.fp.limit == max(1, 2 ** (bitwidth - 1) - 1)
    assert np.abs(codes).max() <= q.fp.limit
    if axis == -2:
        assert q.scales.shape == (4, 1)


def test_power_of_two_weights_use_the_bits_that_their_range_leaves():
    w = np.array([[0.01, 0.5, 1.0, 1.01, 127.0, 129.0, 0.0]], np.float32)
    q = WeightQuantizer(8, fp_quantizer=True)(w)
    assert isinstance(q, FixedPoint)
    np.testing.assert_array_equal(q.frac_bits, [7, 7, 7, 6, 0, -1, 7])
    # 1.0 needs the code 128, which 7 bits do not have.
    np.testing.assert_array_equal(q.values, [[1, 64, 127, 65, 127, 64, 0]])


def test_binary_weights_take_the_power_of_two_nearest_to_their_mean_magnitude():
    w = np.array([[0.25, 0.35, 3.0, 0.0], [-0.25, 0.39, -2.5, -0.5]], np.float32)
    q = WeightQuantizer(1, fp_quantizer=True)(w)
    np.testing.assert_array_equal(q.values, [[1, 1, 1, 1], [-1, 1, -1, -1]])
    # log2 of 0.25, 0.37, 2.75 and 0.25 is -2, -1.43, 1.46 and -2.
    np.testing.assert_array_equal(q.frac_bits, [2, 1, -1, 2])


def test_weights_of_zero_are_quantized_to_zero():
    q = WeightQuantizer(8)(tf.zeros((3, 2)))
    assert not np.any(q.fp.values)
    np.testing.assert_allclose(q.scales, 1e-6)


@pytest.mark.parametrize("bitwidth", [4, 8])
def test_aligned_weights_are_a_short_mantissa_and_a_shift(bitwidth):
    scales = np.array([0.5, 0.01, 3e-4, 7.0], np.float32)
    b = np.array([0.3, -0.7, 0.02, 1.0], np.float32)
    for frac in (0, 5):
        other = QFloat(FixedPoint(np.zeros((1, 4)), 27, frac), scales)
        q = AlignedWeightQuantizer(bitwidth)(b, other)
        expected = numpy_layers.bias(b, scales, frac, bitwidth=bitwidth)
        np.testing.assert_array_equal(q.fp.values, expected)
        assert q.fp.value_bits == 27
        assert q.scales is other.scales
        for value in expected:
            mantissa = int(value) and abs(int(value)) // (int(value) & -int(value))
            assert mantissa < 2 ** (bitwidth - 1)


def test_weights_are_aligned_on_a_fixed_point_too():
    other = FixedPoint(np.zeros((1, 2)), 27, [10, 3])
    q = AlignedWeightQuantizer()(np.array([0.3, -1.5], np.float32), other)
    # One mantissa for both: 6 fractional bits hold 1.5, of which 3 are used here.
    np.testing.assert_array_equal(q.values, [round(0.3 * 64) * 16, -12])
    np.testing.assert_array_equal(q.frac_bits, [10, 3])


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_an_output_is_that_of_python_integers(data):
    is_that_of_python_integers(data.draw)


@pytest.mark.slow
@settings(deadline=None, max_examples=240)
@given(st.data())
def test_more_outputs_are_those_of_python_integers(data):
    is_that_of_python_integers(data.draw)


def is_that_of_python_integers(draw):
    value_bits = draw(st.integers(8, 31))
    channels = draw(st.integers(1, 3))
    per_axis = draw(st.booleans())
    has_scales = draw(st.booleans())
    bitwidth = draw(st.integers(2, min(8, value_bits - 1)))
    edge = 2**value_bits
    one = st.integers(-edge, edge - 1) | st.sampled_from([-edge, edge - 1, 0, 1, -1])
    v = np.array(draw(st.lists(one, min_size=4 * channels, max_size=4 * channels)))
    v = v.reshape(2, 2, channels)
    frac = draw(st.integers(-5, 20))
    x = FixedPoint(tf.constant(v, tf.float64), value_bits, frac)
    scales = None
    if has_scales:
        some = st.floats(2.0**-20, 10, width=32) | st.sampled_from([0.25, 1.0])
        scales = np.array(
            draw(st.lists(some, min_size=channels, max_size=channels)), np.float32
        )
        x = QFloat(x, scales)
    size = (channels,) if per_axis else ()
    ranges = np.array(
        draw(
            st.lists(
                st.floats(2.0**-10, 2.0**12, width=32) | st.sampled_from([1.0, 4.0]),
                min_size=channels,
                max_size=channels,
            )
        ),
        np.float32,
    )
    ranges = ranges if per_axis else ranges[0]
    quantizer = output_quantizer(
        x, ranges, bitwidth=bitwidth, axis="per-axis" if per_axis else "per-tensor"
    )
    assert quantizer.range_max.shape == size
    y = quantizer(x)
    expected, frac_bits = numpy_layers.requantized(
        v, frac, bitwidth - 1, ranges, scales
    )
    np.testing.assert_array_equal(y.values, expected)
    np.testing.assert_array_equal(y.frac_bits, frac_bits)
    assert y.values.dtype == tf.float32


@pytest.mark.parametrize("bits", [13, 24, 31])
def test_one_step_gives_the_integers_and_gradients_of_many(bits):
    values = tf.constant(rng.integers(-(2**bits), 2**bits, size=(3, 4, 5)), tf.float64)
    scales = tf.constant(rng.uniform(1e-4, 2, 5), tf.float32)
    rate = tf.constant(rng.uniform(0.5, 2, 5), tf.float32)
    quantizer = output_quantizer(values, rng.uniform(0.1, 50, 5), rate, axis="per-axis")

    def many(values, scales):
        x = QFloat(FixedPoint(values, bits, 4), scales * rate)
        product, _ = x.promote(32).to_fixed_point(8)
        return product.rescale(FixedPoint.max_frac_bits(7, quantizer.range_max), 7)

    def one(values, scales):
        return quantizer(QFloat(FixedPoint(values, bits, 4), scales))

    results = []
    for function in (one, many):
        with tf.GradientTape() as tape:
            tape.watch([values, scales])
            y = function(values, scales)
            loss = tf.reduce_sum(y.to_float() * tf.range(5, dtype=tf.float32))
        results.append((y.values, *tape.gradient(loss, [values, scales])))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-6)
    np.testing.assert_allclose(results[0][2], results[1][2], rtol=1e-4)
    assert np.any(results[0][2])


def test_what_leaves_the_buffer_saturates_there():
    # 2^31 - 1 times 255 is far above 2^32; with these scales that is seen at the end.
    v = np.array([[2**31 - 1, -(2**31), 10**9, 5]])
    scales = np.float32(255 * 2.0**-31)
    x = QFloat(FixedPoint(tf.constant(v, tf.float64), 31, 0), scales)
    y = output_quantizer(x, 2.0**10, bitwidth=16)(x)
    expected, _ = numpy_layers.requantized(v, 0, 15, 2.0**10, scales)
    np.testing.assert_array_equal(y.values, expected)
    wide, _ = numpy_layers.requantized(v, 0, 15, 2.0**10, scales, buffer=52)
    assert np.any(wide != expected)


def test_what_saturates_is_counted_where_it_does():
    v = np.array([[[2**31 - 1, 1000], [-1030, 999], [-(2**31), 0]]])
    x = QFloat(FixedPoint(tf.constant(v, tf.float64), 31, 0), [255.0 * 2**-30, 0.125])
    quantizer = output_quantizer(x, [1.0, 128.0], axis="per-axis")
    with _saturation.counting() as counts:
        y = quantizer(x)
    # Both ends of the first channel leave 2^32, and the output. In the second 0.125 is
    # 255 / 2048, since a power of two is one code above the last: 124.5 and 124.4.
    np.testing.assert_array_equal(y.values, [[[127, 125], [0, 124], [-128, 0]]])
    assert counts.saturated == {"accumulator": 2, "output": 2}
    assert counts.total == {"accumulator": 6, "output": 6}


def test_a_range_of_one_is_a_range_once_it_was_set():
    quantizer = OutputQuantizer()
    assert not quantizer.is_calibrated
    quantizer.build((None, 4))
    assert not quantizer.is_calibrated
    quantizer.calibrate(1.0)
    assert quantizer.is_calibrated
    quantizer.reset()
    assert not quantizer.is_calibrated
    quantizer.range_max.assign(0.5)
    assert quantizer.is_calibrated


def test_the_pair_of_weights_of_the_reference_tells_whether_it_is_calibrated():
    quantizer = OutputQuantizer(axis="per-axis")
    quantizer.build((None, 4, 2))
    quantizer.set_weights([np.ones(2), np.ones(2)])
    assert not quantizer.is_calibrated
    quantizer.set_weights([np.array([1.0, 3.0]), np.ones(2)])
    assert quantizer.is_calibrated
    assert [w.name for w in quantizer.weights] == [
        "range_max:0",
        "rescaling_rate:0",
        "calibrated:0",
    ]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: OutputQuantizer(axis="per_axis"), ValueError, 'mean "per-axis"'),
        (lambda: OutputQuantizer(scale_bits=0), ValueError, "scale_bits=0"),
        (
            lambda: OutputQuantizer(axis="per-axis").build((None, 3)),
            ValueError,
            "batch",
        ),
        (lambda: OutputQuantizer()(tf.ones(3)), TypeError, "QFloat or a FixedPoint"),
        (
            lambda: OutputQuantizer()(FixedPoint([[1]], 7, 0)),
            ValueError,
            "nothing to reduce",
        ),
        (
            lambda: OutputQuantizer()(QFloat(FixedPoint([[1]], 33, 0), 1.0)),
            ValueError,
            "buffer_bitwidth=33",
        ),
        (
            lambda: WeightQuantizer()(FixedPoint([[1]], 7, 0)),
            TypeError,
            "float weights",
        ),
        (lambda: WeightQuantizer(axis="last"), ValueError, "axis='last'"),
        (lambda: WeightQuantizer(axis=3)(tf.ones((2, 2))), ValueError, "axis=3"),
        (lambda: AlignedWeightQuantizer()([1.0], 2.0), TypeError, "align on"),
        (lambda: OutputObserver(axis="all"), ValueError, "axis='all'"),
        (lambda: OutputObserver(momentum=2), ValueError, "momentum=2"),
    ],
)
def test_what_is_refused_says_what_and_how_to_do_it(make, error, text):
    with pytest.raises(error) as caught:
        make()
    assert isinstance(caught.value, LarqliteError)
    assert text in str(caught.value)
    assert "Fix: " in str(caught.value)


@pytest.mark.parametrize(
    "quantizer",
    [
        WeightQuantizer(1, axis=None),
        WeightQuantizer(8, fp_quantizer=True, axis=-2),
        AlignedWeightQuantizer(6, signed=False),
        OutputQuantizer(4, False, "per-axis", 6, 30),
        OutputObserver("per-axis", 0.5),
        Dequantizer(),
    ],
)
def test_a_configuration_makes_the_same_quantizer(quantizer):
    config = quantizer.get_config()
    again = type(quantizer).from_config(config)
    assert again.get_config() == config
    saved = tf_keras.saving.serialize_keras_object(quantizer)
    assert saved["registered_name"].startswith("larqlite.integer>")
    loaded = tf_keras.saving.deserialize_keras_object(saved)
    assert type(loaded) is type(quantizer)


@pytest.mark.parametrize("axis", ["per-tensor", "per-axis"])
def test_an_observer_follows_the_largest_magnitude(axis):
    observer = OutputObserver(axis)
    axes = None if axis == "per-tensor" else (0, 1)
    expected = None
    for _ in range(4):
        # 1.0 is a range as any other.
        x = rng.uniform(-1, 1, (3, 4, 2)).astype(np.float32)
        x[0, 0] = 1.0
        np.testing.assert_array_equal(observer(x), x)
        largest = np.abs(x).max(axes)
        expected = largest if expected is None else expected * 0.9 + largest * 0.1
        np.testing.assert_allclose(observer.range_max, expected, rtol=1e-6)


def test_an_observer_follows_in_predict():
    x = rng.normal(size=(8, 5)).astype(np.float32)
    observer = OutputObserver(momentum=0.75)
    model = tf_keras.Sequential([tf_keras.Input((5,)), observer])
    np.testing.assert_array_equal(model.predict(x, batch_size=4, verbose=0), x)
    first, second = np.abs(x[:4]).max(), np.abs(x[4:]).max()
    np.testing.assert_allclose(
        observer.range_max, 0.75 * first + 0.25 * second, rtol=1e-6
    )


def test_a_dequantizer_takes_lists_and_leaves_floats():
    x = FixedPoint([[3, -5]], 7, 1)
    y = QFloat(x, [2.0, 4.0])
    layer = Dequantizer()
    with lq.integer.layers.recording(True):
        a, b, c = layer([x, y, tf.constant([7.0])])
    np.testing.assert_array_equal(a, [[1.5, -2.5]])
    np.testing.assert_array_equal(b, [[3, -10]])
    np.testing.assert_array_equal(c, [7])
    assert [None if f is None else int(f) for f in layer.frac_bits] == [1, 1, None]
    assert layer.scales[0] is None
    np.testing.assert_array_equal(layer.scales[1], [2, 4])
