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
    """A dense layer with evenly spread weights, whose range is that of its extremes."""
    even = tf_keras.initializers.RandomUniform(-1, 1, seed=1)
    model = tf_keras.Sequential(
        [tf_keras.layers.Dense(64, kernel_initializer=even, input_shape=(64,))]
    )
    how = {"calibrate": inputs(), "calibration": "minmax"}
    return quantize_model(model, scheme=scheme, **how)


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


@pytest.mark.parametrize(
    ("word", "weights", "outputs"),
    [
        *(("int4/8", 4, 8), ("int3/int5", 3, 5), ("int2/float", 2, None)),
        *(("binary/8", 1, 8), ("ternary/4", 2, 4), ("ternary/float", 2, None)),
    ],
)
def test_a_word_says_the_widths_of_weights_and_activations_apart(
    word, weights, outputs
):
    model = dense(word)
    row = lq.qat.report(model, verbose=False).layers[-1]
    assert row.weights["kernel"] == weights
    assert row.outputs == outputs
    levels = np.unique(model(inputs(), training=False))
    assert (len(levels) <= 2**outputs) if outputs else (len(levels) > 2**12)
    with lq.context.quantized_scope(True):
        kernel = model.layers[-1].layer.kernel.numpy()
    per_channel = {len(np.unique(np.round(column, 6))) for column in kernel.T}
    assert max(per_channel) <= (2 if word.startswith("binary") else 2**weights - 1)


def test_ternary_layers_compute_with_three_levels_of_inputs_and_weights():
    layer = dense("ternary").layers[-1]
    assert type(layer).__name__ == "QuantDense"
    assert np.unique(layer.input_quantizer(inputs())).tolist() == [-1.0, 0.0, 1.0]
    kernel = layer.kernel_quantizer(layer.kernel).numpy()
    scale = np.abs(layer.kernel.numpy()).mean(axis=0)
    assert np.unique(np.round(kernel / scale, 5)).tolist() == [-1, 0, 1]


@pytest.mark.parametrize("word", ["int4/17", "int4/", "float/8", "4/8", "int8/binary"])
def test_widths_that_no_word_has_are_refused(word):
    with pytest.raises(lq.errors.ArgumentError, match=f"unknown scheme '{word}'"):
        dense(word)


def test_a_relu_before_a_layer_that_reads_floats_stays():
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Dense(4, input_shape=(3,)), layers.ReLU(), layers.Dense(2, name="out")]
    )
    kept = lq.qat.quantize_apply(model, {"out": lq.qat.BinaryScheme("ste_sign", None)})
    signs = lq.qat.quantize_apply(model, {"out": "binary"})
    assert [
        any(isinstance(x, layers.ReLU) for x in m.layers) for m in (kept, signs)
    ] == [
        True,
        False,
    ]


@pytest.mark.parametrize("bits", [0, 17, 2.5, "8"])
def test_a_width_that_is_none_is_refused(bits):
    with pytest.raises(lq.errors.ArgumentError, match=r"num_bits"):
        lq.qat.DefaultNBitQuantizeScheme(num_bits_weight=bits)
