"""Tensors that must share a scale in TFLite have one range, or are computed in float32."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from tests.common.eager import quantize_model
from tests.qat.same_scale import largest_difference
from tests.qat.tflite_models import L

# Each with what went wrong once, with other choices of where a range is said.
SEEDS = [20, 26]
MOST = 3.0  # of the widest steps of a model; the largest that was seen is below 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_graph_computes_what_keras_computes(seed):
    assert largest_difference(seed) < MOST


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 160, 20))
def test_many_random_graphs_compute_what_keras_computes(first):
    found = {seed: largest_difference(seed) for seed in range(first, first + 20)}
    assert {seed: d for seed, d in found.items() if d >= MOST} == {}


def compared(model, data):
    quantized = quantize_model(model, calibrate=data)
    content = qat.to_tflite(quantized)
    return qat.compare_tflite(quantized, content, data), content


def times(model, name: str, factor: float) -> None:
    kernel, bias = model.get_layer(name).get_weights()
    model.get_layer(name).set_weights([kernel * factor, bias])


def test_a_concatenation_that_only_another_one_reads():
    tf_keras.utils.set_random_seed(0)
    data = np.random.default_rng(0).uniform(0, 1, (32, 8, 8, 3)).astype("float32")
    source = tf_keras.Input((8, 8, 3))
    one, other = (
        L.Conv2D(4, 3, padding="same", activation="relu", name=name)(source)
        for name in ("one", "other")
    )
    joined = L.Concatenate()([L.Concatenate()([one, other]), one])
    model = tf_keras.Model(source, L.GlobalAveragePooling2D()(joined))
    times(model, "other", 8)
    found, content = compared(model, data)
    assert found.largest_steps < 2.01
    assert found.label_agreement == 1.0
    assert content.float_layers == ()


@pytest.mark.parametrize(
    "join", [tf.stack, pytest.param(tf.concat, marks=pytest.mark.slow)]
)
def test_operators_that_join_tensors_round_to_one_range(join):
    tf_keras.utils.set_random_seed(1)
    data = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
    source = tf_keras.Input((16,))
    sides = [L.Dense(8, name=name)(source) for name in ("one", "other")]
    model = tf_keras.Model(source, join(sides, axis=1))
    times(model, "other", 4)
    found, content = compared(model, data)
    assert found.largest_steps < 1.01
    assert content.float_layers == ()


COMPARISONS = {
    "greater": lambda a, b: tf.where(a > 0.1, a, b),
    "not less": lambda a, b: tf.where(a >= 0.1, a, b),
    "less": lambda a, b: tf.where(a < 0.1, b, a),
    "not greater": lambda a, b: tf.where(a <= 0.1, b, a),
    "as a factor": lambda a, b: a * tf.cast(a > 0.1, "float32") + b,
    "of two": lambda a, b: tf.where(a > b, a, b - 3.0),
    "by channel": lambda a, b: tf.where(a > [0.03, 0.1, 0.17, 0.33], a, b),
    "with 0": lambda a, b: tf.where(a > 0.0, a, b),
}
COMPARED_IN_SHORT = ("greater", "of two", "with 0")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=() if n in COMPARED_IN_SHORT else pytest.mark.slow)
        for n in COMPARISONS
    ],
)
def test_a_comparison_falls_where_it_does_in_keras(name):
    """A threshold between two levels is not moved to one of them.

    The outputs jump there, so a value that comes out on the other side is far off.
    """
    data = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype("float32")
    source = tf_keras.Input((8, 8, 3))
    one, other = (
        L.Conv2D(
            *(4, 3),
            activation="relu",
            kernel_initializer=tf_keras.initializers.RandomNormal(
                stddev=0.1 * k, seed=k
            ),
        )(source)
        for k in (1, 8)
    )
    model = tf_keras.Model(source, COMPARISONS[name](one, other))
    found, content = compared(model, data)
    assert found.largest_steps < 2.01
    if name == "with 0":  # integers are exact there
        assert content.float_layers == ()


def words(count: int = 32, steps: int = 2) -> np.ndarray:
    """Numbers of words, with padding in front of some and behind others."""
    found = np.random.default_rng(0).integers(1, 20, (count, steps)).astype("int32")
    found[: count // 3, :1] = 0
    found[count // 3 : count // 2, -1:] = 0
    return found


def reader(recurrent, steps: int = 2) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    source = tf_keras.Input((steps,), dtype="int32")
    embedding = L.Embedding(20, 4, mask_zero=True)
    outputs = recurrent(embedding(source))
    embedding.set_weights([np.random.default_rng(1).normal(size=(20, 4))])
    return tf_keras.Model(source, outputs)


RECURRENT = {
    "LSTM": lambda **k: L.LSTM(2, **k),
    "GRU": lambda **k: L.GRU(2, **k),
    "SimpleRNN": lambda **k: L.SimpleRNN(2, **k),
    "simple both ways": lambda **k: L.Bidirectional(L.SimpleRNN(2, **k)),
    "both ways": lambda **k: L.Bidirectional(L.LSTM(2, **k)),
    "both ways, GRU": lambda **k: L.Bidirectional(L.GRU(2, **k), merge_mode="sum"),
    "backwards": lambda **k: L.LSTM(2, go_backwards=True, **k),
    "two": lambda **k: lambda x: L.LSTM(2, **k)(L.LSTM(2, return_sequences=True)(x)),
}


@pytest.mark.parametrize(
    ("name", "sequences"),
    [
        ("LSTM", False),
        ("simple both ways", True),
        *(
            pytest.param(name, sequences, marks=pytest.mark.slow)
            for name in RECURRENT
            for sequences in (False, True)
            if (name, sequences) not in {("LSTM", False), ("simple both ways", True)}
        ),
    ],
)
def test_masked_steps_of_a_recurrent_layer(name, sequences):
    found, content = compared(
        reader(RECURRENT[name](return_sequences=sequences)), words()
    )
    assert found.largest_steps < 1.01
    assert content.float_layers != ()
    assert not any("barrier" in layer for layer in content.float_layers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        lambda: L.TimeDistributed(L.Dense(3, activation="relu")),
        lambda: L.TimeDistributed(L.Conv1D(3, 2, padding="same")),
    ],
)
def test_a_layer_on_each_step(layer):
    tf_keras.utils.set_random_seed(0)
    source = tf_keras.Input((3, 4, 4))
    outputs = L.Concatenate()([layer()(source), L.Dense(3)(source)])
    data = np.random.default_rng(0).normal(size=(32, 3, 4, 4)).astype("float32")
    found, _ = compared(tf_keras.Model(source, outputs), data)
    assert found.largest_steps < 1.01
