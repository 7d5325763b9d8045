"""Every quantizer through the same checks: strings, configs, dtypes, NaN, gradients, XLA."""

import copy
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import larqlite as lq
from tests.common import cases
from tests.common.samples import in_turn

every_quantizer = pytest.mark.parametrize("name", cases.QUANTIZERS)
every_string = pytest.mark.parametrize("string", lq.quantizers.names())
SHAPES = [(), (1,), (0, 3), (3, 0), (2, 1, 1, 1, 2)]
# With weights or a generator of their own: each place has an instance, and no function.
WITH_WEIGHTS = {
    *("rsign", "adabin_activations", "xnor_plus", "ede_sign", "libra", "recu", "seq"),
    *("ttq", "stochastic_sign", "stochastic_ternary"),
    *("lsq", "uniform", "pact", "lsq_plus", "lq_levels"),
}
THROUGH_STATISTICS = ("AdaBinWeights", "Libra", "ReCU")
tensors = hnp.arrays(
    "float32",
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
    elements=st.floats(-4, 4, width=32),
)


@every_quantizer
@pytest.mark.parametrize("legacy", [False, True])
def test_serializing_and_back_makes_an_equal_quantizer(name, legacy):
    quantizer = cases.quantizer(name)
    config = lq.quantizers.serialize(quantizer, use_legacy_format=legacy)
    again = lq.quantizers.deserialize(json.loads(json.dumps(config)))
    assert type(again) is type(quantizer)
    assert cases.same_config(again.get_config(), quantizer.get_config())
    assert lq.quantizers.get(config).precision == quantizer.precision


