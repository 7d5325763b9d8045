"""The float layers of `integer.layers` against NumPy loops written from their formulas."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers import (
    Add,
    AddPositionEmbs,
    Attention,
    ClassToken,
    DepthwiseConv2DTranspose,
    ExtractToken,
    LayerMadNormalization,
    PaddedConv2D,
    Shiftmax,
    shiftmax,
    string_to_softmax,
)
from tests.integer.layers.float_formulas import by_hand, convolved

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize("pad", [0.0, -1.5, [0.5, -2.0, 3.0]])
@pytest.mark.parametrize("geometry", [(3, 1, 1), (3, 2, 1), (2, 2, 1), (3, 1, 2)])
def test_a_padded_convolution_sees_its_values_around_the_image(pad, geometry):
    size, stride, dilation = geometry
    layer = PaddedConv2D(
        2,
        size,
        strides=stride,
        dilation_rate=dilation,
        padding="valid",
        padding_value=pad,
        bias_initializer="ones",
    )
    x = normal(2, 5, 6, 3)
    found = layer(x)
    kernel = layer.kernel.numpy()
    expected = convolved(x, kernel, 1.0, stride, dilation, np.float32(pad))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert layer.compute_output_shape(x.shape).as_list() == list(expected.shape)


def test_padding_values_work_in_groups_and_with_open_sizes():
    layer = PaddedConv2D(4, 3, groups=2, padding_value=[1.0, 2.0, 3.0, 4.0])
    inputs = tf_keras.Input((None, None, 4))
    model = tf_keras.Model(inputs, layer(inputs))
    x, kernel = normal(1, 4, 4, 4), layer.kernel.numpy()
    halves = [
        convolved(
            x[..., g : g + 2],
            kernel[..., g : g + 2],
            0,
            1,
            1,
            np.float32([g + 1, g + 2]),
        )
        for g in (0, 2)
    ]
    np.testing.assert_allclose(model(x), np.concatenate(halves, -1), atol=1e-5)


def test_without_a_value_it_is_the_plain_convolution():
    x = normal(1, 5, 5, 2)
    padded = PaddedConv2D(3, 3, strides=2, padding="same")
    plain = tf_keras.layers.Conv2D(3, 3, strides=2, padding="same")
    padded(x), plain(x)
    plain.set_weights(padded.get_weights())
    np.testing.assert_array_equal(padded(x), plain(x))
    valid = PaddedConv2D(3, 3)
    assert valid(x).shape == (1, 3, 3, 3)


@pytest.mark.parametrize("value", ["x", [[1.0]], float("nan"), []])
def test_padding_values_that_are_none_are_refused(value):
    with pytest.raises((ArgumentError, ValueError)):
        PaddedConv2D(1, 3, padding_value=value)


def test_too_few_padding_values_are_told_with_the_channels():
    with pytest.raises(ArgumentError, match="2 padding values for an input of 3"):
        PaddedConv2D(1, 3, padding_value=[1.0, 2.0], name="c")(normal(1, 4, 4, 3))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    "geometry", [(3, 2, 1), (2, 2, 1), (3, 1, 2), (1, 2, 1), (4, 3, 2)]
)
def test_the_transpose_enlarges_each_channel_as_a_convolution_of_its_own(
    geometry, padding
):
    size, stride, multiplier = geometry
    layer = DepthwiseConv2DTranspose(
        size, stride, padding, depth_multiplier=multiplier, activation="relu"
    )
    x = normal(2, 4, 5, 3)
    found = layer(x).numpy()
    assert layer.depthwise_kernel.shape == (size, size, 3, multiplier)
    for c, m in np.ndindex(3, multiplier):
        own = tf_keras.layers.Conv2DTranspose(1, size, stride, padding)
        own.build((None, 4, 5, 1))
        kernel = layer.depthwise_kernel.numpy()[:, :, c, m, None, None]
        own.set_weights([kernel, np.zeros(1)])
        expected = np.maximum(own(x[..., c : c + 1])[..., 0], 0)
        np.testing.assert_allclose(found[..., c * multiplier + m], expected, atol=1e-5)


def test_the_transpose_trains_and_takes_open_sizes():
    inputs = tf_keras.Input((None, None, 2))
    layer = DepthwiseConv2DTranspose(3, 2, "same")
    model = tf_keras.Model(inputs, layer(inputs))
    x = tf.constant(normal(1, 3, 3, 2))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(model(x) ** 2)
    for gradient in tape.gradient(loss, [x, *model.trainable_weights]):
        assert np.abs(gradient).max() > 0
    assert model.output_shape == (None, None, None, 2)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dilation_rate": 2}, "dilation_rate"),
        ({"strides": (1, 2)}, "strides"),
        ({"data_format": "channels_first"}, "data_format"),
    ],
)
def test_what_the_transpose_cannot_do_is_refused_by_name(arguments, named):
    with pytest.raises(ArgumentError, match=f'Transpose "up": {named}'):
        DepthwiseConv2DTranspose(3, name="up", **arguments)


# Attention, normalization, sums.


@pytest.mark.parametrize("softmax", ["softmax", "shiftmax"])
def test_attention_is_what_the_formula_says(softmax):
    query, key, value = normal(2, 3, 8), normal(2, 5, 8), normal(2, 5, 8)
    output, mask = Attention(num_heads=2, softmax=softmax)((query, key, value))
    assert mask.shape == (2, 2, 3, 5)
    for b, head in np.ndindex(2, 2):
        part = slice(4 * head, 4 * head + 4)
        scores = query[b, :, part] @ key[b, :, part].T / 2
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        if softmax == "shiftmax":
            weights = np.float32([by_hand(row.tolist()) for row in scores])
        np.testing.assert_allclose(mask[b, head], weights, atol=1e-6)
        np.testing.assert_allclose(
            output[b, :, part], weights @ value[b, :, part], atol=1e-5
        )


def test_attention_and_softmax_errors_say_what_to_give():
    with pytest.raises(ArgumentError, match='Did you mean "shiftmax"'):
        string_to_softmax("shiftmx")
    with pytest.raises(ArgumentError, match="multiple of 3"):
        Attention(3)((normal(1, 2, 4),) * 3)
    with pytest.raises(ArgumentError, match=r"\(query, key, value\)"):
        Attention(2)((normal(1, 2, 4),) * 2)
    with pytest.raises(ArgumentError, match="num_heads=0"):
        Attention(0)
    assert string_to_softmax("shiftmax") is shiftmax


def test_mad_normalization_divides_by_the_mean_magnitude():
    layer = LayerMadNormalization(
        gamma_initializer="random_normal", beta_initializer="random_normal"
    )
    x = normal(3, 4, 5)
    x[1, 2] = 0
    found = layer(x).numpy()
    gamma, beta = (w.numpy() for w in layer.weights)
    for b, t in np.ndindex(3, 4):
        mad = np.abs(x[b, t]).sum() / 5
        expected = gamma * (x[b, t] / mad if mad else 0) + beta
        np.testing.assert_allclose(found[b, t], expected, atol=1e-5)
    bare = LayerMadNormalization(scale=False, center=False)
    np.testing.assert_allclose(bare(np.float32([[2, -6]])), [[0.5, -1.5]])
    with pytest.raises(ArgumentError, match="only the last axis"):
        LayerMadNormalization(axis=1)(x)


def test_add_sums_or_averages_any_number_of_inputs():
    parts = [normal(2, 3) for _ in range(3)]
    np.testing.assert_allclose(Add()(parts), sum(parts), rtol=1e-6)
    np.testing.assert_allclose(Add(average=True)(parts), sum(parts) / 3, rtol=1e-6)
    assert isinstance(Add(), tf_keras.layers.Add)
    with pytest.raises(ArgumentError, match="same shape"):
        Add()([normal(2, 3), normal(2, 1)])


# Tokens.


def test_tokens_are_put_first_moved_and_taken_out():
    x = normal(2, 3, 4)
    token = ClassToken(initializer="random_normal")
    found = token(x).numpy()
    np.testing.assert_array_equal(found[:, 1:], x)
    np.testing.assert_array_equal(found[:, 0], np.repeat(token.cls.numpy()[0], 2, 0))
    positions = AddPositionEmbs(initializer="random_normal")
    np.testing.assert_array_equal(positions(x), x + positions.pe.numpy())
    np.testing.assert_array_equal(ExtractToken(2)(x), x[:, 2])
    np.testing.assert_array_equal(ExtractToken(-1, axis=-1)(x), x[..., -1])


def test_token_errors_name_layer_and_shape():
    with pytest.raises(ArgumentError, match='ClassToken "cls": an input of shape'):
        ClassToken(name="cls")(normal(2, 3))
    with pytest.raises(ArgumentError, match="unknown"):
        AddPositionEmbs()(tf_keras.Input((None, 4)))
    with pytest.raises(ArgumentError, match="token=3"):
        ExtractToken(3)(normal(1, 3, 4))
    with pytest.raises(ArgumentError, match="axis=0"):
        ExtractToken(0, axis=0)(normal(1, 3, 4))


# Copies and files.


def image_model():
    x = inputs = tf_keras.Input((4, 4, 2))
    x = PaddedConv2D(4, 3, padding_value=tf.constant([0.5, -1.0]), name="padded")(x)
    y = PaddedConv2D(4, 3, padding_value=0.25, activation="relu", name="scalar")(x)
    x = Add(average=True, name="mean")([x, y])
    return tf_keras.Model(inputs, DepthwiseConv2DTranspose(3, 2, "same", name="up")(x))


def token_model():
    x = inputs = tf_keras.Input((3, 4))
    x = ClassToken(initializer="random_normal", name="class")(x)
    x = AddPositionEmbs(initializer="random_normal", name="position")(x)
    x = LayerMadNormalization(name="norm")(x)
    x, mask = Attention(2, softmax="shiftmax", name="attention")((x, x, x))
    x = ExtractToken(0, name="first")(x)
    return tf_keras.Model(inputs, [Shiftmax(name="end")(x), mask])


@pytest.mark.parametrize("make", [image_model, token_model])
def test_models_of_these_layers_are_cloned_and_reloaded_as_they_were(make, tmp_path):
    model = make()
    x = normal(2, *model.input_shape[1:])
    expected = tf.nest.flatten(model(x))
    clone = tf_keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    copies = [clone]
    for before, after in (("a.keras", "b.h5"), ("c.h5", "d.keras")):
        model.save(tmp_path / before)
        loaded = tf_keras.models.load_model(tmp_path / before)
        # A file made of what was read from one, in the other format.
        loaded.save(tmp_path / after)
        copies += [loaded, tf_keras.models.load_model(tmp_path / after)]
    for copy in copies:
        assert [w.name for w in copy.weights] == [w.name for w in model.weights]
        for a, b in zip(expected, tf.nest.flatten(copy(x)), strict=True):
            np.testing.assert_array_equal(a, b)
        for layer in model.layers[1:]:
            again = copy.get_layer(layer.name)
            assert type(again) is type(layer)
            assert again.get_config() == layer.get_config()


def test_plain_keras_adds_and_attentions_stay_plain_in_files(tmp_path):
    a = tf_keras.Input((3, 4))
    added = tf_keras.layers.Add(name="plus")([a, a])
    model = tf_keras.Model(a, tf_keras.layers.Attention(name="attend")([added, a]))
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"m{ending}")
        loaded = tf_keras.models.load_model(tmp_path / f"m{ending}")
        assert type(loaded.get_layer("plus")) is tf_keras.layers.Add
        assert type(loaded.get_layer("attend")) is tf_keras.layers.Attention
