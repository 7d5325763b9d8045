"""Random functional graphs of Keras 3's layers and operations compute the same here."""

from __future__ import annotations

import keras
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
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


KINDS = ["layer", "layer", "again", "one", "two", "model"]
NUMBER = st.integers(0, 99)
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), NUMBER, NUMBER, NUMBER), min_size=1)


def model_of(steps, inputs, outputs, inside=None):
    """A functional model from tensors of `SHAPE` to tensors of it.

    Args:
        steps: for each a kind, which of what there is of the kind, and of which tensors.
        inputs: how many.
        outputs: how many; the last tensors that were made.
        inside: the steps of models inside of it; None: there are none.
    """
    given = [keras.Input(SHAPE) for _ in range(inputs)]
    tensors, layers = list(given), []
    for kind, which, first, second in steps:
        a, b = tensors[first % len(tensors)], tensors[second % len(tensors)]
        if kind == "again" and layers:
            out = layers[which % len(layers)](a)
        elif kind == "model" and inside is not None:
            layers.append(model_of(inside, 1, 1))
            out = layers[-1](a)
        elif kind in ("one", "two"):
            texts = ONE if kind == "one" else TWO
            names = {"K": K, "ops": ops, "a": a, "b": b}
            out = eval(texts[which % len(texts)], names)
        else:
            layers.append(eval(f"K.{LAYERS[which % len(LAYERS)]}", {"K": K}))
            out = layers[-1](a)
        tensors.append(out)
    return keras.Model(
        given if inputs > 1 else given[0],
        tensors[-outputs:] if outputs > 1 else tensors[-1],
    )


@pytest.mark.parametrize("count", few_or_more(50, 500))
def test_a_random_graph_computes_the_same(count):
    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # smaller examples take many conversions
        suppress_health_check=list(HealthCheck),
    )
    @given(
        steps=STEPS.map(lambda steps: steps[:6]),
        inside=STEPS.map(lambda steps: steps[:3]),
        inputs=st.integers(1, 2),
        outputs=st.integers(1, 2),
    )
    def run(steps, inside, inputs, outputs):
        theirs = randomized(model_of(steps, inputs, outputs, inside))
        ours = lq.models.from_keras(theirs)
        values = [noise(2, *SHAPE) * (1 + i) for i in range(len(theirs.inputs))]
        equal(ours, theirs, values if len(values) > 1 else values[0])

    run()
