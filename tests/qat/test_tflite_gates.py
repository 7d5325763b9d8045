"""What a narrow range rounds behind a sigmoid or tanh of float values is not coarse.

TFLite's integers of a sigmoid have steps of 1/256, those of a tanh of 1/128. Where the
converter took them, outputs of 0.1 were up to 7 steps of their own off.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from tests.common.eager import quantize_apply, quantize_model
from tests.qat.tflite_models import L, run

slow = pytest.mark.slow


def small(model: tf_keras.Model, factor: float) -> tf_keras.Model:
    model.set_weights([factor * weight for weight in model.get_weights()])
    return model


def largest_steps(quantized, data) -> float:
    """By the interpreter and Keras, in steps of the range of all outputs."""
    found, _ = run(qat.to_tflite(quantized), data)
    expected = quantized(data, training=False).numpy()
    step = np.ptp(np.append(expected, 0)) / 255
    return np.abs(found - expected).max() / step


RANGE = qat.quantizers.MovingAverageQuantizer(8, False, False, False)
# Functions of two float layers.
FUNCTIONS = {
    "product": lambda a, b: tf.tanh(a) * tf.sigmoid(b),
    "sum": lambda a, b: tf.tanh(a) + tf.tanh(b),
    "difference": lambda a, b: tf.tanh(a) - tf.sigmoid(b),
    "by a constant": lambda a, b: tf.tanh(a) * 1.7159,
    "positive product": lambda a, b: tf.nn.relu(tf.tanh(a) * tf.sigmoid(b)),
    "moved product": lambda a, b: tf.reshape(tf.tanh(a) * tf.sigmoid(b), [-1, 2, 2]),
    "magnitude": lambda a, b: tf.abs(tf.tanh(a)),
    "leaky": lambda a, b: L.LeakyReLU()(tf.tanh(a)),
    "mean": lambda a, b: tf.reduce_mean(tf.tanh(a), 1),
    "stack": lambda a, b: tf.stack([tf.tanh(a), tf.tanh(b)], 1),
    "larger": lambda a, b: tf.maximum(tf.tanh(a), tf.tanh(b)),
    "twice": lambda a, b: tf.tanh(tf.tanh(a)) * 1.7,
    "softmax": lambda a, b: tf.nn.softmax(tf.tanh(a)) * tf.tanh(b),
    "product of products": lambda a, b: tf.tanh(a) * tf.sigmoid(b) * tf.tanh(b),
    "a layer behind": lambda a, b: L.Dense(2)(tf.tanh(a) * tf.sigmoid(b)),
}
FAST = ["product", "twice"]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in FAST else slow) for n in FUNCTIONS]
)
def test_an_operation_on_gates_of_floats(name):
    tf_keras.utils.set_random_seed(3)
    source = tf_keras.Input((4,))
    sides = [L.Dense(4, name=f"float_{side}")(source) for side in "ab"]
    model = small(tf_keras.Model(source, FUNCTIONS[name](*sides)), 0.05)
    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    quantized = quantize_apply(model, {"float_*": "float", "*": "int8"}, calibrate=data)
    assert largest_steps(quantized, data) < 1.01


@slow
def test_a_float_kernel_with_a_range_behind_it():
    tf_keras.utils.set_random_seed(3)
    source = tf_keras.Input((4,))
    gate = tf.tanh(L.Dense(4)(source))
    config = qat.LayerQuantizeConfig(outputs=RANGE)
    outputs = qat.quantize_annotate_layer(L.Dense(2), config)(gate)
    model = small(tf_keras.Model(source, outputs), 0.05)
    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    quantized = quantize_apply(model, calibrate=data)
    assert largest_steps(quantized, data) < 1.01


@pytest.mark.parametrize(
    ("make", "sequences", "masked"),
    [
        (L.LSTM, False, False),
        *(
            pytest.param(make, sequences, masked, marks=slow)
            for make in (L.LSTM, L.GRU, L.SimpleRNN)
            for sequences in (False, True)
            for masked in (False, True)
            if make is not L.LSTM or sequences or masked
        ),
    ],
)
def test_a_recurrent_layer_of_small_outputs(make, sequences, masked):
    tf_keras.utils.set_random_seed(3)
    source = tf_keras.Input((3, 4))
    read = L.Masking()(source) if masked else source
    outputs = make(3, return_sequences=sequences)(read)
    model = small(tf_keras.Model(source, outputs), 0.1)
    data = np.random.default_rng(0).normal(size=(64, 3, 4)).astype("float32")
    if masked:
        data[:10, :1] = data[10:20, -1:] = 0
    quantized = quantize_model(model, calibrate=data)
    assert largest_steps(quantized, data) < 1.01
