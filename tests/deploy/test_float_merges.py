"""Layers on several tensors, shared layers, nested models: the file against Keras."""

import pytest
import tf_keras

import larqlite as lq
from tests.deploy.keras_and_file import assert_same, with_random_weights

layers = tf_keras.layers
IMAGE = (4, 5, 6)

MERGES = {
    "Add": layers.Add,
    "Subtract": layers.Subtract,
    "Multiply": layers.Multiply,
    "Average": layers.Average,
    "Maximum": layers.Maximum,
    "Minimum": layers.Minimum,
    "Concatenate": layers.Concatenate,
    "Concatenate rows": lambda: layers.Concatenate(axis=1),
}


@pytest.mark.parametrize("name", MERGES)
def test_a_merge_of_tensors_stored_in_different_orders(name):
    first, second = tf_keras.Input(IMAGE), tf_keras.Input(IMAGE)
    for one in (first, layers.MaxPooling2D(1)(first)):
        merged = MERGES[name]()([one, second])
        assert_same(tf_keras.Model([first, second], merged))


@pytest.mark.parametrize("cls", [layers.Add, layers.Average, layers.Maximum])
def test_a_merge_of_three_tensors(cls):
    inputs = [tf_keras.Input(IMAGE) for _ in range(3)]
    assert_same(tf_keras.Model(inputs, cls()(inputs)))


@pytest.mark.parametrize("narrow", [(1, 1, 6), (6,), (4, 1, 1), (4, 5, 1)])
def test_a_merge_stretches_axes_of_one_element_and_adds_missing_ones(narrow):
    wide, small = tf_keras.Input(IMAGE), tf_keras.Input(narrow)
    for cls in (layers.Multiply, layers.Add):
        merged = cls()([layers.MaxPooling2D(1)(wide), small])
        assert_same(tf_keras.Model([wide, small], merged))


@pytest.mark.parametrize(
    ("left", "right", "axes", "normalize"),
    [
        ((6,), (6,), 1, False),
        ((6,), (6,), -1, True),
        ((4, 6), (6,), (2, 1), False),
        ((6,), (6, 4), 1, False),
        ((4, 6), (5, 6), 2, True),
        ((6, 4), (5, 6), (1, 2), False),
        ((6, 4), (6, 5), 1, False),
    ],
)
def test_a_dot_product(left, right, axes, normalize):
    inputs = [tf_keras.Input(left), tf_keras.Input(right)]
    model = tf_keras.Model(inputs, layers.Dot(axes, normalize=normalize)(inputs))
    assert_same(model)


def test_a_layer_that_is_used_twice_is_stored_once():
    """On tensors that are stored in different orders, too."""
    image = tf_keras.Input((4, 5, 3))
    shared = [
        layers.Dense(3, activation="relu"),
        layers.BatchNormalization(),
        layers.PReLU(),
        lq.layers.RPReLU(),
        layers.LayerNormalization(axis=[2, 3]),
    ]
    one, other = image, layers.MaxPooling2D(1)(image)
    for layer in shared:
        one, other = layer(one), layer(other)
    model = with_random_weights(tf_keras.Model(image, layers.Add()([one, other])))
    assert_same(model)


def test_a_nested_model_that_is_used_twice():
    block = tf_keras.Sequential(
        [tf_keras.Input((6, 6, 3)), layers.Conv2D(3, 3, padding="same"), layers.ReLU()],
        name="block",
    )
    image = tf_keras.Input((6, 6, 3))
    outputs = layers.Subtract()([block(block(image)), image])
    assert_same(with_random_weights(tf_keras.Model(image, outputs)))


def test_several_outputs_one_of_them_an_input():
    image = tf_keras.Input((4, 4, 2), name="image")
    features = layers.Conv2D(3, 3)(image)
    model = tf_keras.Model(image, [image, features, layers.Flatten()(features)])
    assert_same(with_random_weights(model))
