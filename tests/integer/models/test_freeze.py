"""`freeze`: the same integers, from constants."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from tests.common.eager import quantize
from tests.integer import networks

layers = tf_keras.layers
models = lq.integer.models
IMAGES = networks.random_images(48, (12, 12, 3))


def network(separable=False):
    kind = layers.SeparableConv2D if separable else layers.Conv2D
    x = layers.Input((12, 12, 3))
    y = layers.ReLU()(layers.Conv2D(8, 3)(layers.Rescaling(1 / 255)(x)))
    z = layers.ReLU(max_value=6)(kind(8, 3, padding="same")(y))
    y = layers.Add()([layers.DepthwiseConv2D(3, padding="same")(y), z])
    y = layers.ReLU()(layers.BatchNormalization()(layers.ReLU()(y)))
    return tf_keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling2D()(y)))


@functools.cache
def pair(bits, separable):
    """A network in integers, and frozen."""
    tf_keras.utils.set_random_seed(bits)
    params = models.QuantizationParams(weight_bits=bits)
    model = quantize(network(separable), qparams=params, samples=IMAGES)
    return model, models.freeze(model)


@pytest.mark.parametrize(
    ("bits", "separable"),
    [
        (8, False),
        (1, True),
        *(
            pytest.param(bits, separable, marks=pytest.mark.slow)
            for bits, separable in [(8, True), (4, False), (4, True), (1, False)]
        ),
    ],
)
def test_a_frozen_model_gives_the_same_outputs_bit_for_bit(bits, separable):
    model, frozen = pair(bits, separable)
    expected = model(IMAGES)
    np.testing.assert_array_equal(frozen.predict(IMAGES, verbose=0), expected)
    np.testing.assert_array_equal(frozen(IMAGES[:1]), expected[:1])


def small():
    x = layers.Input((12, 12, 3))
    y = layers.ReLU()(layers.Conv2D(8, 3)(x))
    return tf_keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling2D()(y)))


def test_a_frozen_model_is_a_copy_without_weights():
    model = quantize(small(), samples=IMAGES)
    frozen = models.freeze(model)
    before = model(IMAGES)
    model.layers[-2].kernel.assign_add(tf.ones_like(model.layers[-2].kernel))
    # The first call, which makes the graph, and the next.
    for _ in range(2):
        np.testing.assert_array_equal(frozen(IMAGES), before)
        model.layers[-2].kernel.assign_add(tf.ones_like(model.layers[-2].kernel))
    assert np.any(model(IMAGES) != before)
    assert frozen.weights == []


def test_weights_are_constants_and_no_bound_is_left_to_the_run():
    _, frozen = pair(8, False)
    graph = frozen._graph.get_concrete_function(tf.constant(IMAGES[:1])).graph
    kinds = [op.type for op in graph.get_operations()]
    assert "ReadVariableOp" not in kinds
    assert not {"If", "StatelessIf", "Case", "StatelessCase"} & set(kinds)


def test_what_cannot_be_frozen_is_refused():
    with pytest.raises(ArgumentError, match="no quantized layers"):
        models.freeze(small())
    model = quantize(small(), samples=IMAGES)
    next(
        la for la in model.layers if getattr(la, "out_quantizer", 0)
    ).out_quantizer.reset()
    with pytest.raises(ArgumentError, match="not calibrated"):
        models.freeze(model)
