"""Functions, activations and nested models become plain layers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import UnsupportedModelError
from larqlite.integer.models.transforms import (
    flatten_nested,
    replace_lambda,
    split_activations,
)
from tests.integer.transforms.helpers import (
    check_equal,
    inputs_of,
    kinds,
    layers,
    randomized,
    transformed,
)


def lambda_model(function, *shapes, **arguments):
    inputs = [tf_keras.Input(shape) for shape in shapes]
    layer = layers.Lambda(function, name="function", **arguments)
    return tf_keras.Model(inputs, layer(inputs[0] if len(inputs) == 1 else inputs))


def rectified_and_turned(x):
    return tf.transpose(tf_keras.activations.relu(x), (0, 2, 1))


def scaled_sum(pair, shift=0):
    return tf.nn.relu6(pair[0] + pair[1] + pair[0]) if not shift else pair[0]


# Function, shapes of the inputs, what it becomes.
RECOGNISED = [
    (lambda x: tf.nn.relu(x), [(3, 4)], ["ReLU"]),
    (tf.nn.relu, [(3, 4)], ["ReLU"]),
    (tf_keras.activations.relu, [(3, 4)], ["ReLU"]),
    (lambda x: tf_keras.backend.relu(x, max_value=6), [(3, 4)], ["ReLU"]),
    (lambda x: tf.maximum(0.0, x), [(3, 4)], ["ReLU"]),
    (lambda x: tf.transpose(x, (0, 2, 1)), [(3, 4)], ["Permute"]),
    (lambda x: tf.transpose(x, perm=[0, 3, 1, 2]), [(2, 3, 4)], ["Permute"]),
    (lambda x: tf.reshape(x, (-1, 2, 6)), [(3, 4)], ["Reshape"]),
    (lambda x: tf.reshape(x, (tf.shape(x)[0], 12)), [(3, 4)], ["Reshape"]),
    (lambda x: tf.expand_dims(x, 1), [(3, 4)], ["Reshape"]),
    (lambda x: tf.squeeze(x, -1), [(3, 1)], ["Reshape"]),
    (lambda pair: pair[0] + pair[1], [(3, 4)] * 2, ["Add"]),
    (lambda pair: tf.add_n(pair), [(3, 4)] * 3, ["Add"]),
    (lambda pair: tf.add(*pair), [(3, 4)] * 2, ["Add"]),
    (rectified_and_turned, [(3, 4)], ["ReLU", "Permute"]),
    (scaled_sum, [(3, 4)] * 2, ["Add", "ReLU"]),
    (lambda x: x + x, [(3, 4)], ["Add"]),
    (lambda x: tf.identity(x), [(3, 4)], []),
    (lambda x: tf.nn.leaky_relu(x, 0.1), [(3, 4)], ["LeakyReLU"]),
    (lambda x: tf.nn.elu(tf.tanh(x)), [(3, 4)], ["Activation", "Activation"]),
    (lambda pair: pair[0] * pair[1], [(3, 4), (1, 4)], ["Multiply"]),
]


@pytest.mark.parametrize("case", range(len(RECOGNISED)))
def test_a_lambda_is_recognised_by_what_it_computes(case):
    function, shapes, expected = RECOGNISED[case]
    new = transformed(replace_lambda, lambda_model(function, *shapes))
    assert kinds(new) == expected
    if expected:
        assert new.layers[-1].name == "function"


KEPT = [
    (lambda x: tf.nn.relu(x) * 2, [(3, 4)]),
    (lambda x: x + 1.0, [(3, 4)]),
    (lambda x: tf.exp(x), [(3, 4)]),
    (lambda x: tf.maximum(x, 0.5), [(3, 4)]),
    (lambda pair: pair[0] + pair[1], [(3, 4), (3, 1)]),
    (lambda pair: pair[0] * pair[1], [(3, 4), ()]),
    (lambda x: tf.transpose(x), [(3,)]),
    (lambda x: tf.reshape(x, (2, -1)), [(4,)]),
    (lambda pair: tf.nn.relu(pair[0]) + pair[1], [(3, 4)] * 2),
]


@pytest.mark.parametrize("case", range(len(KEPT)))
def test_a_function_that_does_more_stays(case):
    function, shapes = KEPT[case]
    model = lambda_model(function, *shapes)
    assert replace_lambda(model) is model


def test_a_lambda_is_read_with_its_arguments_and_without_those_of_variables():
    arguments = {"perm": (0, 2, 1)}
    new = transformed(
        replace_lambda, lambda_model(tf.transpose, (3, 4), arguments=arguments)
    )
    assert new.layers[-1].dims == (2, 1)
    weight = tf.Variable(tf.ones((4,)))
    model = lambda_model(lambda x: tf.nn.relu(x * weight), (4,))
    assert replace_lambda(model) is model


def test_functions_on_keras_tensors_and_relu_activations_are_replaced():
    x = tf_keras.Input((4, 6))
    y = tf.nn.relu(x)
    z = tf.reshape(tf.transpose(y, (0, 2, 1)), (tf.shape(x)[0], 4, 6))
    y = layers.Activation("relu", name="act")(z + y)
    y = layers.Activation(tf.nn.relu6)(tf.add(y, z))
    new = transformed(replace_lambda, tf_keras.Model(x, tf.expand_dims(y, -1)))
    assert sorted(kinds(new)) == sorted(
        ["ReLU", "Permute", "Reshape", "Add", "ReLU", "Add", "ReLU", "Reshape"]
    )
    assert type(new.get_layer("act")) is layers.ReLU
    assert [layer.max_value for layer in new.layers if kinds_of(layer) == "ReLU"][
        -1
    ] == 6


def kinds_of(layer):
    return type(layer).__name__


def test_a_lambda_that_is_called_twice_becomes_two_layers():
    x = tf_keras.Input((4, 4))
    turn = layers.Lambda(lambda t: tf.transpose(t, (0, 2, 1)), name="turn")
    new = transformed(replace_lambda, tf_keras.Model(x, turn(layers.Dense(4)(turn(x)))))
    assert [layer.name for layer in new.layers if "turn" in layer.name] == [
        "turn",
        "turn_1",
    ]


# Activations.


@pytest.mark.parametrize(
    "make",
    [
        lambda a: layers.Conv2D(3, 3, activation=a, name="layer"),
        lambda a: layers.DepthwiseConv2D(3, activation=a, name="layer"),
        lambda a: layers.SeparableConv2D(3, 3, activation=a, name="layer"),
        lambda a: layers.Conv2DTranspose(3, 3, activation=a, name="layer"),
        lambda a: layers.Dense(3, activation=a, name="layer"),
        lambda a: lq.integer.layers.PaddedConv2D(
            3, 3, padding_value=1.0, activation=a, name="layer"
        ),
        lambda a: lq.layers.QuantConv2D(
            3,
            3,
            activation=a,
            name="layer",
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
        ),
    ],
)
def test_an_activation_function_becomes_a_layer_of_its_own(make):
    for activation, kind, name in (
        ("relu", "ReLU", "layer_relu"),
        (tf.nn.relu6, "ReLU", "layer_relu6"),
        ("softmax", "Activation", "layer_softmax"),
        ("tanh", "Activation", "layer_tanh"),
    ):
        model = tf_keras.Sequential([tf_keras.Input((6, 6, 3)), make(activation)])
        new = transformed(split_activations, randomized(model))
        assert kinds(new) == [kinds_of(model.layers[0]), kind]
        assert [layer.name for layer in new.layers] == ["layer", name]


def test_activations_with_weights_keep_them():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 3)),
            layers.Conv2D(4, 3, activation=lq.layers.RPReLU(name="bend")),
            layers.Dense(3, activation=layers.LeakyReLU(name="leak")),
            layers.Activation("linear"),
        ]
    )
    model.layers[0].activation.zeta.assign([1.0, 2.0, 3.0, 4.0])
    new = transformed(split_activations, model)
    assert kinds(new) == ["Conv2D", "RPReLU", "Dense", "LeakyReLU"]
    np.testing.assert_array_equal(new.get_layer("bend").zeta, [1, 2, 3, 4])


def test_a_layer_that_is_called_twice_gets_an_activation_after_each_call():
    x = tf_keras.Input((4,))
    dense = layers.Dense(4, activation="relu", name="fc")
    new = transformed(split_activations, tf_keras.Model(x, dense(dense(x))))
    assert [layer.name for layer in new.layers[1:]] == ["fc", "fc_relu", "fc_relu_1"]


# Nested models.


def block(name):
    return tf_keras.Sequential(
        [
            layers.Conv2D(
                4, 3, padding="same", input_shape=(None, None, 4), name="conv"
            ),
            layers.BatchNormalization(name="bn"),
        ],
        name=name,
    )


def test_models_in_models_are_unfolded_and_names_stay_apart():
    x = tf_keras.Input((6, 6, 4))
    a, b = tf_keras.Input((6, 6, 4)), tf_keras.Input((6, 6, 4))
    pair = tf_keras.Model(
        {"b": b, "a": a},
        [layers.Subtract(name="minus")([a, block("inner")(b)]), layers.ReLU()(a)],
        name="pair",
    )
    first, second = pair({"a": layers.Dense(4, name="conv")(x), "b": x})
    shared = block("shared")
    y = layers.Add()([shared(first), shared(second)])
    model = randomized(tf_keras.Model(x, [y, first]))
    new = transformed(flatten_nested, model)
    assert not any(isinstance(layer, tf_keras.Model) for layer in new.layers)
    names = [layer.name for layer in new.layers]
    assert len(set(names)) == len(names)
    assert {"conv", "minus", "bn", "inner_conv", "shared_conv", "shared_bn"} <= set(
        names
    )
    assert len(new.weights) == len(model.weights)


def test_a_nested_model_that_is_frozen_stays_so():
    x = tf_keras.Input((6, 6, 4))
    base = block("base")
    base.trainable = False
    y = layers.GlobalAveragePooling2D()(base(x, training=False))
    new = flatten_nested(randomized(tf_keras.Model(x, y)))
    assert not new.trainable_weights
    # Batch statistics are not used in training either.
    data = inputs_of(new)
    np.testing.assert_array_equal(new(data, training=True), new(data, training=False))


def test_a_nested_chain_in_a_sequential_stays_sequential_and_a_branch_does_not():
    x = tf_keras.Input((6, 6, 4))
    branch = tf_keras.Model(x, layers.Add()([x, block("b")(x)]))
    chain = transformed(
        flatten_nested, randomized(tf_keras.Sequential([block("one"), layers.ReLU()]))
    )
    assert isinstance(chain, tf_keras.Sequential)
    model = randomized(tf_keras.Sequential([tf_keras.Input((6, 6, 4)), branch]))
    assert kinds(transformed(flatten_nested, model)) == [
        "Conv2D",
        "BatchNormalization",
        "Add",
    ]


def test_a_nested_model_with_more_than_inputs_is_refused_by_name():
    x = tf_keras.Input((6, 6, 4))
    mask = tf_keras.Input((), dtype="bool")
    model = tf_keras.Model([x, mask], block("base")(x, mask=mask))
    with pytest.raises(UnsupportedModelError, match='"base" is called with mask'):
        flatten_nested(model)


def test_functions_in_nested_models_are_replaced_there():
    inner = lambda_model(tf.nn.relu, (3, 4))
    x = tf_keras.Input((3, 4))
    model = tf_keras.Model(x, layers.Dense(2)(inner(x)))
    new = transformed(replace_lambda, model)
    assert kinds(new.layers[1]) == ["ReLU"]
    check_equal(model, new)
