"""What `follow` gives is what the model computes, whatever the model is made of."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.graph import call_in_inference, follow, in_order
from tests.graph.random_models import random_inputs, random_model

K = tf_keras.layers


def computed(call):
    """The numbers that come out of a layer."""
    return call_in_inference(call.layer, call.args, call.kwargs)


def as_one_layer(call, inside):
    return computed(call)


def as_given(model, arrays):
    """Arrays in the structure that a model takes."""
    return tf.nest.pack_sequence_as(model.input, [tf.constant(x) for x in arrays])


def require_same(model, arrays, **options):
    wanted = tf.nest.flatten(model(as_given(model, arrays), training=False))
    found = follow(model, list(map(tf.constant, arrays)), computed, **options)
    assert len(found) == len(wanted)
    for x, y in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("seed", range(24))
def test_a_random_model_gives_what_keras_computes(seed):
    model = random_model(seed)
    arrays = random_inputs(model, seed)
    require_same(model, arrays)
    require_same(model, arrays, enter=as_one_layer)


def test_the_random_models_have_everything_that_they_are_to_have():
    found = set()
    for seed in range(24):
        model = random_model(seed)
        found |= {type(model.input).__name__, type(model.output).__name__}
        calls = []
        follow(
            model,
            [None] * len(model.inputs),
            lambda call, calls=calls: (
                calls.append(call) or [None] * len(call.output_tensors)
            ),
        )
        layers = [call.layer for call in calls]
        found |= {type(layer).__name__ for layer in layers}
        found |= {"shared"} if len(set(map(id, layers))) < len(layers) else set()
        found |= {f"depth {call.path.count('/')}" for call in calls}
    assert found >= {"dict", "list", "KerasTensor", "TFOpLambda", "SlicingOpLambda"}
    assert found >= {"shared", "depth 0", "depth 1", "depth 2", "BatchNormalization"}


def doubled(name, shape=(2,), dtype="float32"):
    """A model that gives out twice what goes in."""
    x = tf_keras.Input(shape, name=name, dtype=dtype)
    return tf_keras.Model(x, x + x, name=f"twice_{name}")


def difference(built_with):
    """A model of `first - second`; its inputs as a list or a dictionary."""
    first, second = tf_keras.Input((2,), name="b"), tf_keras.Input((2,), name="a")
    given = [first, second]
    if built_with == "names":
        given = {"b": first, "a": second}
    elif built_with == "other keys":
        # Each key is the name of the other input.
        given = {"a": first, "b": second}
    return tf_keras.Model(given, first - second)


@pytest.mark.parametrize("built_with", ["list", "names", "other keys"])
def test_a_dictionary_reaches_the_inputs_that_keras_gives_it_to(built_with):
    inner = difference(built_with)
    x, y = tf_keras.Input((2,)), tf_keras.Input((2,))
    model = tf_keras.Model([x, y], inner({"a": x, "b": y}))
    arrays = [np.array([[1, 2]], np.float32), np.array([[30, 50]], np.float32)]
    require_same(model, arrays)
    sign = -1 if built_with != "other keys" else 1
    (found,) = follow(model, arrays, computed)
    np.testing.assert_array_equal(found, sign * (arrays[0] - arrays[1]))


def test_a_dictionary_with_other_keys_than_the_model_is_taken_in_the_order_of_its_keys():
    model = difference("list")
    assert in_order(model, {"y": 1, "x": 2}) == tf.nest.flatten({"y": 1, "x": 2})
    assert in_order(model, {"a": 1, "b": 2}) == [2, 1]
    assert in_order(model, {"a": 1, "b": 2, "more": 3}) == [2, 1]
    assert in_order(model, [1, 2]) == [1, 2]


@pytest.mark.parametrize(("shape", "dtype"), [((), "float32"), ((1,), "int32")])
def test_what_goes_into_a_model_inside_has_its_dtype_and_rank(shape, dtype):
    x = tf_keras.Input((1,))
    model = tf_keras.Model(x, doubled("in", shape, dtype)(x * 1.5))
    require_same(model, [np.array([[1], [2.5]], np.float32)])


def test_a_model_inside_may_be_called_with_constants():
    inner = difference("list")
    x, constant = tf_keras.Input((2,)), tf.constant([[5.0, 7.0]])
    model = tf_keras.Model(
        x, [inner([x, constant]), inner([constant, x]), inner([x, x])]
    )
    require_same(model, [np.array([[1, 2]], np.float32)])
    read = []

    def apply(call):
        read.append(call.inputs)
        return ["y"]

    follow(model, ["x"], apply)
    assert read == [["x"], ["x"], ["x", "x"]]


def test_each_call_of_a_shared_layer_is_met_with_its_path_and_values():
    dense = K.Dense(2, name="fc")
    x = tf_keras.Input((2,))
    inner = tf_keras.Model(x, dense(dense(x)), name="inner")
    outer = tf_keras.Input((2,))
    model = tf_keras.Model(outer, inner(dense(inner(outer))))
    calls = []

    def apply(call):
        calls.append((call.path, *call.inputs))
        return len(calls)

    assert follow(model, [0], apply) == [5]
    inside = "inner/fc"
    assert calls == [(inside, 0), (inside, 1), ("fc", 2), (inside, 3), (inside, 4)]


def test_a_part_of_a_model_is_followed_from_its_inputs_to_any_tensors():
    x = tf_keras.Input((2,))
    y = K.Dense(3, name="first")(x)
    z = K.Dense(4, name="second")(y)
    tf_keras.Model(y, K.Dense(5, name="elsewhere")(y))
    whole = tf_keras.Model(x, z)
    met = []

    def apply(call):
        met.append(call.path)
        return call.path

    assert follow(whole, [None], apply, tensors=[y]) == ["first"]
    assert follow(tf_keras.Model(y, z), [None], apply) == ["second"]
    assert met == ["first", "second"]


def test_values_of_the_wrong_count_are_refused():
    model = doubled("one")
    with pytest.raises(ValueError, match="zip"):
        follow(model, [1, 2], computed)
    with pytest.raises(ValueError, match="zip"):
        follow(model, [1], lambda call: [1, 2])
