"""`pad_values`: convolutions over inputs padded by hand, in every geometry."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

import larqlite as lq

CONVOLUTIONS = {1: lq.layers.QuantConv1D, 2: lq.layers.QuantConv2D}


@settings(max_examples=25, deadline=None)
@given(
    rank=st.sampled_from([1, 2]),
    length=st.integers(4, 9),
    kernel=st.integers(1, 4),
    step=st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)]),
    value=st.sampled_from([1.0, -1.0, 0.5]),
    unknown=st.booleans(),
)
def test_same_padding_with_a_value_equals_a_valid_convolution_of_a_padded_input(
    rank, length, kernel, step, value, unknown
):
    stride, dilation = step
    shape = (length, length + 1)[:rank]
    x = np.random.default_rng(0).choice([-1.0, 1.0], (2, *shape, 3)).astype("float32")
    layer = CONVOLUTIONS[rank](
        2,
        kernel,
        strides=stride,
        dilation_rate=dilation,
        padding="same",
        pad_values=value,
        input_quantizer="ste_sign",
    )
    widths = [(0, 0)]
    for size in shape:
        extent = (kernel - 1) * dilation + 1
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        widths.append((total // 2, total - total // 2))
    padded = np.pad(x, [*widths, (0, 0)], constant_values=value)
    layer.build((None, *shape, 3))
    expected = tf.nn.convolution(
        padded, layer.kernel, strides=stride, padding="VALID", dilations=dilation
    )
    if unknown:
        inputs = tf_keras.Input((*[None] * rank, 3))
        output = tf_keras.Model(inputs, layer(inputs))(x)
    else:
        output = layer(x)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)
    zeros = CONVOLUTIONS[rank](2, kernel, strides=stride, padding="same")
    if dilation == 1:
        assert output.shape == zeros(x).shape


def test_channels_first_pads_the_spatial_axes():
    layer = lq.layers.QuantConv2D(
        2, 3, padding="same", pad_values=-1.0, data_format="channels_first"
    )
    x = tf.ones((1, 3, 4, 5))
    padded = layer.padded(x).numpy()
    assert padded.shape == (1, 3, 6, 7)
    np.testing.assert_array_equal(padded[0, :, 0], -np.ones((3, 7)))
    np.testing.assert_array_equal(padded[0, :, 1:-1, 1:-1], np.ones((3, 4, 5)))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_the_padding_attribute_stays_and_valid_padding_ignores_the_value(padding):
    layer = lq.layers.QuantConv2D(2, 3, padding=padding, pad_values=1.0)
    x = np.ones((1, 5, 5, 2), "float32")
    layer(x)
    assert layer.padding == padding
    plain = tf_keras.layers.Conv2D(2, 3, padding="valid")
    plain.build(x.shape)
    plain.set_weights(layer.get_weights())
    if padding == "valid":
        np.testing.assert_array_equal(layer(x), plain(x))
    else:
        filled = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1)
        np.testing.assert_allclose(layer(x), plain(filled), rtol=1e-6)


def test_grouped_convolutions_are_padded_too():
    layer = lq.layers.QuantConv2D(4, 3, padding="same", pad_values=1.0, groups=2)
    x = np.random.default_rng(1).normal(size=(1, 4, 4, 4)).astype("float32")
    output = layer(x)
    filled = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=1)
    kernel = layer.kernel.numpy()
    halves = [
        tf.nn.conv2d(
            filled[..., 2 * g : 2 * g + 2], kernel[..., 2 * g : 2 * g + 2], 1, "VALID"
        )
        for g in range(2)
    ]
    np.testing.assert_allclose(output, tf.concat(halves, -1), rtol=1e-5, atol=1e-5)


def test_a_tensor_is_allowed_and_stored_as_its_number():
    layer = lq.layers.QuantConv1D(
        1, 3, padding="same", pad_values=tf.constant(1.0), use_bias=False
    )
    x = np.zeros((1, 3, 1), "float32")
    layer.build(x.shape)
    layer.set_weights([np.ones((3, 1, 1))])
    assert layer(x).numpy().ravel().tolist() == [1.0, 0.0, 1.0]
    assert layer.get_config()["pad_values"] == 1.0


@pytest.mark.parametrize("value", ["one", None, [1.0, -1.0], np.nan])
def test_a_value_that_is_no_number_is_refused_when_the_layer_is_made(value):
    with pytest.raises(lq.errors.ArgumentError, match=r"pad_values=.*\n.*Fix"):
        lq.layers.QuantConv2D(2, 3, padding="same", pad_values=value)


@pytest.mark.parametrize("value", [1, np.float32(1), np.array(1.0)])
def test_numbers_of_numpy_are_values(value):
    layer = lq.layers.QuantConv2D(2, 3, padding="same", pad_values=value)
    assert layer.get_config()["pad_values"] == 1.0


@pytest.mark.parametrize(
    "layer", [lq.layers.QuantConv1D, lq.layers.QuantSeparableConv1D]
)
def test_causal_padding_with_a_value_is_refused_with_the_fix(layer):
    with pytest.raises(
        lq.errors.ArgumentError, match=r"causal.*pad_values=1.0.*\n.*Fix"
    ):
        layer(2, 3, padding="causal", pad_values=1.0)
    x = np.ones((1, 4, 2), "float32")
    assert layer(2, 3, padding="causal")(x).shape == (1, 4, 2)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("strides", [1, 2])
def test_a_depthwise_convolution_convolves_each_channel_alone(strides, multiplier):
    layer = lq.layers.QuantDepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        pad_values=1.0,
        depth_multiplier=multiplier,
        depthwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
        activation="relu",
    )
    x = np.random.default_rng(2).normal(size=(2, 5, 5, 2)).astype("float32")
    output = layer(x)
    total = (-(-5 // strides) - 1) * strides + 3 - 5
    width = (total // 2, total - total // 2)
    filled = np.pad(x, [(0, 0), width, width, (0, 0)], constant_values=1)
    kernel = np.where(layer.depthwise_kernel.numpy() < 0, -1.0, 1.0).astype("float32")
    for channel in range(2):
        for m in range(multiplier):
            alone = tf.nn.conv2d(
                filled[..., channel, None],
                kernel[:, :, channel, m, None, None],
                strides,
                "VALID",
            )
            np.testing.assert_allclose(
                output[..., channel * multiplier + m],
                np.maximum(alone[..., 0], 0),
                rtol=1e-5,
                atol=1e-5,
            )
