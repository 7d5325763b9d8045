"""What recorders keep, when, and what they cost when nobody asks."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import LarqliteError
from larqlite.integer.layers import (
    FixedPointRecorder,
    NonTrackFixedPointVariable,
    NonTrackVariable,
    QFloatRecorder,
    QuantizedDense,
    TensorRecorder,
    recording,
)
from larqlite.integer.tensors import FixedPoint, QFloat

CONFIG = {"output_quantizer": {"bitwidth": 8}}


def dense_model():
    inputs = tf_keras.Input((3,), dtype="int32")
    layer = QuantizedDense(2, quant_config=CONFIG)
    return tf_keras.Model(inputs, layer(inputs)), layer


def recorded(layer):
    return (
        layer.weight_quantizer.qweights.value,
        layer.bias_quantizer.qweights.value,
        layer.bias_quantizer.shift.value,
        layer.out_quantizer.shift.value,
        layer.out_quantizer.qscales.value,
    )


@pytest.mark.parametrize("way", ["call", "predict", "predicted_before", "tf.function"])
def test_a_model_records_however_it_is_called(way):
    model, layer = dense_model()
    x = np.array([[1, 2, 3]], np.int32)
    call = model
    if way.startswith("predict"):
        # What a prediction gives must be a tensor, so the model of the codes.
        model = tf_keras.Sequential([model, tf_keras.layers.Lambda(lambda y: y.values)])
        call = lambda x: model.predict(x, verbose=0)  # noqa: E731
    if way == "predicted_before":
        call(x)
    if way == "tf.function":
        call = tf.function(model)
        call(tf.constant(x))
    assert recorded(layer) == (None,) * 5
    with recording(True):
        call(tf.constant(x))
    assert not tf.config.functions_run_eagerly()
    weights, bias, shift, out_shift, qscales = recorded(layer)
    np.testing.assert_allclose(
        weights.to_float(), layer.kernel, atol=np.abs(layer.kernel).max() / 200
    )
    assert not np.any(bias.fp.values)
    assert shift.shape == bias.scales.shape
    # 7 fractional bits are wanted of scales of 8 bits: a shift to the right.
    np.testing.assert_array_equal(out_shift, 7 - qscales.frac_bits.numpy())
    assert np.all((qscales.values >= 128) & (qscales.values <= 255))


def test_nothing_is_recorded_outside_or_when_switched_off():
    model, layer = dense_model()
    model(tf.constant([[1, 2, 3]]))
    with recording(False):
        model(tf.constant([[1, 2, 3]]))
    assert recorded(layer) == (None,) * 5


def test_recording_ends_with_an_error_too():
    recorder = TensorRecorder()
    with pytest.raises(KeyError), recording(True):
        raise KeyError
    recorder(tf.constant(1))
    assert recorder.value is None
    assert not tf.config.functions_run_eagerly()


def test_recorders_cost_no_operation_in_a_graph():
    def operations(function):
        graph = tf.function(function).get_concrete_function(tf.TensorSpec([2]))
        return [op.type for op in graph.graph.get_operations()]

    recorder = TensorRecorder()
    assert operations(lambda x: recorder(x) + 1) == operations(lambda x: x + 1)


def test_each_recorder_keeps_its_own_type():
    x = FixedPoint([1, 2], 7, 0)
    y = QFloat(x, 0.5)
    with recording(True):
        for recorder, value, other in (
            (FixedPointRecorder("a"), x, y),
            (QFloatRecorder("b"), y, x),
        ):
            assert recorder(value) is value
            np.testing.assert_array_equal(recorder.value.to_float(), value.to_float())
            with pytest.raises(LarqliteError, match=f'"{recorder.name}" got a'):
                recorder(other)
            assert copy.deepcopy(recorder).value is None


@pytest.mark.parametrize("compiled", [False, True])
def test_an_untracked_variable_lives_between_calls_and_is_not_saved(compiled):
    class Counter(tf_keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.total = NonTrackVariable("total")

        def call(self, x):
            self.total.set(self.total.value + x)
            return self.total.value

    layer = Counter()
    call = tf.function(layer) if compiled else layer
    assert layer.total.value is None
    layer.total.set(tf.constant([5.0, 5.0]))
    np.testing.assert_array_equal(call(tf.constant([1.0, 2.0])), [6, 7])
    np.testing.assert_array_equal(call(tf.constant([1.0, 2.0])), [7, 9])
    np.testing.assert_array_equal(layer.total.value, [7, 9])
    layer.total.reset()
    np.testing.assert_array_equal(layer.total.value, [0, 0])
    layer.total.set(tf.constant([1.0, 2.0, 3.0]))
    assert layer.total.value.shape == (3,)
    assert layer.weights == []
    assert layer.get_weights() == []


def test_an_untracked_fixed_point_keeps_its_bits():
    state = NonTrackFixedPointVariable("state")
    assert state.value is None
    state.set(FixedPoint([[3, -4]], 9, [2, 5]))
    value = state.value
    np.testing.assert_array_equal(value.values, [[3, -4]])
    np.testing.assert_array_equal(value.frac_bits, [2, 5])
    assert value.value_bits == 9
    state.reset()
    np.testing.assert_array_equal(state.value.values, [[0, 0]])
    with pytest.raises(LarqliteError, match="FixedPoint"):
        state.set(tf.constant([1.0]))
