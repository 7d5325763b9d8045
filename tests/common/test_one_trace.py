"""A step that is traced once computes what Keras' own way does, to the last bit."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq


def fitted() -> tuple[dict, list, int]:
    """History and weights of a model after two epochs, and how often its step was traced."""
    tf_keras.utils.set_random_seed(1)
    layers = [
        lq.layers.QuantDense(6, "ste_sign", "ste_sign", input_shape=(5,)),
        tf_keras.layers.BatchNormalization(),
        tf_keras.layers.Dense(3, "softmax"),
    ]
    model = tf_keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    x, y = np.random.default_rng(0).normal(size=(8, 5)), np.arange(8) % 3
    found = model.fit(x, y, 4, 2, verbose=0, validation_data=(x, y)).history
    state = [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)]
    return found, state, model.train_function.experimental_get_tracing_count()


@pytest.mark.filterwarnings("ignore:5 out of the last")
def test_numbers_are_those_of_a_step_that_is_traced_twice(monkeypatch):
    history, state, traces = fitted()
    make = tf_keras.Model.make_train_function
    monkeypatch.setattr(tf_keras.Model, "make_train_function", make.__wrapped__)
    expected_history, expected_state, twice = fitted()
    assert (traces, twice) == (1, 2)
    assert history == expected_history
    assert len(state) == len(expected_state)
    for one, other in zip(state, expected_state, strict=True):
        np.testing.assert_array_equal(one, other)
