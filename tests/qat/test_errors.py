"""Bad input: each error says what, where and the fix, and leaves the model as it was."""

import textwrap

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import errors, qat
from larqlite.errors import ArgumentError, LarqliteError
from tests.common.eager import quantize, quantize_model
from tests.qat.error_cases import BAD_ROW, CASES, X, dense, sequential

layers = tf_keras.layers


@pytest.mark.parametrize("name", CASES)
def test_it_is_said_what_is_wrong_where_and_how_to_mend_it(name):
    make, act, error, *parts = CASES[name]
    given = make()
    is_model = isinstance(given, tf_keras.Model) and given.built
    weights = given.get_weights() if is_model else []
    config = given.get_config() if is_model and given.inputs else None
    with pytest.raises(error) as raised:
        act(given)
    message = str(raised.value)
    for part in parts:
        assert part in message, message
    assert isinstance(raised.value, LarqliteError)
    assert isinstance(raised.value, (ValueError, TypeError, RuntimeError))
    if is_model:
        for before, after in zip(weights, given.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
    if config is not None:
        assert given.get_config() == config
        given(np.ones((1, *given.input_shape[1:])))


def test_after_an_error_the_ranges_are_those_from_before():
    model = quantize_model(sequential(dense()), calibrate=X)
    before = model.get_weights()
    with pytest.raises(ArgumentError, match="batch 1"):
        qat.calibrate(model, [3 * X, BAD_ROW])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_scheme_that_leaves_all_layers_float_is_told_so():
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(ArgumentError, match=r"every layer .* float"):
        qat.quantize_model(model, scheme="float")


def test_what_a_quantization_aware_model_has_learnt_goes_back_to_the_float_one():
    model = tf_keras.Sequential(
        [layers.Dense(4, activation="relu", input_shape=(3,)), layers.Dense(2)]
    )
    x = np.random.default_rng(0).integers(0, 100, (32, 3)).astype("float32")
    quantized = quantize_model(model, calibrate=x)
    quantized.layers[1].layer.kernel.assign_add(tf.ones((3, 4)))
    with pytest.raises(errors.UnsupportedModelError) as caught:
        quantize(quantized, samples=x)
    fix = str(caught.value).partition("goes back by\n")[2]
    exec(textwrap.dedent(fix), {"quantized": quantized, "float_model": model})
    learnt = quantized.layers[1].layer.kernel
    np.testing.assert_array_equal(model.layers[0].kernel, learnt)
    quantize(model, samples=x)


FOLLOWED = {
    "quantize_model": qat.quantize_model,
    "annotate": qat.quantize_annotate_model,
    "binarize": qat.binarize,
    "report": qat.report,
    "to_tflite": qat.to_tflite,
    "summary": lq.models.summary,
    "profile": lq.models.profile,
    "freeze": lq.models.freeze,
    "export": lambda model: lq.deploy.export(model, "model.onnx"),
    "integer": lq.integer.models.quantize,
}


def test_graph_mode_is_refused_by_name():
    eager = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))], name="net")
    with tf.Graph().as_default():
        symbolic = tf_keras.Sequential([layers.Dense(3, input_shape=(4,))], name="net")
        for function in FOLLOWED.values():
            for model in (eager, symbolic):
                with pytest.raises(errors.GraphModeError, match='"net"'):
                    function(model)
    for function in FOLLOWED.values():
        with pytest.raises(errors.GraphModeError, match=r"was built in a tf\.Graph"):
            function(symbolic)
