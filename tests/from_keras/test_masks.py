"""Masks follow Keras 3's own graph, through layers where tf_keras hands them on otherwise."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras
from keras import ops

import larqlite as lq
from larqlite.from_keras import convert
from tests.from_keras.networks import equal, randomized

K = keras.layers
WORDS = np.array([[1, 2, 3, 4, 0, 0], [3, 0, 5, 0, 6, 0], [1, 1, 2, 2, 3, 3]], "int32")

# What stands between two masked sequences `p` and `q`, (6, 4) without the batch, and a
# layer that reads the mask: all of these compute the same in both.
BETWEEN = {
    "nothing": lambda p, q: p,
    "a layer that hands masks on": lambda p, q: K.Dropout(0.5)(K.LayerNormalization()(p)),
    "Dense": lambda p, q: K.Dense(4)(p),
    "Rescaling": lambda p, q: K.Rescaling(2.0)(p),
    "Identity": lambda p, q: K.Identity()(p),
    "Activation": lambda p, q: K.Activation("hard_silu")(p),
    "a layer that destroys masks": lambda p, q: K.Conv1D(4, 3, padding="same")(p),
    "Reshape": lambda p, q: K.Reshape((6, 4))(p),
    "an operation": lambda p, q: p + q,
    "an operation with a number": lambda p, q: 2 * p,
    "Add": lambda p, q: K.Add()([p, q]),
    "Average": lambda p, q: K.Average()([p, q]),
    "Subtract": lambda p, q: K.Subtract()([p, q]),
    "Concatenate": lambda p, q: K.Concatenate()([p, q]),
    "Concatenate in time": lambda p, q: K.Concatenate(axis=1)([p, q]),
    "Concatenate with one that has none": lambda p, q: K.Concatenate()([p, 1 * q]),
    "GroupNormalization": lambda p, q: K.GroupNormalization(2)(p),
    "BatchNormalization": lambda p, q: K.BatchNormalization()(p),
    "TimeDistributed": lambda p, q: K.TimeDistributed(K.Dense(4))(p),
    "SimpleRNN": lambda p, q: K.SimpleRNN(4, return_sequences=True)(p),
    "Bidirectional": lambda p, q: K.Bidirectional(K.SimpleRNN(2, return_sequences=True))(p),
    "MultiHeadAttention": lambda p, q: K.MultiHeadAttention(2, 2)(p, q),
    "a residual around it": lambda p, q: K.Add()([p, K.MultiHeadAttention(2, 2)(p, p)]),
    "causal": lambda p, q: K.MultiHeadAttention(1, 2)(p, p, use_causal_mask=True),
    "Attention": lambda p, q: K.Attention()([p, q]),
    "AdditiveAttention": lambda p, q: K.AdditiveAttention()([p, q]),
    "a mask that is given": lambda p, q: K.SimpleRNN(4, return_sequences=True)(
        p, mask=ops.not_equal(ops.sum(q, axis=-1), 0)
    ),
    "a state that is given": lambda p, q: K.SimpleRNN(4, return_sequences=True)(
        p, initial_state=q[:, 0]
    ),
}  # fmt: skip
READING = {
    "SimpleRNN": lambda x: K.SimpleRNN(3)(x),
    "GlobalAveragePooling1D": lambda x: K.GlobalAveragePooling1D()(x),
}


def masked_sequences():
    a, b = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
    p = K.Embedding(7, 4, mask_zero=True)(a)
    return [a, b], p, K.Embedding(7, 4, mask_zero=True)(b)


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize(
    "reading",
    ["GlobalAveragePooling1D", pytest.param("SimpleRNN", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("between", BETWEEN)
def test_a_mask_goes_as_far_as_in_keras_3(between, reading):
    inputs, p, q = masked_sequences()
    theirs = randomized(keras.Model(inputs, READING[reading](BETWEEN[between](p, q))))
    equal(lq.models.from_keras(theirs), theirs, [WORDS, WORDS[:, ::-1].copy()])


def test_masking_of_floats_comes_in_as_a_sequential_model():
    layers = [
        keras.Input((4, 2)),
        K.Masking(0.5),
        K.SimpleRNN(3, return_sequences=True),
        K.SimpleRNN(2),
    ]
    theirs = randomized(keras.Sequential(layers))
    ours = lq.models.from_keras(theirs)
    assert type(ours) is tf_keras.Sequential
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    x[0, 2:] = x[1, 1] = 0.5
    equal(ours, theirs, x)


def test_what_both_hand_on_alike_has_no_layers_for_masks():
    words = keras.Input((6,), dtype="int32")
    x = K.Dropout(0.1)(K.Embedding(7, 4, mask_zero=True)(words))
    x = K.SimpleRNN(3)(K.SimpleRNN(3, return_sequences=True)(x))
    ours = lq.models.from_keras(keras.Model(words, x))
    kinds = [type(layer).__name__ for layer in ours.layers]
    assert kinds == ["InputLayer", "Embedding", "Dropout", "SimpleRNN", "SimpleRNN"]


def test_a_mask_is_saved_with_the_model(tmp_path):
    inputs, p, q = masked_sequences()
    theirs = randomized(
        keras.Model(inputs, K.SimpleRNN(3)(K.Rescaling(2.0)(p) * 1 + q))
    )
    ours = lq.models.from_keras(keras.Model(inputs, K.SimpleRNN(3)(K.Add()([p, q]))))
    ours.save(tmp_path / "m.keras")
    values = [WORDS, WORDS[:, ::-1].copy()]
    np.testing.assert_array_equal(
        lq.models.load(tmp_path / "m.keras")(values), ours(values)
    )
    equal(lq.models.from_keras(theirs), theirs, values)


@pytest.mark.parametrize("layer", ["Multiply", "Maximum", "Minimum"])
def test_merges_that_skip_what_is_masked_are_refused_by_name(layer):
    inputs, p, q = masked_sequences()
    theirs = keras.Model(inputs, getattr(K, layer)(name="joined")([p, q]))
    with pytest.raises(lq.errors.UnsupportedLayerError, match=rf'{layer} "joined"'):
        lq.models.from_keras(theirs)


def test_a_mask_that_goes_through_a_model_inside_is_refused_with_a_way_out():
    words = keras.Input((6,), dtype="int32")
    inner = keras.Sequential(
        [keras.Input((6,)), K.Embedding(7, 4, mask_zero=True)], name="in"
    )
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match='"in": a mask goes out of'
    ):
        lq.models.from_keras(keras.Model(words, K.SimpleRNN(2)(inner(words))))
    layers = inner.layers  # what the error says
    theirs = randomized(keras.Model(words, K.SimpleRNN(2)(layers[0](words))))
    assert max(convert(theirs).differences.values()) <= 1e-5
