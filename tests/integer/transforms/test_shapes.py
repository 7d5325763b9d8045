"""Padding, grouped convolutions, reshapes, ReLUs and poolings."""

import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings, strategies as st

from larqlite.integer.models.transforms import (
    drop_reshapes,
    grouped_to_depthwise,
    invert_relu_maxpool,
    remove_zeropadding2d,
)
from tests.integer.transforms.helpers import (
    check_equal,
    kinds,
    layers,
    randomized,
    transformed,
)

QUIET = {"deadline": None, "database": None, "derandomize": True}


def sequential(shape, *parts):
    return randomized(tf_keras.Sequential([tf_keras.Input(shape), *parts]))


@settings(max_examples=25, **QUIET)
@given(
    size=st.integers(4, 9),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    before=st.integers(0, 2),
    after=st.integers(0, 2),
)
def test_padding_is_removed_exactly_where_tensorflow_pads_the_same(
    size, kernel, stride, before, after
):
    # Brute force: ask TensorFlow what "same" sees of an input of ones.
    model = sequential(
        (size, size, 1),
        layers.ZeroPadding2D(((before, after), (before, after))),
        layers.Conv2D(1, kernel, stride),
    )
    same = sequential((size, size, 1), layers.Conv2D(1, kernel, stride, "same"))
    weights = [np.arange(1.0, kernel**2 + 1).reshape(kernel, kernel, 1, 1), np.zeros(1)]
    model.set_weights(weights)
    same.set_weights(weights)
    x = np.arange(1.0, size**2 + 1, dtype="float32").reshape(1, size, size, 1)
    expected, found = model(x).numpy(), same(x).numpy()
    is_equal = expected.shape == found.shape and np.allclose(expected, found)
    after_it = remove_zeropadding2d(model)
    if after_it is model:
        # Padding whose zeros no window reaches may stay.
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        assert not is_equal or (before, after) != (total // 2, total - total // 2)
    else:
        assert is_equal
        assert kinds(after_it) == ["Conv2D"]
        check_equal(model, after_it, x=x)


def test_symmetric_padding_before_a_stride_of_two_stays():
    model = sequential((8, 8, 2), layers.ZeroPadding2D(1), layers.Conv2D(2, 3, 2))
    assert remove_zeropadding2d(model) is model
    # This is how MobileNet pads, and what "same" does there.
    model = sequential(
        (8, 8, 2), layers.ZeroPadding2D(((0, 1), (0, 1))), layers.DepthwiseConv2D(3, 2)
    )
    assert kinds(transformed(remove_zeropadding2d, model)) == ["DepthwiseConv2D"]


def test_open_sizes_are_padded_alike_at_stride_one_only():
    for stride, count in ((1, 1), (2, 2)):
        model = sequential(
            (None, None, 2),
            layers.ZeroPadding2D(2),
            layers.SeparableConv2D(2, 3, stride, dilation_rate=2 if stride == 1 else 1),
        )
        assert len(kinds(remove_zeropadding2d(model))) == count


def test_padding_that_someone_else_reads_stays():
    x = tf_keras.Input((8, 8, 2))
    padded = layers.ZeroPadding2D(1)(x)
    model = tf_keras.Model(x, [layers.Conv2D(2, 3)(padded), padded])
    assert remove_zeropadding2d(model) is model


def test_a_group_for_each_channel_is_a_depthwise_convolution():
    settings_ = {"strides": 2, "padding": "same", "groups": 3, "name": "grouped"}
    model = sequential((7, 7, 3), layers.Conv2D(6, 3, activation="relu", **settings_))
    new = transformed(grouped_to_depthwise, model)
    assert kinds(new) == ["DepthwiseConv2D"]
    assert new.layers[0].name == "grouped"
    for groups in (1, 2):
        model = sequential((7, 7, 4), layers.Conv2D(4, 3, groups=groups))
        assert grouped_to_depthwise(model) is model


def test_a_grouped_convolution_that_is_called_twice_stays_one_layer():
    x = tf_keras.Input((6, 6, 3))
    conv = layers.Conv2D(3, 3, groups=3, padding="same")
    new = transformed(grouped_to_depthwise, tf_keras.Model(x, conv(conv(x))))
    assert kinds(new) == ["DepthwiseConv2D"]


def test_of_reshapes_in_a_row_the_last_one_stays():
    model = sequential(
        (4, 6),
        layers.Reshape((6, 4)),
        layers.Flatten(),
        layers.Reshape((2, -1)),
        layers.Reshape((2, 12)),
        layers.Dense(3),
        layers.Flatten(),
        layers.Flatten(),
    )
    assert kinds(transformed(drop_reshapes, model)) == ["Reshape", "Dense", "Flatten"]
    keeping = sequential((4, 6), layers.Permute((2, 1)), layers.Flatten())
    assert drop_reshapes(keeping) is keeping


@pytest.mark.parametrize("arguments", [{}, {"max_value": 6}, {"negative_slope": 0.1}])
def test_a_relu_goes_behind_poolings_number_for_number(arguments):
    model = sequential(
        (8, 8, 2),
        layers.Conv2D(3, 3),
        layers.ReLU(name="r", **arguments),
        layers.MaxPooling2D(2, 1),
        layers.MaxPooling2D(2, padding="same"),
    )
    new = transformed(invert_relu_maxpool, model)
    assert kinds(new) == ["Conv2D", "MaxPooling2D", "MaxPooling2D", "ReLU"]
    check_equal(model, new, tolerance=0)


def test_a_relu_that_someone_else_reads_stays():
    x = tf_keras.Input((4, 4, 1))
    relu = layers.ReLU()(x)
    model = tf_keras.Model(x, [layers.MaxPooling2D()(relu), relu])
    assert invert_relu_maxpool(model) is model
