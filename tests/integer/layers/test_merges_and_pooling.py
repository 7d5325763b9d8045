"""Sums, products, concatenations and poolings of integers against NumPy's int64."""

from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings, strategies as st

from larqlite.integer import layers
from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.layers import numpy_layers

rng = np.random.default_rng(13)

shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 10**6)


def random_inputs(draws, shape, count):
    """Integers with their fractional bits, some per-tensor and some per-axis."""
    for _ in range(count):
        per_axis = draws.integers(2)
        frac = draws.integers(-2, 8, size=shape[-1]) if per_axis else draws.integers(8)
        yield draws.integers(-128, 128, size=shape), frac


@settings(deadline=None, max_examples=50)
@given(shape=shapes, count=st.integers(2, 5), average=st.booleans(), seed=seeds)
def test_a_sum_of_any_number_of_inputs_is_aligned_and_exact(
    shape, count, average, seed
):
    inputs = list(random_inputs(np.random.default_rng(seed), shape, count))
    layer = layers.QuantizedAdd(average=average)
    total = layer([FixedPoint(x, 7, frac) for x, frac in inputs])
    most = reduce(np.maximum, [frac for _, frac in inputs])
    expected = sum(x << (most - frac) for x, frac in inputs)
    fp = getattr(total, "fp", total)
    np.testing.assert_array_equal(fp.values, expected)
    assert fp.value_bits == 31
    is_power = count in (2, 4)
    more = {2: 1, 4: 2}.get(count, 0) if average else 0
    np.testing.assert_array_equal(fp.frac_bits, most + more)
    assert isinstance(total, QFloat) == (average and not is_power)
    if isinstance(total, QFloat):
        assert float(total.scales) == np.float32(1 / count)


def test_a_sum_takes_plain_integers_and_saturates_at_its_buffer():
    layer = layers.QuantizedAdd(quant_config={"buffer_bitwidth": 9})
    x, y = np.array([[200, 100, -128]], np.int32), np.array([[100, 50, -128]], np.int32)
    np.testing.assert_array_equal(layer([x, y]).values, [[255, 150, -256]])
    mixed = layer((FixedPoint([[1, 2, 3]], 7, 1), y))
    np.testing.assert_array_equal(mixed.values, [[201, 102, -253]])
    shorts = layers.QuantizedAdd()([np.array([[30000]], np.int16)] * 3)
    assert shorts.values.numpy().item() == 90000


def test_a_sum_matches_the_keras_layer_and_is_quantized_as_told():
    x = [FixedPoint(rng.integers(-128, 128, size=(2, 5, 4)), 7, f) for f in (4, 6)]
    config = {"output_quantizer": {"bitwidth": 8, "axis": "per-axis"}}
    layer = layers.QuantizedAdd(quant_config=config)
    layer(x)
    ranges = np.array([10.0, 9, 8, 4])
    layer.out_quantizer.calibrate(ranges)
    total = layer(x)
    sums = (x[0].values.numpy().astype(int) << 2) + x[1].values.numpy().astype(int)
    expected, frac = numpy_layers.requantized(sums, 6, 7, ranges)
    np.testing.assert_array_equal(total.values, expected)
    np.testing.assert_array_equal(total.frac_bits, frac)
    floats = tf_keras.layers.Add()([v.to_float() for v in x])
    inside = np.abs(floats) < ranges * 0.99
    error = np.abs(total.to_float() - floats)
    assert error[inside].max() <= 2.0 ** -(frac.min() + 1)


@settings(deadline=None, max_examples=50)
@given(shape=shapes, count=st.integers(2, 4), seed=seeds)
def test_a_product_of_any_number_of_inputs_is_exact(shape, count, seed):
    inputs = list(random_inputs(np.random.default_rng(seed), shape, count))
    y = layers.QuantizedMultiply()([FixedPoint(x, 7, frac) for x, frac in inputs])
    expected = reduce(np.multiply, [x for x, _ in inputs])
    np.testing.assert_array_equal(y.values, numpy_layers.saturated(expected, 31))
    np.testing.assert_array_equal(y.frac_bits, sum(frac for _, frac in inputs))


