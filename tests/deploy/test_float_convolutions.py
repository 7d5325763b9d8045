"""Float convolutions and pooling: the file against Keras, for all of their geometry."""

import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings, strategies as st

from larqlite.errors import UnsupportedLayerError
from larqlite.onnx_graph import same_pads, window_counts, window_pads
from tests.deploy.keras_and_file import (
    assert_same,
    export,
    random_inputs,
    sequential,
    with_random_weights,
)

layers = tf_keras.layers
few = settings(max_examples=12, deadline=None)
lengths, kernels, strides = st.integers(4, 9), st.integers(1, 4), st.integers(1, 3)
paddings = st.sampled_from(["same", "valid"])


@few
@given(
    st.tuples(lengths, lengths), st.tuples(kernels, kernels), strides, paddings,
    st.sampled_from([1, 2]), st.booleans(), st.sampled_from(["relu", None, "tanh"]),
)  # fmt: skip
def test_a_convolution(shape, kernel, stride, padding, groups, use_bias, activation):
    layer = layers.Conv2D(
        4, kernel, strides=stride, padding=padding, groups=groups, use_bias=use_bias,
        activation=activation,
    )  # fmt: skip
    ops = assert_same(sequential((*shape, 2), layer))
    assert ops.count("Conv") == 1


@few
@given(
    lengths, kernels, st.integers(1, 2), st.sampled_from(["same", "causal", "valid"])
)
def test_a_dilated_convolution_along_time(length, kernel, dilation, padding):
    length += 6
    layer = layers.Conv1D(3, kernel, dilation_rate=dilation, padding=padding)
    assert_same(sequential((length, 2), layer))


@few
@given(st.tuples(lengths, lengths, lengths), kernels, strides, paddings)
def test_a_convolution_of_volumes(shape, kernel, stride, padding):
    layer = layers.Conv3D(3, kernel, strides=stride, padding=padding)
    assert_same(sequential((*shape, 2), layer))


@few
@given(
    st.tuples(lengths, lengths), kernels, strides, paddings,
    st.sampled_from([layers.DepthwiseConv2D, layers.SeparableConv2D]),
)  # fmt: skip
def test_a_depthwise_and_a_separable_convolution(shape, kernel, stride, padding, cls):
    first = [5] if cls is layers.SeparableConv2D else []
    layer = cls(
        *first, kernel, strides=stride, padding=padding, depth_multiplier=2,
        activation="relu",
    )  # fmt: skip
    assert_same(sequential((*shape, 3), layer))


@few
@given(
    st.tuples(lengths, lengths), st.tuples(kernels, kernels), st.integers(1, 3),
    paddings, st.booleans(),
)  # fmt: skip
def test_a_transposed_convolution(shape, kernel, stride, padding, adds):
    # Keras itself fails on an even kernel with "same" and an output_padding of 0.
    adds = adds and stride > 1 and not (padding == "same" and 0 in np.mod(kernel, 2))
    layer = layers.Conv2DTranspose(
        3, kernel, strides=stride, padding=padding,
        output_padding=stride - 1 if adds else None,
    )  # fmt: skip
    assert_same(sequential((*shape, 2), layer))


@few
@given(
    st.tuples(lengths, lengths), kernels, strides, paddings,
    st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]),
)  # fmt: skip
def test_pooling(shape, size, stride, padding, cls):
    layer = cls(size, strides=stride, padding=padding)
    ops = assert_same(sequential((*shape, 3), layer))
    assert "Pad" not in ops


