"""The offset of a Rescaling in the next layer, and a Rescaling or quantizer put in."""

import numpy as np
import pytest
import tf_keras

from larqlite.errors import LarqliteError, UnbuiltModelError
from larqlite.integer.layers import PaddedConv2D
from larqlite.integer.models.transforms import (
    align_rescaling,
    insert_layer,
    insert_rescaling,
)
from tests.integer.transforms.helpers import (
    check_equal,
    inputs_of,
    kinds,
    layers,
    randomized,
    transformed,
)

VECTOR = {"scale": [0.5, 2.0, 1.5], "offset": [-1.0, 0.25, 3.0]}
SETTINGS = [
    {"scale": 0.5, "offset": -1.0},
    {"scale": 0.5, "offset": [-1.0, 0.0, 2.0]},
    {"scale": [0.5, 2.0, 1.5]},
    VECTOR,
]


def sequential(shape, *parts):
    return randomized(tf_keras.Sequential([tf_keras.Input(shape), *parts]))


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    "reader",
    [
        lambda: layers.Conv2D(4, 3),
        lambda: layers.Conv2D(4, 3, 2, "same", use_bias=False),
        lambda: layers.Conv2D(6, 3, groups=3, padding="same"),
        lambda: layers.Dense(4),
        lambda: layers.Dense(4, use_bias=False, activation="relu"),
    ],
)
def test_the_next_layer_takes_the_offset_and_a_scale_for_each_channel(reader, settings):
    model = sequential((7, 7, 3), layers.Rescaling(**settings), reader())
    name = model.layers[1].name
    new = transformed(align_rescaling, model)
    rescaling, second = new.layers
    assert rescaling.offset == 0
    assert rescaling.scale == (1.0 if np.size(settings["scale"]) > 1 else 0.5)
    assert second.name == name
    is_same = getattr(model.layers[1], "padding", "") == "same"
    assert isinstance(second, PaddedConv2D) == is_same


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_dense_layer_behind_a_flatten_takes_them_too(settings):
    model = sequential(
        (3, 5, 3), layers.Rescaling(**settings), layers.Flatten(), layers.Dense(4)
    )
    new = transformed(align_rescaling, model)
    assert kinds(new) == ["Rescaling", "Flatten", "Dense"]
    assert new.layers[0].offset == 0


def test_the_padding_is_what_is_zero_after_the_offset():
    model = sequential(
        (4, 4, 3), layers.Rescaling(**VECTOR), layers.Conv2D(1, 3, padding="same")
    )
    new = align_rescaling(model)
    # s x + o = 0 at x = -o / s
    np.testing.assert_allclose(new.layers[1].padding_value, [2.0, -0.125, -2.0])
    black = np.float32([2.0, -0.125, -2.0]) * np.ones((1, 4, 4, 3), "float32")
    bias = np.broadcast_to(model.layers[1].bias, (1, 4, 4, 1))
    np.testing.assert_allclose(new(black), bias, atol=1e-6)


def test_an_aligned_rescaling_and_a_model_without_one_come_back():
    for model in (
        sequential((4, 4, 3), layers.Rescaling(2.0), layers.Flatten()),
        sequential((4,), layers.Dense(2)),
    ):
        assert align_rescaling(model) is model


def test_readers_that_cannot_take_the_offset_are_named():
    rescaling = lambda: layers.Rescaling(1 / 127.5, -1.0, name="scale")  # noqa: E731
    x = tf_keras.Input((4, 4, 3))
    y = rescaling()(x)
    for model, named in (
        (sequential((4, 4, 3), rescaling(), layers.Flatten(name="flat")), "flat"),
        (sequential((4, 4, 3), rescaling()), "the output"),
        (tf_keras.Model(x, [layers.Dense(2, name="a")(y), y]), "a, the output"),
        (sequential((4, 4, 3), rescaling(), layers.DepthwiseConv2D(3, name="d")), "d"),
    ):
        with pytest.raises(
            ValueError, match=f'"scale" has an offset.* read by {named}'
        ):
            align_rescaling(model)
    zero = sequential(
        (4, 4, 2),
        layers.Rescaling([0.0, 1.0], [1.0, 1.0]),
        layers.Conv2D(1, 3, padding="same"),
    )
    with pytest.raises(LarqliteError, match="a scale of 0"):
        align_rescaling(zero)


