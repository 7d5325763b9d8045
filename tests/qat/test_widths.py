"""The bits of a scheme are the bits that are computed with: levels are counted."""

import functools

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from tests.common.eager import quantize_model

WIDTHS = range(1, 9)


@functools.cache
def inputs():
    return np.random.default_rng(0).uniform(-1, 1, (256, 64)).astype("float32")


@functools.cache
def dense(scheme):
    """A dense layer with evenly spread weights, quantized and calibrated."""
    even = tf_keras.initializers.RandomUniform(-1, 1, seed=1)
    model = tf_keras.Sequential(
        [tf_keras.layers.Dense(64, kernel_initializer=even, input_shape=(64,))]
    )
    return quantize_model(model, scheme=scheme, calibrate=inputs())


@pytest.mark.parametrize("bits", WIDTHS)
def test_weights_have_the_levels_of_their_width(bits):
    layer = dense(f"int{bits}").layers[-1].layer
    with lq.context.quantized_scope(True):
        kernel = layer.kernel.numpy()
    levels = np.unique(kernel)
    # The lowest code is left out; one bit has a minus and a plus of the mean magnitude.
    assert len(levels) == (2 if bits == 1 else 2**bits - 1)
    assert np.allclose(levels, -levels[::-1])
    assert layer.kernel.precision == bits
    if bits == 1:
        assert levels[1] == pytest.approx(abs(layer.kernel.numpy()).mean(), rel=1e-5)
    else:
        step = abs(layer.kernel.numpy()).max() / (2 ** (bits - 1) - 1)
        assert np.allclose(np.diff(levels), step, rtol=1e-3)


@pytest.mark.parametrize("bits", WIDTHS)
def test_activations_have_the_levels_of_their_width(bits):
    model = dense(f"int{bits}")
    levels = np.unique(model(inputs(), training=False))
    if bits == 1:
        assert len(levels) == 2
        assert levels[0] == -levels[1]
        return
    # The range is that of sums of unrounded inputs, which those of rounded ones need not
    # reach.
    assert 2 ** (bits - 1) < len(levels) <= 2**bits
    ends = [float(w) for w in model.layers[-1].weights if "post_activation" in w.name]
    step = (max(ends) - min(ends)) / (2**bits - 1)
    np.testing.assert_allclose(levels / step, np.round(levels / step), atol=1e-3)


@pytest.mark.parametrize("bits", WIDTHS)
def test_inputs_have_the_levels_of_their_width(bits):
    model = dense(f"int{bits}")
    quantized = tf_keras.Model(model.inputs, model.layers[0].output)
    levels = np.unique(quantized(inputs(), training=False))
    assert len(levels) == 2**bits


def test_weights_and_activations_may_have_different_widths():
    scheme = lq.qat.DefaultNBitQuantizeScheme(num_bits_weight=3, num_bits_activation=5)
    model = dense(scheme)
    with lq.context.quantized_scope(True):
        assert len(np.unique(model.layers[-1].layer.kernel.numpy())) == 7
    assert len(np.unique(model(inputs(), training=False))) == 32


@pytest.mark.parametrize("bits", [0, 17, 2.5, "8"])
def test_a_width_that_is_none_is_refused(bits):
    with pytest.raises(lq.errors.ArgumentError, match=r"num_bits"):
        lq.qat.DefaultNBitQuantizeScheme(num_bits_weight=bits)