OTHERS = {
    "dilated in groups": (
        (9, 8, 4),
        layers.Conv2D(6, 3, dilation_rate=2, padding="same", groups=2),
    ),
    "dilated depthwise": (
        (9, 8, 4),
        layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
    ),
    "dilated separable": (
        (9, 8, 4),
        layers.SeparableConv2D(5, 3, dilation_rate=2, padding="same"),
    ),
    "separable along time": (
        (9, 4),
        layers.SeparableConv1D(5, 3, strides=2, padding="same", depth_multiplier=2),
    ),
    "causal separable": ((9, 4), layers.SeparableConv1D(5, 3, padding="causal")),
    "depthwise along time": (
        (9, 4),
        layers.DepthwiseConv1D(3, strides=2, padding="same", depth_multiplier=2),
    ),
    "dilated transposed": (
        (9, 8, 4),
        layers.Conv2DTranspose(6, 3, dilation_rate=2, padding="same"),
    ),
    "dilated valid transposed": (
        (9, 8, 4),
        layers.Conv2DTranspose(6, 3, dilation_rate=2),
    ),
    "transposed along time": (
        (9, 4),
        layers.Conv1DTranspose(6, 4, strides=3, padding="same"),
    ),
    "transposed volumes": (
        (5, 4, 5, 2),
        layers.Conv3DTranspose(3, 3, strides=2, padding="same"),
    ),
    "maxima along time": ((9, 4), layers.MaxPooling1D(3, strides=2, padding="same")),
    "means along time": ((9, 4), layers.AveragePooling1D(3, padding="same")),
    "maxima of volumes": ((5, 6, 7, 2), layers.MaxPooling3D(2, padding="same")),
    "means of volumes": ((5, 6, 7, 2), layers.AveragePooling3D(3, 2, padding="same")),
    "mean of an image": ((4, 5, 3), layers.GlobalAveragePooling2D()),
    "mean that keeps axes": ((4, 5, 3), layers.GlobalAveragePooling2D(keepdims=True)),
    "maximum of an image": ((4, 5, 3), layers.GlobalMaxPooling2D()),
    "mean over time": ((4, 3), layers.GlobalAveragePooling1D()),
    "maximum over time": ((4, 3), layers.GlobalMaxPooling1D(keepdims=True)),
    "mean of a volume": ((4, 3, 2, 2), layers.GlobalAveragePooling3D()),
    "maximum of a volume": ((4, 3, 2, 2), layers.GlobalMaxPooling3D(keepdims=True)),
}


@pytest.mark.parametrize(("shape", "layer"), OTHERS.values(), ids=list(OTHERS))
def test_all_other_kinds_of_windows(shape, layer):
    assert_same(sequential(shape, layer))


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 2, 1), (2, 1, 3), (1, 3, 1)]
)
def test_the_padding_of_same_is_what_tensorflow_adds(length, kernel, stride, dilation):
    """Of a layer whose kernel is 1 at one place, so that it shows what it looked at."""
    before, after = same_pads(length, kernel, stride, dilation)
    steps = np.arange(1, length + 1, dtype=np.float32)[np.newaxis, :, np.newaxis]
    layer = layers.Conv1D(
        1, kernel, strides=stride, dilation_rate=dilation, padding="same",
        use_bias=False,
    )  # fmt: skip
    looked_at = layer(steps)
    padded = np.pad(steps[0, :, 0], (before, after))
    for tap in range(kernel):
        one = np.zeros((kernel, 1, 1), np.float32)
        one[tap] = 1
        layer.set_weights([one])
        seen = padded[tap * dilation :][::stride][: looked_at.shape[1]]
        np.testing.assert_array_equal(layer(steps)[0, :, 0], seen)


CHANNELS_FIRST = {
    "Conv2D": (layers.Conv2D, (4, 3), {"strides": 2, "padding": "same"}, 2),
    "Conv1D": (layers.Conv1D, (4, 3), {"padding": "causal"}, 1),
    "Conv3D": (layers.Conv3D, (4, 2), {"padding": "same"}, 3),
    "DepthwiseConv2D": (layers.DepthwiseConv2D, (3,), {"padding": "same"}, 2),
    "DepthwiseConv1D": (layers.DepthwiseConv1D, (3,), {"padding": "same"}, 1),
    "SeparableConv2D": (layers.SeparableConv2D, (4, 3), {"strides": 2}, 2),
    "SeparableConv1D": (layers.SeparableConv1D, (4, 3), {}, 1),
    "Conv1DTranspose": (layers.Conv1DTranspose, (4, 3), {"strides": 2}, 1),
    "Conv2DTranspose": (layers.Conv2DTranspose, (4, 3), {"padding": "same"}, 2),
    "Conv3DTranspose": (layers.Conv3DTranspose, (4, 3), {"strides": 2}, 3),
    "MaxPooling1D": (layers.MaxPooling1D, (2,), {"padding": "same"}, 1),
    "MaxPooling2D": (layers.MaxPooling2D, (3,), {"strides": 2, "padding": "same"}, 2),
    "MaxPooling3D": (layers.MaxPooling3D, (2,), {}, 3),
    "AveragePooling1D": (layers.AveragePooling1D, (2,), {"padding": "same"}, 1),
    "AveragePooling2D": (layers.AveragePooling2D, (3,), {"padding": "same"}, 2),
    "AveragePooling3D": (layers.AveragePooling3D, (2,), {}, 3),
    "GlobalAveragePooling1D": (layers.GlobalAveragePooling1D, (), {}, 1),
    "GlobalAveragePooling2D": (
        layers.GlobalAveragePooling2D,
        (),
        {"keepdims": True},
        2,
    ),
    "GlobalAveragePooling3D": (layers.GlobalAveragePooling3D, (), {}, 3),
    "GlobalMaxPooling1D": (layers.GlobalMaxPooling1D, (), {"keepdims": True}, 1),
    "GlobalMaxPooling2D": (layers.GlobalMaxPooling2D, (), {}, 2),
    "GlobalMaxPooling3D": (layers.GlobalMaxPooling3D, (), {}, 3),
    "ZeroPadding2D": (layers.ZeroPadding2D, (((1, 2), (0, 3)),), {}, 2),
    "ZeroPadding3D": (layers.ZeroPadding3D, (1,), {}, 3),
    "Cropping2D": (layers.Cropping2D, (((1, 2), (0, 1)),), {}, 2),
    "Cropping3D": (layers.Cropping3D, (1,), {}, 3),
    "UpSampling2D": (layers.UpSampling2D, ((2, 3),), {"interpolation": "bilinear"}, 2),
    "UpSampling3D": (layers.UpSampling3D, (2,), {}, 3),
    "Flatten": (layers.Flatten, (), {}, 2),
}


