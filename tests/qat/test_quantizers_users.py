"""Quantizers that users write, in the forms of the guides, are called as they ask."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.qat.quantizers import Quantizer
from larqlite.qat.quantizers.internal import invoke


def test_the_quantizer_of_the_api_page_runs():
    class FixedRangeQuantizer(Quantizer):
        def build(self, tensor_shape, name, layer):
            range_var = layer.add_weight(
                name + "_range",
                initializer=tf_keras.initializers.Constant(6.0),
                trainable=False,
            )
            return {"range_var": range_var}

        def __call__(self, inputs, training, weights, **kwargs):
            return tf_keras.backend.clip(inputs, 0.0, weights["range_var"])

        def get_config(self):
            return {}

    quantizer, layer = FixedRangeQuantizer(), tf_keras.layers.Layer()
    weights = quantizer.build(tf.TensorShape((2,)), "x", layer)
    y = invoke(quantizer, tf.constant([-1.0, 7.0]), training=True, weights=weights)
    np.testing.assert_array_equal(y, [0.0, 6.0])
    assert quantizer.precision is None


def test_the_quantizer_of_the_readme_runs():
    class FixedRangeQuantizer(Quantizer):
        def build(self, tensor_shape, name, layer):
            self.min_weight = layer.add_weight(
                name + "_min",
                initializer=tf_keras.initializers.Constant(-1.0),
                trainable=False,
            )
            self.max_weight = layer.add_weight(
                name + "_max",
                initializer=tf_keras.initializers.Constant(1.0),
                trainable=False,
            )

        def __call__(self, inputs, step, training, **kwargs):
            seen.append((step, training, kwargs))
            return tf.clip_by_value(inputs, self.min_weight, self.max_weight)

    seen = []
    quantizer, layer = FixedRangeQuantizer(), tf_keras.layers.Layer()
    assert quantizer.build(tf.TensorShape((2,)), "x", layer) is None
    x = tf.constant([-3.0, 0.5])
    y = invoke(quantizer, x, training=True, weights=None, step=7)
    np.testing.assert_array_equal(y, [-1.0, 0.5])
    assert seen == [(7, True, {"weights": None})]
    assert quantizer.get_config() == {}
    assert type(quantizer).from_config({}) == quantizer


def test_two_methods_are_enough():
    class Rounding(Quantizer):
        def __call__(self, inputs):
            return tf.round(inputs)

        def get_config(self):
            return {}

    quantizer = Rounding()
    assert quantizer.build(None, "x", tf_keras.layers.Layer()) == {}
    y = invoke(quantizer, tf.constant([0.6]), training=True, weights={}, step=1)
    np.testing.assert_array_equal(y, [1.0])


def test_training_may_have_another_name_in_its_usual_place():
    class Old(Quantizer):
        def __call__(self, x, is_training, weights):
            return x * (2.0 if is_training else 1.0)

    y = invoke(Old(), tf.constant([1.0]), training=True, weights={})
    np.testing.assert_array_equal(y, [2.0])


def test_an_argument_that_nobody_offers_is_refused():
    class Demanding(Quantizer):
        def __call__(self, inputs, training, temperature):
            return inputs / temperature

    with pytest.raises(lq.errors.QuantizerError, match=r"Demanding.*`temperature`"):
        invoke(Demanding(), tf.constant([1.0]), training=True)


def test_branches_on_a_tensor_work_in_quantizers_of_users():
    class Branching(Quantizer):
        def __call__(self, inputs, training):
            if training:
                inputs = 2.0 * inputs
            return inputs

    run = tf.function(lambda x, t: invoke(Branching(), x, training=t))
    for training in (False, True):
        y = run(tf.constant([1.0]), tf.constant(training))
        np.testing.assert_array_equal(y, [2.0 if training else 1.0])


def test_the_base_class_says_what_to_write():
    with pytest.raises(lq.errors.QuantizerError, match="__call__"):
        Quantizer()(tf.constant([1.0]), True, {})