def test_a_rescaling_is_put_in_front():
    model = sequential((4, 4, 3), layers.Conv2D(2, 3, name="rescaling"))
    new = insert_rescaling(model, scale=1 / 255, offset=-0.5)
    assert [layer.name for layer in new.layers] == ["rescaling_1", "rescaling"]
    x = inputs_of(model) * 100
    np.testing.assert_allclose(new(x), model(x / 255 - 0.5), atol=1e-5)
    assert isinstance(new, tf_keras.Sequential)


def test_a_rescaling_needs_one_input():
    with pytest.raises(UnbuiltModelError, match="not built"):
        insert_rescaling(tf_keras.Sequential([layers.Dense(2)]), 1.0, 0.0)
    a, b = tf_keras.Input((2,), name="a"), tf_keras.Input((2,), name="b")
    with pytest.raises(ValueError, match="several inputs: a, b"):
        insert_rescaling(tf_keras.Model([a, b], layers.Add()([a, b])), 1.0, 0.0)


# Layers put in.


def test_a_layer_goes_between_one_and_its_readers():
    from larqlite.integer.layers import Dequantizer

    x = tf_keras.Input((4,))
    y = layers.Dense(4, name="first")(x)
    model = tf_keras.Model(x, [layers.ReLU(name="r")(y), layers.Add(name="s")([y, x])])
    new = insert_layer(model, "first", Dequantizer(name="float"))
    assert kinds(new) == ["Dense", "Dequantizer", "ReLU", "Add"]
    for name in ("r", "s"):
        read = new.get_layer(name).input
        read = read if isinstance(read, list) else [read]
        assert read[0].node.layer.name == "float"
    check_equal(model, new)
    inner = sequential((4,), layers.Dense(2, name="deep"), layers.ReLU())
    nested = tf_keras.Model(x, inner(x))
    new = insert_layer(nested, "deep", Dequantizer())
    assert kinds(new.layers[1]) == ["Dense", "Dequantizer", "ReLU"]


def test_wrong_names_classes_and_places_are_value_errors():
    from larqlite.integer.layers import Dequantizer, OutputQuantizer

    x = tf_keras.Input((4,))
    dense = layers.Dense(4, name="dense")
    y = dense(x)
    model = tf_keras.Model(x, [layers.ReLU(name="relu")(y), y])
    for target, layer, match in (
        ("dence", Dequantizer(), 'no layer "dence". Did you mean "dense"'),
        ("dense", layers.ReLU(), "new_layer is a ReLU"),
        ("dense", OutputQuantizer(), '"dense" has several outputs or readers'),
        ("dense", Dequantizer(name="relu"), 'has a layer "relu" already'),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            insert_layer(model, target, layer)
        assert isinstance(caught.value, LarqliteError)
    twice = tf_keras.Model(x, dense(dense(x)))
    with pytest.raises(ValueError, match="called 2 times"):
        insert_layer(twice, "dense", Dequantizer())


def test_quantizers_go_between_integer_layers():
    from larqlite.integer.layers import (
        Dequantizer,
        OutputQuantizer,
        QuantizedConv2D,
    )

    config = {"weight_quantizer": {"bitwidth": 8}}
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 3), dtype="uint8"),
            QuantizedConv2D(4, 3, quant_config=config, name="conv"),
        ]
    )
    x = np.random.default_rng(3).integers(0, 256, (2, 6, 6, 3)).astype("uint8")
    float_model = insert_layer(model, "conv", Dequantizer())
    np.testing.assert_array_equal(float_model(x), model(x).to_float())
    rounded = insert_layer(float_model, "conv", OutputQuantizer(bitwidth=8))
    assert kinds(rounded) == ["QuantizedConv2D", "OutputQuantizer", "Dequantizer"]
