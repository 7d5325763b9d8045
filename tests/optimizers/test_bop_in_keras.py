"""Bop inside Keras: training, reloads, loss scaling, XLA, what it refuses."""

import copy
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import (
    ArgumentError,
    KerasVersionError,
    MissingHyperparameterError,
    OptimizerError,
)
from larqlite.optimizers import Bop


def binary_model():
    """All weights are binary, so Bop alone can train it."""
    dense = [
        lq.layers.QuantDense(
            units,
            use_bias=False,
            kernel_quantizer=lq.quantizers.NoOp(precision=1),
            input_quantizer=quantizer,
        )
        for units, quantizer in ((5, None), (2, "ste_sign"))
    ]
    return tf_keras.Sequential([tf_keras.Input((4,)), *dense])


def data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(24, 4)).astype("float32")
    return x, (x @ rng.choice([-1.0, 1.0], (4, 2))).astype("float32")


def fit(model, epochs=2):
    model.fit(*data(), batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def test_it_finds_the_binary_weights_that_made_the_data():
    rng = np.random.default_rng(1)
    x, secret = rng.normal(size=(256, 8)), rng.choice([-1.0, 1.0], (8, 3))
    layer = lq.layers.QuantDense(
        3, use_bias=False, kernel_quantizer=lq.quantizers.NoOp(precision=1)
    )
    model = tf_keras.Sequential([tf_keras.Input((8,)), layer])
    model.compile(Bop(threshold=1e-2, gamma=0.1), "mse")
    model.fit(x, x @ secret, batch_size=64, epochs=5, verbose=0)
    np.testing.assert_array_equal(layer.kernel.numpy(), secret)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_training_goes_on_after_a_reload(tmp_path, suffix):
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9)
    model = binary_model()
    model.compile(Bop(threshold=1e-3, gamma=schedule), "mse", run_eagerly=True)
    fit(model)
    model.save(tmp_path / f"model.{suffix}")
    restored = tf_keras.models.load_model(tmp_path / f"model.{suffix}")
    restored.run_eagerly = True
    assert restored.optimizer.get_config() == model.optimizer.get_config()
    for ours, theirs in zip(
        fit(model).get_weights(), fit(restored).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_whole_steps_compile_and_equal_the_uncompiled_ones():
    results = []
    for arguments in ({"jit_compile": True}, {}, {"run_eagerly": True}):
        tf_keras.utils.set_random_seed(3)
        model = binary_model()
        model.compile(Bop(threshold=1e-3, gamma=0.1), "mse", **arguments)
        results.append(fit(model).get_weights())
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_loss_scale_changes_nothing():
    results = []
    for wrap in (
        tf_keras.mixed_precision.LossScaleOptimizer,
        lambda optimizer: optimizer,
    ):
        tf_keras.utils.set_random_seed(3)
        model = binary_model()
        model.compile(wrap(Bop(threshold=1e-3, gamma=0.1)), "mse", run_eagerly=True)
        results.append(fit(model).get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["Bop", "bop"])
def test_keras_finds_it_by_name(name):
    assert isinstance(tf_keras.optimizers.get(name), Bop)


def test_it_has_no_learning_rate_and_says_what_to_schedule():
    bop = Bop()
    assert not hasattr(bop, "learning_rate")
    assert not hasattr(bop, "lr")
    with pytest.raises(MissingHyperparameterError, match="gamma or threshold"):
        bop.lr = 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 1.5}, r"gamma: got 1.5.*Fix:.*\[0, 1\]"),
        ({"gamma": "fast"}, "gamma: got 'fast'"),
        ({"threshold": -1e-8}, "threshold: got -1e-08.*Fix:.*at least 0"),
        ({"threshold": math.nan}, "threshold: got nan"),
        ({"threshold": math.inf}, "threshold: got inf"),
        ({"learning_rate": 0.1}, "learning_rate=0.1.*no learning rate"),
        ({"lr": 0.1}, "lr=0.1"),
        ({"weight_decay": 0.01}, "weight_decay=0.01"),
    ],
)
def test_an_argument_it_cannot_use_is_named_with_the_fix(arguments, message):
    with pytest.raises(ArgumentError, match=f"(?s){message}") as error:
        Bop(**arguments)
    assert "Fix:" in str(error.value)


def test_a_schedule_of_keras_3_is_named_as_such():
    import keras  # Keras 3, which TensorFlow brings along

    assert keras.__version__.startswith("3")
    with pytest.raises(KerasVersionError, match="gamma"):
        Bop(gamma=keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5))


def test_kernels_that_a_quantizer_binarizes_are_named_in_one_warning():
    model = tf_keras.Sequential(
        [
            tf_keras.Input((3,)),
            lq.layers.QuantDense(
                2,
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                name="latent",
                use_bias=False,
            ),
            lq.layers.QuantDense(
                2,
                kernel_quantizer=lq.quantizers.NoOp(precision=1),
                name="binary",
                use_bias=False,
            ),
        ]
    )
    bop = Bop()
    with pytest.warns(UserWarning, match=r"NoOp\(precision=1\)") as record:
        bop.build(model.trainable_variables)
    bop.build(model.trainable_variables)  # a second warning would be an error
    assert len(record) == 1
    message = str(record[0].message)
    assert "latent/kernel:0 (SteSign)" in message
    assert "binary/kernel" not in message


def test_only_variables_of_one_bit_are_binary():
    quantized = lq.variables.QuantizedVariable
    latent = tf.Variable(1.0)
    assert Bop.is_binary_variable(quantized(latent, precision=1))
    assert Bop.is_binary_variable(quantized(latent, lq.quantizers.SteSign()))
    assert not Bop.is_binary_variable(quantized(latent, precision=2))
    assert not Bop.is_binary_variable(latent)


def test_a_copy_is_equal_and_refused_once_there_is_state():
    bop = Bop(gamma=0.25)
    twin = copy.deepcopy(bop)
    twin.gamma = 0.5
    assert float(bop.gamma) == 0.25
    bop.build([tf.Variable(1.0)])
    with pytest.raises(OptimizerError, match=r"(?s)cannot be copied.*Fix:"):
        copy.deepcopy(bop)
