"""Gradients of one's own end with their graph, and work wherever a graph is made of another."""

import gc
import weakref

import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework import ops

import larqlite as lq
from larqlite._gradients import custom_gradient


def registered() -> set:
    names = ops.gradient_registry._registry
    return {name for name in names if name.startswith("CustomGradient-")}


def binary_network() -> tf_keras.Model:
    signs = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    return tf_keras.Sequential(
        [
            lq.layers.QuantDense(8, **signs, input_shape=(4,)),
            lq.layers.QuantDense(3, **signs),
        ]
    )


def test_a_model_that_nobody_holds_leaves_memory():
    # TensorFlow keeps training steps of its own accord, those of float models too.
    gc.collect()
    before = registered()
    model = binary_network()
    kernels = [weakref.ref(weight.handle) for weight in model.weights]
    gradients = registered() - before
    assert gradients
    del model
    gc.collect()
    gc.collect()  # what ends with what the first found
    assert all(kernel() is None for kernel in kernels)
    assert not registered() & gradients


@custom_gradient
def doubled_gradient(x):
    """x, whose gradient is 2 x, so that it depends on a tensor of the graph."""
    return tf.identity(x), lambda dy: dy * 2 * x


def in_a_branch(x):
    return tf.cond(x > 0, lambda: doubled_gradient(x), lambda: -doubled_gradient(x))


def in_a_loop(x):
    body = lambda i, y: (i + 1, doubled_gradient(y))  # noqa: E731
    return tf.while_loop(lambda i, _: i < 2, body, (0, x))[1]


def in_a_function(x):
    return tf.function(doubled_gradient)(x)


@pytest.mark.parametrize(
    ("f", "gradient"),
    [
        (doubled_gradient, 6.0),
        (in_a_branch, 6.0),
        (in_a_loop, 36.0),
        (in_a_function, 6.0),
    ],
)
def test_gradients_of_branches_loops_and_functions(f, gradient):
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        return tape.gradient(y, x)

    x = tf.constant(3.0)
    traced = tf.function(slope)
    gc.collect()
    assert slope(x) == traced(x) == gradient
    gc.collect()
    assert traced(x) == gradient


@pytest.mark.parametrize(
    ("f", "gradient"), [(doubled_gradient, 6.0), (in_a_loop, 36.0)]
)
def test_a_gradient_that_is_made_long_after_the_function_was_traced(f, gradient):
    f = tf.function(f)
    x = tf.constant(3.0)
    f(x)
    gc.collect()
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    gc.collect()
    assert tape.gradient(y, x) == gradient


def test_a_saved_gradient_loads(tmp_path):
    module = tf.Module()
    module.f = tf.function(doubled_gradient, input_signature=[tf.TensorSpec(())])
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    tf.saved_model.save(module, str(tmp_path), options=options)
    del module
    gc.collect()
    loaded = tf.saved_model.load(str(tmp_path))
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = loaded.f(x)
    assert tape.gradient(y, x) == 6.0
