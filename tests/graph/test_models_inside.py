"""Models that are called inside others, with constants or with numbers of another dtype."""

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import UnsupportedLayerError, UnsupportedModelError
from larqlite.graph import cut_inputs

K = tf_keras.layers
X = (np.random.default_rng(2).normal(size=(4, 3)) * 5).astype(np.float32)


def with_an_input_of(dtype):
    """A model whose output is that of a dense layer on the numbers of a model inside."""
    x = tf_keras.Input((3,), dtype=dtype, name="numbers")
    inner = tf_keras.Model(x, K.Dense(2)(tf.cast(x, "float32")), name="inside")
    outer = tf_keras.Input((3,))
    return tf_keras.Model(outer, inner(outer * 1.5))


def test_a_constant_that_a_model_inside_is_called_with_is_in_the_file(tmp_path):
    x, y = tf_keras.Input((3,)), tf_keras.Input((3,))
    inner = tf_keras.Model([x, y], K.Dense(2)(x * 2.0 + y))
    outer = tf_keras.Input((3,))
    model = tf_keras.Model(outer, inner([outer, tf.constant([[1.0, -2.0, 4.0]])]))
    lq.deploy.export(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", X).ok
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(found, model(X), rtol=1e-5, atol=1e-5)
    assert lq.models.profile(model).unknown_layers == ()


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_a_model_inside_that_drops_fractions_is_refused(dtype, tmp_path):
    model = with_an_input_of(dtype)
    with pytest.raises(UnsupportedLayerError, match=f'"numbers" is {dtype}(?s:.*)Fix:'):
        lq.deploy.export(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
    with pytest.raises(UnsupportedModelError, match=f'to the {dtype}.*"numbers"'):
        lq.integer.models.transforms.flatten_nested(model)


def test_what_the_messages_say_helps(tmp_path):
    model = with_an_input_of("float32")
    lq.deploy.export(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", X).ok
    flat = lq.integer.models.transforms.flatten_nested(model)
    np.testing.assert_array_equal(flat(X), model(X))


def test_indices_that_only_embeddings_read_may_be_floats(tmp_path):
    x = tf_keras.Input((3,), dtype="int32")
    inner = tf_keras.Model(x, K.Flatten()(K.Embedding(4, 2)(x)))
    outer = tf_keras.Input((3,))
    model = tf_keras.Model(outer, inner(outer))
    indices = np.array([[0, 1, 3.5], [2, 2.25, 0]], np.float32)
    lq.deploy.export(model, tmp_path / "model.onnx")
    assert lq.deploy.verify(model, tmp_path / "model.onnx", indices).ok
    flat = lq.integer.models.transforms.flatten_nested(model)
    np.testing.assert_array_equal(flat(indices), model(indices))


@pytest.mark.parametrize(
    ("given", "taken", "loses"),
    [
        ("float32", "float32", False),
        ("float32", "float16", False),
        ("float32", "int32", True),
        ("float32", "bool", True),
        ("uint8", "float32", False),
        ("uint8", "int32", False),
        ("int32", "uint8", True),
        ("int8", "uint8", True),
        ("uint8", "int8", True),
        ("bool", "uint8", False),
        ("int32", "bool", True),
    ],
)
def test_which_casts_lose_numbers(given, taken, loses):
    x = tf_keras.Input((3,), dtype=taken)
    model = tf_keras.Model(x, tf.cast(x, "float32"))
    assert bool(cut_inputs(model, [given])) == loses