def test_a_product_broadcasts_a_gate_over_positions():
    x = rng.integers(-128, 128, size=(2, 3, 3, 4))
    gate = rng.integers(0, 128, size=(2, 1, 1, 4))
    y = layers.QuantizedMultiply()(
        [FixedPoint(x, 7, 3), FixedPoint(gate, 7, [7, 6, 5, 7])]
    )
    np.testing.assert_array_equal(y.values, x * gate)
    floats = tf_keras.layers.Multiply()([x / 8, gate / 2.0 ** np.array([7, 6, 5, 7])])
    np.testing.assert_allclose(y.to_float(), floats, rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(shape=shapes, count=st.integers(1, 4), seed=seeds)
def test_channels_of_several_inputs_keep_their_fractional_bits(shape, count, seed):
    inputs = list(random_inputs(np.random.default_rng(seed), shape, count))
    bits = [7 + i for i in range(count)]
    y = layers.QuantizedConcatenate()(
        [FixedPoint(x, b, f) for (x, f), b in zip(inputs, bits, strict=True)]
    )
    floats = [x / np.exp2(frac) for x, frac in inputs]
    np.testing.assert_array_equal(y.values, np.concatenate([x for x, _ in inputs], -1))
    np.testing.assert_array_equal(y.to_float(), np.concatenate(floats, -1))
    assert y.value_bits == bits[-1]


def test_other_axes_are_joined_only_with_equal_fractional_bits():
    x = FixedPoint(rng.integers(-9, 9, size=(1, 2, 3)), 7, 4)
    y = FixedPoint(rng.integers(-9, 9, size=(1, 4, 3)), 7, 4)
    layer = layers.QuantizedConcatenate(axis=1)
    expected = np.concatenate([x.values, y.values], 1)
    np.testing.assert_array_equal(layer([x, y]).values, expected)
    with pytest.raises(ValueError, match="fractional bits"):
        layer([x, FixedPoint(y.values, 7, 3)])


images = st.tuples(
    st.integers(1, 2), st.integers(3, 8), st.integers(3, 8), st.integers(1, 3)
)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def pooled(x, window, strides, padding, of_cells):
    """`of_cells` of the cells of every window that lie inside, one window after another."""
    amounts = [
        numpy_layers.same_padding(n, w, s, 1)[0] if padding == "same" else 0
        for n, w, s in zip(x.shape[1:3], window, strides, strict=True)
    ]
    rows, columns = (
        -(-n // s) if padding == "same" else (n - w) // s + 1
        for n, w, s in zip(x.shape[1:3], window, strides, strict=True)
    )
    result = np.empty((x.shape[0], rows, columns, x.shape[3]), object)
    for b, i, j, c in np.ndindex(*result.shape):
        top, left = i * strides[0] - amounts[0], j * strides[1] - amounts[1]
        cells = x[b, max(top, 0) : top + window[0], max(left, 0) : left + window[1], c]
        result[b, i, j, c] = of_cells([int(v) for v in cells.ravel()])
    return result


@settings(deadline=None, max_examples=60)
@given(
    shape=images,
    window=pairs,
    strides=pairs,
    padding=st.sampled_from(["valid", "same"]),
    per_axis=st.booleans(),
    scaled=st.booleans(),
    seed=seeds,
)
def test_poolings_are_those_of_exact_fractions(
    shape, window, strides, padding, per_axis, scaled, seed
):
    draws = np.random.default_rng(seed)
    x = draws.integers(-128, 128, size=shape)
    frac = draws.integers(0, 8, size=shape[-1]) if per_axis else np.array(3)
    fp = FixedPoint(x, 7, frac)
    inputs = QFloat(fp, draws.uniform(0.1, 2, size=shape[-1])) if scaled else fp
    arguments = {"pool_size": window, "strides": strides, "padding": padding}

    y = layers.QuantizedMaxPool2D(**arguments)(inputs)
    assert type(y) is type(inputs)
    expected = pooled(x, window, strides, padding, max).astype(np.int64)
    np.testing.assert_array_equal(getattr(y, "fp", y).values, expected)

    y = layers.QuantizedAveragePooling2D(**arguments)(inputs)
    np.testing.assert_array_equal(y.fp.frac_bits, frac)
    multiple = np.rint(1 / (y.scales / (inputs.scales if scaled else 1)))
    assert np.all(multiple == multiple.flat[0])
    exact = pooled(x, window, strides, padding, lambda v: Fraction(sum(v), len(v)))
    found = np.array([Fraction(int(v)) for v in y.fp.values.numpy().ravel()], object)
    assert np.all(found.reshape(exact.shape) / int(multiple.flat[0]) == exact)
    floats = tf_keras.layers.AveragePooling2D(**arguments)(inputs.to_float())
    np.testing.assert_allclose(y.to_float(), floats, rtol=1e-5, atol=1e-4)


def test_an_average_over_borders_of_five_cells_is_quantized_like_any():
    x = rng.integers(0, 256, size=(1, 9, 9, 2))
    config = {"output_quantizer": {"bitwidth": 8}}
    layer = layers.QuantizedAveragePooling2D(5, 1, "same", quant_config=config)
    layer(FixedPoint(x, 8, 0))
    layer.out_quantizer.calibrate(255.0)
    expected = tf_keras.layers.AveragePooling2D(5, 1, "same")(x.astype(np.float32))
    # The scale has 8 bits: half a percent, beside the rounding to steps of 2.
    error = np.abs(layer(FixedPoint(x, 8, 0)).to_float() - expected)
    assert error.max() < 255 / 256 + 1


def test_an_average_with_borders_needs_to_know_the_size():
    layer = layers.QuantizedAveragePooling2D(2, padding="same", name="here")
    x = tf_keras.Input((None, 4, 1))
    with pytest.raises(ValueError, match=r'"here".*\n.*Fix'):
        layer(layers.QuantizedRescaling(0.5)(x))


@settings(deadline=None, max_examples=30)
@given(shape=images, per_axis=st.booleans(), keepdims=st.booleans(), seed=seeds)
def test_a_global_average_is_a_sum_and_a_scale(shape, per_axis, keepdims, seed):
    draws = np.random.default_rng(seed)
    x = draws.integers(-128, 128, size=shape)
    frac = draws.integers(0, 8, size=shape[-1]) if per_axis else np.array(3)
    layer = layers.QuantizedGlobalAveragePooling2D(keepdims=keepdims)
    y = layer(FixedPoint(x, 7, frac))
    np.testing.assert_array_equal(y.fp.values, x.sum((1, 2), keepdims=keepdims))
    assert y.fp.value_bits == 32
    assert float(y.scales) == np.float32(1 / (shape[1] * shape[2]))
    floats = tf_keras.layers.GlobalAveragePooling2D(keepdims=keepdims)
    np.testing.assert_allclose(y.to_float(), floats(x / np.exp2(frac)), atol=1e-4)


def test_a_global_average_of_many_large_values_is_exact():
    x = np.full((1, 300, 300, 1), 2**27 - 1)
    config = {"buffer_bitwidth": 48}
    y = layers.QuantizedGlobalAveragePooling2D(quant_config=config)(
        FixedPoint(x, 27, 0)
    )
    assert int(y.fp.values.numpy().item()) == 90000 * (2**27 - 1)
    y = layers.QuantizedGlobalAveragePooling2D()(FixedPoint(x, 27, 0))
    assert int(y.fp.values.numpy().item()) == 2**32 - 1


def test_a_global_average_of_images_of_any_size():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((None, None, 2), dtype="int32"),
            layers.QuantizedRescaling(1.0),
            layers.QuantizedGlobalAveragePooling2D(),
            layers.Dequantizer(),
        ]
    )
    for size in (2, 5):
        x = rng.integers(0, 256, size=(1, size, size, 2))
        np.testing.assert_allclose(model(x), x.mean((1, 2)), rtol=1e-6)
