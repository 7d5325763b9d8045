"""Every Quant layer through the same checks: signature, numbers, copies, dtypes, training."""

import copy
import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.common import cases
from tests.common.samples import in_turn, sampled

PUBLIC_API = json.loads(
    (Path(__file__).parents[1] / "golden" / "public_api.json").read_text()
)
every_layer = pytest.mark.parametrize("name", cases.LAYERS)


def added_arguments(name):
    return {
        "input_quantizer",
        "pad_values",
        *getattr(lq.layers, name).quantized_weights.values(),
    }


def kernels(layer):
    return [getattr(layer, weight) for weight in layer.quantized_weights]


@every_layer
def test_the_signature_is_that_of_keras_with_quantizers_added(name):
    ours = inspect.signature(getattr(lq.layers, name)).parameters.values()
    keras = inspect.signature(cases.keras_counterpart(name)).parameters.values()
    kept = [(p.name, p.default) for p in ours if p.name not in added_arguments(name)]
    assert kept == [(p.name, p.default) for p in keras]


@every_layer
def test_the_signature_is_the_one_users_know(name):
    known = PUBLIC_API["layers"].get(name)
    if known is None:
        assert name in ("QuantDepthwiseConv1D", "QuantConv1DTranspose")
        return
    signature = inspect.signature(getattr(lq.layers, name))
    # `-> None` is there for type checkers only.
    assert str(signature.replace(return_annotation=signature.empty)) == known


@every_layer
def test_without_quantizers_it_equals_the_keras_layer(name):
    arguments = {
        key: value
        for key, value in cases.LAYERS[name][0].items()
        if key not in added_arguments(name)
    }
    ours = getattr(lq.layers, name)(**arguments)
    keras = cases.keras_counterpart(name)(**arguments)
    x = cases.inputs(name)
    ours(x)
    keras(x)
    keras.set_weights(ours.get_weights())
    np.testing.assert_array_equal(ours(x), keras(x))


@every_layer
def test_it_equals_the_keras_layer_on_values_quantized_by_hand(name):
    layer = cases.layer(name)
    x = cases.inputs(name)
    actual = layer(x)
    arguments = {
        key: value
        for key, value in cases.LAYERS[name][0].items()
        if key not in added_arguments(name)
    }
    x = np.where(x < 0, -1, 1).astype("float32")
    if "pad_values" in cases.LAYERS[name][0]:
        arguments["padding"] = "valid"
        x = pad_by_hand(layer, x, 1.0)
    keras = cases.keras_counterpart(name)(**arguments)
    keras.build(x.shape)
    quantized = []
    for weight in layer.get_weights():
        quantized.append(weight)
    by_hand = {
        "SteSign": lambda w: np.where(w < 0, -1, 1),
        "SteTern": lambda w: np.where(abs(w) < 0.05, 0, np.sign(w)),
        "MagnitudeAwareSign": lambda w: (
            np.where(w < 0, -1, 1)
            * abs(w).mean(tuple(range(w.ndim - 1)), keepdims=True)
        ),
    }
    for index, role in enumerate(layer.quantized_weights.values()):
        quantize = by_hand[type(getattr(layer, role)).__name__]
        quantized[index] = quantize(quantized[index])
    keras.set_weights(quantized)
    np.testing.assert_allclose(actual, keras(x), rtol=1e-5, atol=1e-5)


