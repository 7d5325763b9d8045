"""Convolutions against int64 sums: every stride, padding, dilation, group and bit width."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.integer import layers
from larqlite.integer.tensors import FixedPoint, QFloat
from tests.common.samples import in_turn
from tests.integer.layers import numpy_layers

rng = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def _numbers_do_not_depend_on_the_tests_before():
    rng.bit_generator.state = np.random.default_rng(11).bit_generator.state


def integers(*shape, bits=7):
    return rng.integers(-(2**bits), 2**bits, size=shape)


def kernel_of(layer, name="kernel"):
    w = rng.normal(size=getattr(layer, name).shape).astype(np.float32)
    getattr(layer, name).assign(w)
    if layer.use_bias:
        layer.bias.assign(rng.normal(size=layer.bias.shape) * 0.3)
    return w


def check(layer, outputs, sums, scales, frac=0):
    """Compares an accumulator, with its bias, and what is made of it with int64 sums."""
    scales = np.broadcast_to(np.asarray(scales, np.float32), sums.shape[-1:])
    if layer.use_bias:
        sums = sums + numpy_layers.bias(layer.bias.numpy(), scales, frac)
    sums = numpy_layers.saturated(sums, 27)
    np.testing.assert_array_equal(outputs.fp.values, sums)
    np.testing.assert_array_equal(outputs.fp.frac_bits, frac)
    np.testing.assert_allclose(
        np.broadcast_to(outputs.scales, scales.shape), scales, rtol=1e-6
    )
    assert outputs.fp.value_bits == 27
    assert np.abs(sums).max() <= outputs.fp.limit


GEOMETRIES = [
    *itertools.product([(1, 1), (2, 2), (2, 1)], ["same", "valid"], [(1, 1)], [1, 2]),
    ((1, 1), "same", (2, 2), 1),
    ((1, 1), "valid", (1, 2), 2),
]


@pytest.mark.parametrize(("geometry", "bits"), in_turn(GEOMETRIES, [1, 2, 4, 8]))
def test_a_2d_convolution_is_the_sum_of_its_products(geometry, bits):
    strides, padding, dilations, groups = geometry
    layer = layers.QuantizedConv2D(
        6,
        (3, 2),
        strides,
        padding,
        dilation_rate=dilations,
        groups=groups,
        quant_config={"weight_quantizer": {"bitwidth": bits}},
    )
    x = integers(2, 7, 6, 4)
    layer.build(x.shape)
    codes, scales = numpy_layers.weights(kernel_of(layer), bits)
    sums = numpy_layers.convolution(x, codes, strides, padding, dilations)
    scales = layer.weight_quantizer(layer.kernel).scales
    check(layer, layer(FixedPoint(x, 7, 3)), sums, scales, frac=3)
    assert scales.shape == (6,)


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 2, 1), (2, 1, 2)])
def test_a_1d_convolution_is_the_sum_of_its_products(padding, stride, dilation, groups):
    layer = layers.QuantizedConv1D(
        4, 3, stride, padding, dilation_rate=dilation, groups=groups
    )
    x = integers(2, 9, 4)
    layer.build(x.shape)
    codes, scales = numpy_layers.weights(kernel_of(layer), 8)
    seen, how = x, padding
    if padding == "causal":
        seen, how = np.pad(x, [(0, 0), (2 * dilation, 0), (0, 0)]), "valid"
    sums = numpy_layers.convolution(seen, codes, (stride,), how, (dilation,))
    outputs = layer(tf.constant(x, tf.int8))
    check(layer, outputs, sums, scales.ravel())
    twin = tf_keras.layers.Conv1D(
        4, 3, stride, padding, dilation_rate=dilation, groups=groups
    )
    assert outputs.shape == twin.compute_output_shape(x.shape)


@pytest.mark.parametrize("value", [0.75, [0.5, -1.0, 300.0], 0.0])
@pytest.mark.parametrize("kind", ["QFloat", "FixedPoint", "per-axis"])
def test_padding_has_the_integers_nearest_to_its_values(value, kind):
    x, frac = integers(2, 5, 6, 3), 2
    if kind == "per-axis":
        frac = np.array([0, 3, 1])
    fp = FixedPoint(x, 7, frac)
    inputs = QFloat(fp, 0.01) if kind == "QFloat" else fp
    layer = layers.QuantizedConv2D(4, 3, 2, "valid", padding_value=value)
    layer.build(x.shape)
    codes, scales = numpy_layers.weights(kernel_of(layer), 8)
    unit = np.float32(0.01 if kind == "QFloat" else 1)
    around = np.rint(np.float32(value) / unit * 2.0**frac)
    # The buffer has room for them, whatever the bits of the input.
    around = numpy_layers.saturated(around, 27)
    seen = numpy_layers.padded(x, (3, 3), (2, 2), (1, 1), around)
    seen = seen << (np.max(frac) - frac)
    sums = numpy_layers.convolution(seen, codes, (2, 2), "valid", (1, 1))
    check(layer, layer(inputs), sums, scales.ravel() * unit, np.max(frac))
    assert layer.get_config()["padding_value"] == value


def test_inputs_per_axis_are_aligned_in_the_accumulator():
    layer = layers.QuantizedConv2D(3, 2, use_bias=False)
    x, frac = integers(1, 4, 4, 3), np.array([7, 2, 5])
    with layers.recording(True):
        outputs = layer(FixedPoint(x, 7, frac))
    codes = layer.weight_quantizer(layer.kernel).fp.values.numpy()
    sums = numpy_layers.convolution(x << (7 - frac), codes, (1, 1), "valid", (1, 1))
    check(layer, outputs, sums, outputs.scales, 7)
    np.testing.assert_array_equal(layer.input_shift.value, [0, 5, 2])


def test_4608_products_of_one_sign_are_added_exactly():
    # The reference has every one of these outputs wrong: the sum is far above 2^24.
    layer = layers.QuantizedConv2D(5, 3, kernel_initializer="ones", use_bias=False)
    x = rng.integers(100, 128, size=(2, 4, 4, 512))
    outputs = layer(FixedPoint(x, 7, 0))
    sums = numpy_layers.convolution(
        x, np.full((3, 3, 512, 5), 127), (1, 1), "valid", (1, 1)
    )
    assert sums.min() > 2**24
    assert np.any(sums % 2)
    np.testing.assert_array_equal(outputs.fp.values, sums)


def test_an_accumulator_saturates_at_its_bits():
    config = {"buffer_bitwidth": 16}
    layer = layers.QuantizedConv2D(
        1, 1, kernel_initializer="ones", use_bias=False, quant_config=config
    )
    x = FixedPoint([[[[127, 127, 127]]], [[[-128, -128, -128]]], [[[1, 2, 3]]]], 7, 0)
    np.testing.assert_array_equal(
        layer(x).fp.values.numpy().ravel(), [2**15 - 1, -(2**15), 6 * 127]
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "strides", "dilations"),
    [
        ((3, 3), (1, 1), (1, 1)),
        ((3, 2), (2, 2), (1, 1)),
        ((2, 2), (3, 3), (1, 1)),
        ((4, 3), (2, 1), (1, 1)),
        ((3, 2), (1, 1), (2, 2)),
    ],
)
def test_a_transposed_convolution_is_the_sum_of_what_its_inputs_put_down(
    kernel, strides, dilations, padding
):
    args = (5, kernel, strides, padding)
    layer = layers.QuantizedConv2DTranspose(*args, dilation_rate=dilations)
    x = integers(2, 4, 3, 4)
    layer.build(x.shape)
    w = kernel_of(layer)
    codes, scales = numpy_layers.weights(w, 8, axis=2)
    sums = numpy_layers.transposed(x, codes, strides, padding, dilations)
    twin = tf_keras.layers.Conv2DTranspose(*args, dilation_rate=dilations)
    outputs = layer(FixedPoint(x, 7, 0))
    assert outputs.shape == twin.compute_output_shape(x.shape)
    check(layer, outputs, sums, scales.ravel())
    per_axis = FixedPoint(x, 7, [0, 1, 2, 0])
    sums = numpy_layers.transposed(
        x << [2, 1, 0, 2], codes, strides, padding, dilations
    )
    check(layer, layer(per_axis), sums, scales.ravel(), 2)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("strides", "dilations", "multiplier"), [(1, 1, 1), (2, 1, 2), (1, 2, 3)]
)
def test_a_depthwise_convolution_keeps_channels_apart(
    strides, dilations, multiplier, padding
):
    layer = layers.QuantizedDepthwiseConv2D(
        3, strides, padding, multiplier, dilation_rate=dilations
    )
    x, frac = integers(2, 7, 6, 4), np.array([4, 0, 2, 1])
    layer.build(x.shape)
    codes, scales = numpy_layers.weights(kernel_of(layer, "depthwise_kernel"), 8, -2)
    sums = numpy_layers.convolution(
        x, codes, (strides,) * 2, padding, (dilations,) * 2, depthwise=True
    )
    scales = np.repeat(scales.ravel(), multiplier)
    check(
        layer, layer(FixedPoint(x, 7, frac)), sums, scales, np.repeat(frac, multiplier)
    )
    check(layer, layer(x.astype(np.int8)), sums, scales)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride", "multiplier"), [(3, 2, 1), (2, 3, 2)])
def test_a_transposed_depthwise_convolution_keeps_channels_apart(
    kernel, stride, multiplier, padding
):
    layer = layers.QuantizedDepthwiseConv2DTranspose(
        kernel, stride, padding, multiplier
    )
    x, frac = integers(2, 4, 3, 3), np.array([4, 0, 2])
    layer.build(x.shape)
    codes, scale = numpy_layers.weights(kernel_of(layer, "depthwise_kernel"), 8, None)
    sums = numpy_layers.transposed(x, codes, (stride,) * 2, padding, depthwise=True)
    check(
        layer,
        layer(FixedPoint(x, 7, frac)),
        sums,
        scale.ravel(),
        np.repeat(frac, multiplier),
    )


@pytest.mark.parametrize("axis", ["per-tensor", "per-axis"])
@pytest.mark.parametrize("bits", [4, 8])
def test_an_output_quantizer_gives_the_integers_of_the_accumulator(axis, bits):
    config = {"output_quantizer": {"bitwidth": bits, "axis": axis}}
    layer = layers.QuantizedConv2D(3, 3, quant_config=config)
    x = integers(4, 9, 9, 4)
    layer(FixedPoint(x, 7, 4))
    kernel_of(layer)
    ranges = np.float32([1.0, 30.0, 77.5] if axis == "per-axis" else 30.0)
    rate = np.float32(1.5)
    layer.out_quantizer.calibrate(ranges, rate)
    codes, scales = numpy_layers.weights(layer.kernel.numpy(), 8)
    sums = numpy_layers.convolution(x, codes, (1, 1), "valid", (1, 1))
    sums = sums + numpy_layers.bias(layer.bias.numpy(), scales.ravel(), np.int64(4))
    expected, frac_bits = numpy_layers.requantized(
        sums, 4, bits - 1, ranges, scales.ravel() * rate
    )
    outputs = layer(FixedPoint(x, 7, 4))
    np.testing.assert_array_equal(outputs.values, expected)
    np.testing.assert_array_equal(outputs.frac_bits, frac_bits)
    assert len(np.unique(expected)) > 2 ** (bits - 1) / 3


@pytest.mark.parametrize("inputs", ["FixedPoint", "QFloat"])
def test_power_of_two_kernels_stay_fixed_point(inputs):
    config = {"weight_quantizer": {"bitwidth": 8, "fp_quantizer": True}}
    layer = layers.QuantizedConv2D(3, 2, quant_config=config)
    x = integers(1, 3, 3, 2)
    layer.build(x.shape)
    w = kernel_of(layer) * np.float32([0.1, 1, 9])
    layer.kernel.assign(w)
    frac = numpy_layers.max_frac_bits(7, np.abs(w).max((0, 1, 2)))
    codes = numpy_layers.saturated(np.rint(w * 2.0**frac).astype(np.int64), 7)
    sums = numpy_layers.convolution(x, codes, (1, 1), "valid", (1, 1))
    fp = FixedPoint(x, 7, 2)
    outputs = layer(QFloat(fp, 0.5) if inputs == "QFloat" else fp)
    unit = 0.5 if inputs == "QFloat" else 1.0
    sums = sums + numpy_layers.bias(layer.bias.numpy(), np.full(3, unit), frac + 2)
    assert isinstance(outputs, QFloat if inputs == "QFloat" else FixedPoint)
    fp = getattr(outputs, "fp", outputs)
    np.testing.assert_array_equal(fp.values, sums)
    np.testing.assert_array_equal(fp.frac_bits, frac + 2)


def test_a_transposed_convolution_takes_scaled_integers():
    layer = layers.QuantizedConv2DTranspose(1, 2)
    integers = rng.integers(-50, 50, (1, 3, 3, 2)).astype(np.float32)
    fixed = FixedPoint(integers, 8, 0)
    scaled = layer(QFloat(fixed, 0.25))
    np.testing.assert_array_equal(scaled.fp.values, layer(fixed).fp.values)
    np.testing.assert_allclose(scaled.scales, layer(fixed).scales * 0.25)