@pytest.mark.parametrize("name", CHANNELS_FIRST)
def test_a_layer_with_channels_first_equals_its_twin_with_channels_last(name):
    """TensorFlow computes most of them on a GPU only, so the twin is the reference."""
    cls, arguments, options, rank = CHANNELS_FIRST[name]
    space = (7, 6, 5)[:rank]
    if name == "Conv1D":
        options = {"padding": "same"}  # causal ones have channels last only
    first = tf_keras.Sequential(
        [
            tf_keras.Input((2, *space)),
            cls(*arguments, **options, data_format="channels_first"),
        ]
    )
    twin = with_random_weights(
        tf_keras.Sequential([tf_keras.Input((*space, 2)), cls(*arguments, **options)])
    )
    first.set_weights(twin.get_weights())
    (x,) = random_inputs(first)
    expected = twin(np.moveaxis(x, 1, -1)).numpy()
    if expected.ndim > 2:
        expected = np.moveaxis(expected, -1, 1)
    ops = assert_same(first, [x], [expected])
    assert "Transpose" not in ops or name == "Flatten"


def test_images_are_turned_once_before_and_after_a_row_of_convolutions():
    model = sequential(
        (8, 8, 3),
        layers.Conv2D(4, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.MaxPooling2D(2),
        layers.ZeroPadding2D(1),
        layers.UpSampling2D(2),
        layers.DepthwiseConv2D(3),
        layers.Dense(5),
        layers.Softmax(),
    )
    ops = assert_same(model)
    assert ops[0] == ops[-1] == "Transpose"
    assert ops.count("Transpose") == 2


def test_groups_of_a_transposed_convolution_are_refused():
    model = tf_keras.Sequential(
        [tf_keras.Input((4, 4, 2)), layers.Conv2DTranspose(4, 3, groups=2)]
    )
    with pytest.raises(UnsupportedLayerError, match="groups=2"):
        export(model)


def test_an_input_with_more_axes_than_an_image_is_refused():
    model = tf_keras.Sequential([tf_keras.Input((3, 8, 8, 2)), layers.Conv2D(4, 3)])
    with pytest.raises(UnsupportedLayerError, match=r"5 axes.*\n.*reshape it to 4"):
        export(model)


@pytest.mark.parametrize("side", ["same_upper", "same_lower"])
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 3),
    st.data(),
)
def test_windows_are_counted_as_numpy_counts_them(
    side, length, kernel, stride, dilation, data
):
    extent = (kernel - 1) * dilation + 1
    geometry = ([length] * 2, [kernel] * 2, [stride] * 2)
    pads = window_pads(*geometry, [dilation] * 2, side)
    begin, end = pads[0], pads[2]
    # Even windows have one more behind or before.
    assert (end - begin if side == "same_upper" else begin - end) in (0, 1)
    assert window_counts(*geometry, pads, [dilation] * 2) == (-(-length // stride),) * 2
    pads = [data.draw(st.integers(0, 5)) for _ in range(4)]
    for axis, found in enumerate(window_counts(*geometry, pads, [dilation] * 2)):
        padded = np.zeros(length + pads[axis] + pads[axis + 2])
        if padded.size >= extent:
            windows = np.lib.stride_tricks.sliding_window_view(padded, extent)
            assert found == len(windows[::stride])