def pad_by_hand(layer, x, value):
    widths = [(0, 0)]
    for length, kernel, stride in zip(
        x.shape[1:-1], layer.kernel_size, layer.strides, strict=True
    ):
        total = max((int(np.ceil(length / stride)) - 1) * stride + kernel - length, 0)
        widths.append((total // 2, total - total // 2))
    return np.pad(x, [*widths, (0, 0)], constant_values=value)


@every_layer
def test_kernels_read_latent_outside_and_quantized_inside_of_the_scope(name):
    layer = cases.layer(name)
    layer.build((None, *cases.LAYERS[name][1]))
    for weight, role in layer.quantized_weights.items():
        kernel, quantizer = getattr(layer, weight), getattr(layer, role)
        latent = kernel.numpy()
        assert kernel.precision == quantizer.precision
        assert kernel.quantizer is quantizer
        with lq.context.quantized_scope(True):
            np.testing.assert_array_equal(kernel, quantizer(latent))
            inside = layer.get_weights()
        np.testing.assert_array_equal(kernel.numpy(), latent)
        np.testing.assert_array_equal(layer.latent_weight(weight), latent)
        np.testing.assert_array_equal(layer.quantized_weight(weight), quantizer(latent))
        assert any(np.array_equal(w, quantizer(latent)) for w in inside)


@every_layer
def test_the_config_makes_an_equal_layer(name):
    layer = cases.layer(name)
    config = layer.get_config()
    again = type(layer).from_config(config)
    assert cases.same_config(again.get_config(), config)
    json.dumps(config)


@pytest.mark.parametrize("name", sampled(cases.LAYERS, 3))
@pytest.mark.parametrize("copied", [copy.deepcopy, tf_keras.models.clone_model])
def test_a_copied_model_is_still_quantized_and_independent(name, copied):
    model = cases.model(name)
    x = cases.inputs(name)
    expected = model(x, training=False)
    twin = copied(model)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(x, training=False), expected)
    for kernel in kernels(twin.layers[0]):
        assert kernel.quantizer is not None
        kernel.assign(-kernel)
    np.testing.assert_array_equal(model(x, training=False), expected)


@every_layer
def test_a_deep_copied_layer_keeps_weights_and_quantization(name):
    layer = cases.layer(name)
    x = cases.inputs(name)
    expected = layer(x)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(twin(x), expected)
    assert all(kernel.quantizer is not None for kernel in kernels(twin))
    assert twin.weights[0] is not layer.weights[0]


@pytest.mark.parametrize(
    ("name", "dtype"), in_turn(cases.LAYERS, ["float16", "bfloat16", "float64"])
)
def test_it_computes_in_any_float_dtype(name, dtype):
    layer = cases.layer(name, dtype=dtype)
    x = tf.cast(cases.inputs(name), dtype)
    with tf.GradientTape() as tape:
        output = layer(x)
        loss = tf.reduce_sum(tf.cast(output, "float32") ** 2)
    assert output.dtype == dtype
    for kernel in kernels(layer):
        assert kernel.dtype == dtype
    reference = cases.layer(name)
    reference.build(x.shape)
    reference.set_weights([w.astype("float32") for w in layer.get_weights()])
    tolerance = {"float16": 2e-2, "bfloat16": 1e-1, "float64": 1e-5}[dtype]
    np.testing.assert_allclose(
        tf.cast(output, "float32"),
        reference(tf.cast(x, "float32")),
        rtol=tolerance,
        atol=tolerance * 5,
    )
    assert tape.gradient(loss, layer.trainable_weights[0]).dtype == dtype


# In a graph each of these costs half a second; all others train without one.
IN_GRAPHS = ("QuantConv2D", "QuantSeparableConv1D", "QuantLocallyConnected1D")


@every_layer
@pytest.mark.parametrize("policy", sampled(["mixed_bfloat16", "mixed_float16"], 2))
def test_it_trains_in_mixed_precision_on_float32_latent_weights(name, policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        model = cases.model(name)
        # A graph of Adam's steps takes twice the time to trace, and is that of Keras.
        eager = name not in IN_GRAPHS
        model.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=eager)
        before = model.get_weights()
        train = model.train_on_batch if eager else model.fit
        train(cases.inputs(name), np.ones((4, 2)))
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    layer = model.layers[0]
    for kernel in kernels(layer):
        assert kernel.dtype == "float32"
        assert kernel.precision is not None
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    )
    assert layer.compute_dtype == policy.removeprefix("mixed_")
    assert layer(cases.inputs(name)).dtype == layer.compute_dtype


@pytest.mark.parametrize("name", sampled(cases.LAYERS, 2))
def test_compiled_by_xla_it_gives_the_same(name):
    layer = cases.layer(name)
    x = tf.constant(cases.inputs(name))

    def step():
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y * y)
        return y, tape.gradient(loss, layer.trainable_weights)

    layer(x)
    plain = tf.nest.flatten(step())
    compiled = tf.nest.flatten(tf.function(step, jit_compile=True)())
    for a, b in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sampled(cases.LAYERS, 5))
def test_fit_and_a_hand_written_loop_take_equal_steps(name):
    x, y = cases.inputs(name), np.ones((4, 2), "float32")
    model = cases.model(name)
    twin = tf_keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    model.compile(tf_keras.optimizers.SGD(0.1), "mse")
    model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
    optimizer = tf_keras.optimizers.SGD(0.1)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((y - twin(x, training=True)) ** 2)
        gradients = tape.gradient(loss, twin.trainable_variables)
        optimizer.apply_gradients(zip(gradients, twin.trainable_variables, strict=True))
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@every_layer
def test_every_kernel_gets_a_gradient(name):
    layer = cases.layer(name)
    x = cases.inputs(name)
    layer(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    for gradient in tape.gradient(loss, kernels(layer)):
        assert np.any(gradient.numpy() != 0)
        assert np.all(np.isfinite(gradient))
