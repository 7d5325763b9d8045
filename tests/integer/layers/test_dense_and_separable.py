"""Dense and separable layers against int64 sums, and how near the latter are to floats."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

from larqlite.integer import layers
from larqlite.integer.tensors import FixedPoint, QFloat
from tests.integer.layers import numpy_layers

rng = np.random.default_rng(5)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    channels=st.integers(1, 40),
    units=st.integers(1, 5),
    bits=st.sampled_from([1, 2, 4, 8]),
    axis=st.sampled_from([None, -1]),
    per_axis=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_a_dense_layer_is_the_sum_of_its_products(
    shape, channels, units, bits, axis, per_axis, seed
):
    draws = np.random.default_rng(seed)
    x = draws.integers(-128, 128, size=(*shape, channels))
    frac = draws.integers(-3, 8, size=channels) if per_axis else 2
    config = {"weight_quantizer": {"bitwidth": bits, "axis": axis}}
    layer = layers.QuantizedDense(units, quant_config=config)
    layer.build((None, channels))
    layer.bias.assign(draws.normal(size=units))
    outputs = layer(FixedPoint(x, 7, frac))
    codes, _ = numpy_layers.weights(layer.kernel.numpy(), bits, axis)
    scales = layer.weight_quantizer(layer.kernel).scales.numpy()
    most = np.max(frac)
    sums = (x << (most - frac)) @ codes
    assert np.abs(sums).max() < 2**27
    scales = np.broadcast_to(scales, (units,))
    sums = sums + numpy_layers.bias(layer.bias.numpy(), scales, most)
    np.testing.assert_array_equal(outputs.fp.values, numpy_layers.saturated(sums, 27))
    np.testing.assert_array_equal(outputs.fp.frac_bits, most)
    assert outputs.shape == (*shape, units)


def test_4608_products_of_one_sign_are_added_exactly_in_a_dense_layer():
    layer = layers.QuantizedDense(3, kernel_initializer="ones")
    x = rng.integers(120, 128, size=(4, 4608))
    outputs = layer(x.astype(np.int8))
    expected = 127 * x.sum(1, keepdims=True).repeat(3, 1)
    assert np.all(expected > 2**26)
    np.testing.assert_array_equal(outputs.fp.values, expected)


def separable(bits=8, filters=6, channels=8, multiplier=1, **config):
    config = {
        "dw_weight_quantizer": {"bitwidth": bits},
        "pw_weight_quantizer": {"bitwidth": bits},
        **config,
    }
    layer = layers.QuantizedSeparableConv2D(
        filters, 3, padding="same", depth_multiplier=multiplier, quant_config=config
    )
    layer.build((None, 8, 8, channels))
    for name in ("depthwise_kernel", "pointwise_kernel", "bias"):
        weight = getattr(layer, name)
        weight.assign(rng.normal(size=weight.shape) * 0.3)
    return layer


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("frac", [0, [0, 5, 2, 1, 7, 7, 3, 3]])
@pytest.mark.parametrize("buffer", [32, 24])
def test_a_separable_convolution_is_two_sums_and_a_shift(
    bits, multiplier, frac, buffer
):
    layer = separable(bits, multiplier=multiplier, buffer_bitwidth=buffer)
    x = rng.integers(-128, 128, size=(2, 8, 8, 8))
    with layers.recording(True):
        outputs = layer(FixedPoint(x, 7, frac))
    dw, dw_scale = numpy_layers.weights(layer.depthwise_kernel.numpy(), bits, None)
    pw, pw_scale = numpy_layers.weights(layer.pointwise_kernel.numpy(), bits)
    between = numpy_layers.convolution(x, dw, (1, 1), "same", (1, 1), depthwise=True)
    fracs = np.repeat(np.broadcast_to(frac, (8,)), multiplier)
    # The smallest shift for which the sums of magnitudes prove 2^(buffer - 8) enough.
    reach = int((128 * np.abs(dw).sum((0, 1)).ravel() << (fracs.max() - fracs)).max())
    weight = int(np.abs(pw).sum((0, 1, 2)).max())
    right = 0
    while reach * weight > ((2 ** (buffer - 8) - weight) << right):
        right += 1
    shift = fracs.max() - right - fracs
    np.testing.assert_array_equal(
        np.broadcast_to(layer.dw_shift.value, shift.shape), shift
    )
    moved = np.empty_like(between)
    for place in np.ndindex(*between.shape):
        moved[place] = numpy_layers.shifted(int(between[place]), int(shift[place[-1]]))
    sums = numpy_layers.convolution(moved, pw, (1, 1), "valid", (1, 1))
    assert np.abs(sums).max() <= 2 ** (buffer - 8)
    target = fracs.max() - right
    scales = (dw_scale * pw_scale).ravel()
    sums = sums + numpy_layers.bias(layer.bias.numpy(), scales, target, buffer - 1)
    np.testing.assert_array_equal(
        outputs.fp.values, numpy_layers.saturated(sums, buffer - 1)
    )
    np.testing.assert_array_equal(outputs.fp.frac_bits, target)


@pytest.mark.parametrize("channels", [8, 256])
def test_a_separable_convolution_of_8_bits_is_useful(channels):
    # The reference loses nearly all of the output here: 0.218 of 0.235.
    layer = separable(8, channels=channels)
    x = rng.integers(0, 256, size=(2, 8, 8, channels)).astype(np.uint8)
    twin = tf_keras.layers.SeparableConv2D(6, 3, padding="same")
    twin.build(x.shape)
    twin.set_weights([w.numpy() for w in layer.trainable_weights])
    wanted = twin(x.astype(np.float32)).numpy()
    given = layer(x)
    error = np.abs(given.to_float() - wanted).mean() / np.abs(wanted).mean()
    assert error < 0.02
    # And after the requantization, in the same buffer.
    quantizer = layers.OutputQuantizer(16, axis="per-axis")
    quantizer.build(wanted.shape)
    quantizer.calibrate(np.abs(wanted).max((0, 1, 2)) * 1.05)
    out = quantizer(given).to_float()
    assert np.abs(out - wanted).mean() / np.abs(wanted).mean() < 0.02


def test_a_buffer_too_small_for_the_weights_still_saturates_exactly():
    layer = separable(8, channels=64, buffer_bitwidth=12)
    outputs = layer(FixedPoint(rng.integers(-128, 128, size=(1, 8, 8, 64)), 7, 0))
    fp = outputs.fp
    assert fp.value_bits == 11
    assert np.all(np.abs(fp.values) <= 2**11)
    np.testing.assert_array_equal(fp.values, np.rint(fp.values))


def test_power_of_two_separable_kernels_stay_fixed_point():
    config = {"bitwidth": 8, "fp_quantizer": True}
    layer = separable(dw_weight_quantizer=config, pw_weight_quantizer=config)
    x = FixedPoint(rng.integers(-128, 128, size=(1, 8, 8, 8)), 7, 3)
    outputs = layer(x)
    assert isinstance(outputs, FixedPoint)
    both = layer(QFloat(x, 0.5))
    assert isinstance(both, QFloat)
    np.testing.assert_allclose(
        both.to_float(), outputs.to_float() * 0.5, atol=np.abs(layer.bias).max()
    )
    twin = tf_keras.layers.SeparableConv2D(6, 3, padding="same")
    twin.build(x.shape)
    twin.set_weights([w.numpy() for w in layer.trainable_weights])
    wanted = twin(x.to_float()).numpy()
    error = np.abs(outputs.to_float() - wanted).mean() / np.abs(wanted).mean()
    assert error < 0.03


@pytest.mark.parametrize("strides", [1, 2])
def test_a_separable_convolution_has_the_shape_of_the_float_one(strides):
    args = {"filters": 3, "kernel_size": 3, "strides": strides, "depth_multiplier": 2}
    inputs = tf_keras.Input((7, 7, 2), dtype="uint8")
    outputs = layers.QuantizedSeparableConv2D(**args)(inputs)
    twin = tf_keras.layers.SeparableConv2D(**args)
    assert outputs.shape == twin.compute_output_shape((None, 7, 7, 2))
    assert tf.TensorShape(outputs.shape).rank == 4