@every_quantizer
def test_a_deep_copy_quantizes_the_same(name):
    quantizer = cases.quantizer(name)
    x = tf.constant([[-1.0, 0.2], [0.7, 0.0]])
    np.testing.assert_array_equal(copy.deepcopy(quantizer)(x), quantizer(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("name", "policy"),
    in_turn(cases.QUANTIZERS, ["float32", "mixed_float16", "mixed_bfloat16"]),
)
def test_it_runs_in_the_dtype_of_its_input_whatever_the_policy(name, dtype, policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        quantizer = cases.quantizer(name)
        x = tf.constant([[-1.0, 0.25], [0.75, 0.0]], dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            q = quantizer(x)
        gradient = tape.gradient(q, x)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert q.dtype == gradient.dtype == dtype
    reference = cases.quantizer(name)(tf.cast(x, "float64"))
    np.testing.assert_allclose(tf.cast(q, "float64"), reference, atol=1e-2)


@every_quantizer
@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_of_any_shape_are_quantized(name, shape):
    x = tf.ones(shape)
    assert cases.quantizer(name)(x).shape == x.shape


@pytest.mark.parametrize(("name", "shape"), in_turn(cases.QUANTIZERS, SHAPES))
def test_tensors_of_open_shapes_are_quantized_in_a_graph(name, shape):
    x = tf.ones(shape)
    open_shape = [None] * len(shape)
    # One number a channel: how many there are has to be known.
    if name in ("RSign", "Seq", "XnorPlus"):
        open_shape[-1:] = shape[-1:]
    unknown = tf.function(
        cases.quantizer(name).__call__,
        input_signature=[tf.TensorSpec(open_shape)],
    )
    np.testing.assert_allclose(unknown(x), cases.quantizer(name)(x), rtol=1e-6)


@every_quantizer
def test_nan_is_not_hidden(name):
    quantizer = cases.quantizer(name)
    q = quantizer(tf.constant([[np.nan, 1.0], [np.nan, -1.0]])).numpy()
    assert np.isnan(q[:, 0]).all()


@every_quantizer
@settings(max_examples=20, deadline=None)
@given(x=tensors)
def test_the_gradient_is_the_declared_derivative(name, x):
    quantizer = cases.quantizer(name)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        q = quantizer(x)
    assert q.shape == x.shape
    if name in THROUGH_STATISTICS:  # gradients go through mean and deviation too
        expected = quantizer.pull_back(x, tf.ones_like(x))
    else:
        expected = tf.cast(quantizer.derivative(x), "float32")
    np.testing.assert_array_equal(tape.gradient(q, x), expected)
    np.testing.assert_array_equal(q, quantizer.forward(x))


@every_quantizer
def test_compiled_by_xla_it_gives_the_same(name):
    quantizer = cases.quantizer(name)
    x = tf.constant(np.linspace(-2, 2, 24, dtype="float32").reshape(4, 6))

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            q = quantizer(x)
        return q, tape.gradient(q, x)

    for a, b in zip(both(x), tf.function(both, jit_compile=True)(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@every_quantizer
def test_second_derivatives_are_those_of_the_pseudo_gradient(name):
    quantizer = cases.quantizer(name)
    x = tf.constant([[0.3, -0.4]])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            q = quantizer(x)
        first = inner.gradient(q, x)
    second = outer.gradient(
        first, x, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    assert np.isfinite(second).all()


@every_quantizer
@pytest.mark.parametrize("dtype", ["int32", "int8", "bool"])
def test_integers_are_refused_with_the_fix(name, dtype):
    if name == "NoOp":
        assert cases.quantizer(name)(tf.ones(2, "int32")).dtype == "int32"
        return
    quantizer = cases.quantizer(name)
    with pytest.raises(lq.errors.DtypeError, match=rf"{dtype}.*\n.*tf.cast") as error:
        quantizer(tf.cast(tf.ones(2), dtype))
    assert isinstance(error.value, TypeError)


@every_quantizer
def test_it_is_a_layer_of_a_functional_model(name):
    inputs = tf_keras.Input((4,))
    model = tf_keras.Model(inputs, cases.quantizer(name)(inputs))
    x = np.array([[-1.0, -0.1, 0.0, 0.6]], "float32")
    np.testing.assert_array_equal(model(x), cases.quantizer(name)(x))


@every_string
def test_a_string_works_in_every_place(string):
    x = np.linspace(-1.5, 1.5, 12, dtype="float32").reshape(3, 4)
    expected = lq.quantizers.get(string)(x)
    if string in WITH_WEIGHTS:
        check_that_the_name_is_no_activation(string, x)
        return
    function = getattr(lq.quantizers, string)
    places = {
        "layer argument": lq.layers.QuantDense(2, input_quantizer=string),
        "activation layer": tf_keras.layers.Activation(string),
        "activation argument": tf_keras.layers.Dense(2, activation=string),
    }
    np.testing.assert_array_equal(places["layer argument"].input_quantizer(x), expected)
    np.testing.assert_array_equal(places["activation layer"](x), expected)
    np.testing.assert_array_equal(
        places["activation argument"].activation(tf.constant(x)), expected
    )
    np.testing.assert_array_equal(function(tf.constant(x)), expected)
    assert function.precision == lq.quantizers.get(string).precision
    assert tf_keras.activations.get(string) is function


def check_that_the_name_is_no_activation(string, x):
    assert not hasattr(lq.quantizers, string)
    first, second = (lq.layers.QuantDense(2, input_quantizer=string) for _ in range(2))
    assert first.input_quantizer is not second.input_quantizer
    # Of a name that Keras has for an initializer, the error is Keras' own.
    expected = (lq.errors.ArgumentError, r"Fix: activation=.*\(\)")
    if string == "uniform":
        expected = (ValueError, "Unknown activation function 'uniform'")
    with pytest.raises(expected[0], match=expected[1]):
        tf_keras.layers.Activation(string)(x)


@every_string
def test_class_names_and_classes_resolve_to_instances(string):
    instance = lq.quantizers.get(string)
    cls = type(instance)
    assert type(lq.quantizers.get(cls.__name__)) is cls
    assert type(lq.quantizers.get(cls)) is cls
    assert lq.quantizers.get(instance) is instance
