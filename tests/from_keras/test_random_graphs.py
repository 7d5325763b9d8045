"""Random functional graphs of Keras 3's layers and operations compute the same here."""

from __future__ import annotations

import keras
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from keras import ops

import larqlite as lq
from tests.common.samples import few_or_more
from tests.from_keras.networks import equal, noise, randomized

K = keras.layers
SHAPE = (5, 4)

# Layers from (5, 4) to (5, 4), which may be called again on another tensor.
LAYERS = [
    "Dense(4, 'hard_sigmoid')", "Dense(4, 'gelu', use_bias=False)", "Activation('mish')",
    "Activation('hard_silu')", "Activation('sparsemax')", "LeakyReLU(0.1)", "PReLU()",
    "ELU(0.5)", "Softmax(axis=1)", "LayerNormalization()", "LayerNormalization(axis=1)",
    "BatchNormalization()", "GroupNormalization(2)", "RMSNormalization()",
    "UnitNormalization()", "Conv1D(4, 3, padding='same')",
    "Conv1D(4, 2, padding='causal', dilation_rate=2, activation='celu')",
    "DepthwiseConv1D(3, padding='same')", "SeparableConv1D(4, 3, padding='same')",
    "Conv1DTranspose(4, 3, padding='same')", "Dropout(0.5)", "GaussianNoise(0.5)",
    "SpatialDropout1D(0.5)", "Rescaling(0.5, 1.0)", "Identity()", "AveragePooling1D(3, "
    "strides=1, padding='same')", "MaxPooling1D(2, strides=1, padding='same')",
    "TimeDistributed(K.Dense(4, 'tanh'))", "Permute((1, 2))", "Reshape((5, 4))",
    "EinsumDense('abc,cd->abd', (None, 4), bias_axes='d')", "ZeroPadding1D((0, 0))",
]  # fmt: skip
# What is made of one tensor, or of two, besides.
ONE = [
    "1 - a", "a * 2.5", "a / 3", "ops.tanh(a)", "ops.relu6(a)", "ops.softmax(a)", "-a",
    "ops.square(a)", "ops.flip(a, 1)", "ops.roll(a, 1, 2)", "a - ops.mean(a, 1, keepdims=True)",
    "ops.concatenate([a[:, 1:], a[:, :1]], 1)", "ops.where(a > 0, a, 0.1)", "ops.sort(a)",
    "ops.transpose(ops.transpose(a, (0, 2, 1)), (0, 2, 1))", "ops.clip(a, -1, 1)",
]  # fmt: skip
TWO = [
    "K.Add()([a, b])", "K.Subtract()([a, b])", "K.Multiply()([a, b])", "K.Average()([a, b])",
    "K.Maximum()([a, b])", "K.Minimum()([a, b])", "K.Dense(4)(K.Concatenate()([a, b]))",
    "K.Concatenate(1)([a[:, :2], b[:, 2:]])", "a + b", "a * b", "ops.maximum(a, b)",
    "ops.where(a > b, a, b)", "K.Attention()([a, b])", "K.AdditiveAttention()([a, b])",
    "K.Dense(4)(K.Dot(2)([a, b]))", "K.MultiHeadAttention(2, 2)(a, b)", "a + b[:, :1]",
]  # fmt: skip


@st.composite
def graphs(draw, inside=False):
    """A functional model from one or two tensors of `SHAPE` to one or two."""
    inputs = [
        keras.Input(SHAPE) for _ in range(draw(st.integers(1, 1 if inside else 2)))
    ]
    tensors, layers = list(inputs), []
    for _ in range(draw(st.integers(1, 3 if inside else 6))):
        a, b = draw(st.sampled_from(tensors)), draw(st.sampled_from(tensors))
        kinds = ["layer", "layer", "again", "one", "two"] + ["model"] * (not inside)
        kind = draw(st.sampled_from(kinds))
        if kind == "again" and layers:
            out = draw(st.sampled_from(layers))(a)
        elif kind in ("layer", "again"):
            layers.append(eval(f"K.{draw(st.sampled_from(LAYERS))}", {"K": K}))
            out = layers[-1](a)
        elif kind == "model":
            layers.append(draw(graphs(inside=True)))
            out = layers[-1](a)
        else:
            text = draw(st.sampled_from(ONE if kind == "one" else TWO))
            out = eval(text, {"K": K, "ops": ops, "a": a, "b": b})
        tensors.append(out)
    if inside:
        return keras.Model(inputs, tensors[-1])
    return keras.Model(inputs, tensors[-draw(st.integers(1, 2)) :])


@pytest.mark.parametrize("count", few_or_more(50, 500))
def test_a_random_graph_computes_the_same(count):
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(graphs())
    def run(theirs):
        randomized(theirs)
        ours = lq.models.from_keras(theirs)
        values = [noise(2, *SHAPE) * (1 + i) for i in range(len(theirs.inputs))]
        equal(ours, theirs, values if len(values) > 1 else values[0])

    run()
