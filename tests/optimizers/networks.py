"""Small variables, networks and training runs for the tests of optimizers."""

import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.optimizers import Bop, CaseOptimizer


def named(text):
    return lambda variable: text in variable.name


def variables(*names):
    return [tf.Variable([1.0], name=name) for name in names]


def values(variables):
    return [variable.numpy().item() for variable in variables]


def ones(variables):
    return [(tf.constant([1.0]), variable) for variable in variables]


def small_model():
    inputs = tf_keras.Input((6,))
    hidden = lq.layers.QuantDense(
        8,
        use_bias=False,
        kernel_quantizer=lq.quantizers.NoOp(precision=1),
        name="binary",
    )(inputs)
    hidden = tf_keras.layers.Dense(3, name="hidden")(hidden)
    outputs = tf_keras.layers.Dense(2, name="top", dtype="float32")(hidden)
    return tf_keras.Model(inputs, outputs)


def bop_and(default, **bop):
    return CaseOptimizer(
        (Bop.is_binary_variable, Bop(threshold=1e-4, gamma=0.1, **bop)),
        default_optimizer=default,
    )


def fit(model, epochs=1, **kwargs):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6)), rng.normal(size=(32, 2))
    return model.fit(
        x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **kwargs
    )
