"""A wrapped layer: reads, names, counted steps, loops, replicas and compilation."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from tests.common.eager import quantize_model

layers = tf_keras.layers


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def dense_model(scheme=None, x=None):
    model = tf_keras.Sequential(
        [
            layers.Dense(8, input_shape=(6,), activation="relu", name="first"),
            layers.Dense(3, name="last"),
        ]
    )
    return quantize_model(model, scheme=scheme, calibrate=data(32, 6))


def test_kernels_read_as_quantized_in_the_scope_only():
    model = dense_model("int4")
    kernel = model.layers[1].layer.kernel
    latent = kernel.numpy()
    step = np.abs(latent).max() / 7
    expected = np.clip(np.round(latent / step), -7, 7) * step
    assert not np.allclose(latent, expected, atol=step / 10)
    with lq.context.quantized_scope(True):
        for read in (kernel.numpy(), tf.convert_to_tensor(kernel), kernel * 1.0):
            np.testing.assert_allclose(read, expected, atol=1e-6)
    np.testing.assert_array_equal(kernel.numpy(), latent)
    # Biases, which nothing quantizes, read as they are.
    with lq.context.quantized_scope(True):
        bias = model.layers[1].layer.bias
        np.testing.assert_array_equal(bias.numpy(), bias.latent_variable.numpy())


def test_outside_of_a_call_nothing_stays_quantized_even_after_an_error():
    class Failing(layers.Dense):
        def call(self, inputs):
            self.seen = tf.convert_to_tensor(self.kernel)
            raise RuntimeError("in the middle")

    layer = Failing(3, name="fc")
    config = qat.LayerQuantizeConfig({"kernel": "ste_sign"})
    wrapper = qat.QuantizeWrapperV2(layer, config)
    with pytest.raises(RuntimeError, match="in the middle"):
        wrapper(data(2, 4))
    np.testing.assert_array_equal(np.unique(np.abs(layer.seen)), [1])
    assert len(np.unique(np.abs(layer.kernel.numpy()))) > 2


def test_names_and_order_of_weights_are_the_layers():
    model = dense_model()
    wrapper = model.layers[1]
    assert wrapper.name == "quant_first"
    assert [w.name for w in wrapper.trainable_weights] == [
        "quant_first/first/kernel:0",
        "quant_first/first/bias:0",
    ]
    assert [w.name.split("/")[-1] for w in wrapper.non_trainable_weights] == [
        "optimizer_step:0",
        *("kernel_min:0", "kernel_max:0"),
        *("post_activation_min:0", "post_activation_max:0"),
    ]
    assert qat.QuantizeWrapper is qat.QuantizeWrapperV2


@pytest.mark.parametrize(
    ("prefix", "name"), [("q8_", "q8_fc"), (None, "fc"), ("", "fc")]
)
def test_the_prefix_of_names_is_the_users(prefix, name):
    model = tf_keras.Sequential([layers.Dense(2, input_shape=(3,), name="fc")])
    quantized = qat.quantize_model(model, quantized_layer_name_prefix=prefix)
    assert quantized.layers[-1].name == name


def test_a_layer_with_weights_is_wrapped_with_a_copy_of_them():
    layer = layers.Dense(3)
    layer.build((None, 4))
    config = qat.LayerQuantizeConfig({"kernel": qat.quantizers.LastValueQuantizer()})
    wrapper = qat.QuantizeWrapperV2(layer, config)
    wrapper.build((None, 4))
    np.testing.assert_array_equal(wrapper.layer.kernel, layer.kernel)
    wrapper.layer.kernel.assign(tf.zeros((4, 3)))
    assert np.any(layer.kernel.numpy())


class Cooling(qat.quantizers.Quantizer):
    """Divides by the number of the training step, from one on."""

    def __call__(self, inputs, training, step):
        return inputs / (tf.cast(step, inputs.dtype) + 2.0)


def test_steps_are_counted_in_training_and_only_for_those_who_ask():
    cooling = qat.LayerQuantizeConfig(outputs=Cooling())
    model = tf_keras.Sequential(
        [
            qat.quantize_annotate_layer(layers.Flatten(input_shape=(3,)), cooling),
            qat.quantize_annotate_layer(layers.ReLU()),
        ]
    )
    quantized = qat.quantize_apply(model, calibrate=np.ones((1, 3)))
    asking, other = (layer.optimizer_step for layer in quantized.layers[1:])
    quantized.compile("sgd", "mse")
    x = np.ones((8, 3), "float32")
    quantized.predict(x, verbose=0)
    assert asking.numpy() == -1
    quantized.fit(x, x, batch_size=2, epochs=2, verbose=0)
    assert (asking.numpy(), other.numpy()) == (7, -1)
    outputs = quantized.layers[1](np.ones((1, 3)), training=False)
    np.testing.assert_allclose(outputs, 1 / 9, rtol=1e-6)
    quantized.evaluate(x, x, verbose=0)
    assert asking.numpy() == 7


def test_fit_equals_a_loop_written_by_hand_and_run_eagerly():
    fitted, eager, looped = dense_model(), dense_model(), dense_model()
    x, y = data(24, 6), data(24, 3, seed=1)
    for model in (eager, looped):
        model.set_weights(fitted.get_weights())
    for model in (fitted, eager):
        is_eager = model is eager
        model.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=is_eager)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    optimizer = tf_keras.optimizers.SGD(0.1)
    for i in range(0, 24, 8):
        with tf.GradientTape() as tape:
            outputs = looped(x[i : i + 8], training=True)
            loss = tf.reduce_mean((outputs - y[i : i + 8]) ** 2)
        gradients = tape.gradient(loss, looped.trainable_weights)
        optimizer.apply_gradients(zip(gradients, looped.trainable_weights, strict=True))
    for other in (eager, looped):
        for a, b in zip(fitted.weights, other.weights, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-6)


def test_one_step_is_that_of_numpy():
    # One layer, one example; all values are levels, so that rounding changes nothing.
    dense = layers.Dense(2, use_bias=False, input_shape=(2,), name="fc")
    quantized = qat.quantize_model(tf_keras.Sequential([dense]))
    kernel = np.array([[127.0, 4.0], [-3.0, 2.0]], "float32") / 8
    x = np.array([[255.0, 10.0]], "float32")
    quantized.layers[1].layer.kernel.assign(kernel)
    qat.calibrate(quantized, x)
    outputs = x @ kernel
    low, high = outputs.min().clip(max=0), outputs.max()
    step = (high - low) / 255
    with tf.GradientTape() as tape:
        result = quantized(x, training=True)
        loss = tf.reduce_sum(result)
    np.testing.assert_allclose(result, np.round(outputs / step) * step, rtol=1e-5)
    (gradient,) = tape.gradient(loss, quantized.trainable_weights)
    np.testing.assert_allclose(gradient, [[255.0, 255.0], [10.0, 10.0]], rtol=1e-5)


def test_a_dense_model_compiles_with_xla():
    plain, compiled = dense_model(), dense_model()
    compiled.set_weights(plain.get_weights())
    x, y = data(16, 6), data(16, 3, seed=1)
    plain.compile(tf_keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    compiled.compile(tf_keras.optimizers.SGD(0.1), "mse", jit_compile=True)
    losses = [
        model.fit(x, y, batch_size=16, shuffle=False, verbose=0).history["loss"]
        for model in (plain, compiled)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    # XLA rounds otherwise, so that what lies at the end of a range may lose its
    # gradient in one of the two: of a few numbers, not of most.
    equal = [
        np.isclose(a, b, rtol=1e-3, atol=1e-4).ravel()
        for a, b in zip(plain.get_weights(), compiled.get_weights(), strict=True)
    ]
    assert np.concatenate(equal).mean() > 0.9
    outputs = [plain(x).numpy(), compiled.predict(x, verbose=0)]
    np.testing.assert_allclose(*outputs, atol=5 * np.ptp(outputs[0]) / 255)


def test_training_may_be_a_tensor():
    model = dense_model()

    @tf.function
    def step(x, training):
        return model(x, training=training)

    x = tf.constant(3 * data(16, 6))
    before = model.get_weights()
    expected = model(x, training=False)
    np.testing.assert_allclose(step(x, tf.constant(False)), expected, atol=1e-5)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    step(x, tf.constant(True))
    assert model.get_weights()[1] > before[1]  # the input's maximum


def test_two_models_of_one_float_model_do_not_touch_each_other():
    source = tf_keras.Sequential([layers.Dense(2, input_shape=(3,))])
    x = data(8, 3)
    first = quantize_model(source, calibrate=x)
    second = quantize_model(source, calibrate=x)
    kept = second.get_weights()
    first.compile("sgd", "mse", run_eagerly=True)
    first.fit(x, np.ones((8, 2)), verbose=0)
    for a, b in zip(kept, second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_threads_read_their_own_values():
    """A call in another thread sees its own readings, not those of this one."""
    import threading

    model, x = dense_model(), data(8, 6)
    expected = model(x).numpy()
    results = {}

    def work(number):
        for _ in range(10):
            results.setdefault(number, []).append(model(x).numpy())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results.values():
        assert len(found) == 10
        for result in found:
            np.testing.assert_array_equal(result, expected)


ON_REPLICAS = """
    import json
    import numpy as np
    import tensorflow as tf
    from larqlite import qat

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    import tf_keras

    def make():
        model = tf_keras.Sequential([
            tf_keras.layers.Conv2D(4, 3, input_shape=(6, 6, 2), name="conv"),
            tf_keras.layers.ReLU(),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(3, name="fc"),
        ])
        return qat.quantize_model(model)

    rng = np.random.default_rng(0)
    half = rng.normal(size=(4, 6, 6, 2)).astype("float32")
    # Each replica sees the same, so that its ranges are those of one.
    x, y = np.tile(half, (2, 1, 1, 1)), np.tile(rng.normal(size=(4, 3)), (2, 1))
    alone = make()
    qat.calibrate(alone, x)
    start = alone.get_weights()
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        both = make()
        both.set_weights(start)
        both.compile(tf_keras.optimizers.SGD(0.1), "mse")
    alone.compile(tf_keras.optimizers.SGD(0.1), "mse")
    for model in (alone, both):
        for _ in range(3):
            model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    report = {
        name: [float(np.abs(a - b).max()), float(np.abs(a - c).max())]
        for name, a, b, c in zip(
            [w.name for w in alone.weights],
            alone.get_weights(), both.get_weights(), start,
        )
    }
    report["predictions"] = [
        float(np.abs(alone.predict(x, verbose=0) - both.predict(x, verbose=0)).max()), 1
    ]
    print(json.dumps(report))
"""


@pytest.mark.slow
def test_two_replicas_train_as_one(run_fork):
    report = json.loads(run_fork(ON_REPLICAS).strip().splitlines()[-1])
    assert sum("kernel:0" in name for name in report) == 2
    assert sum("_max" in name for name in report) == 5
    for name, (difference, moved) in report.items():
        assert difference < 2e-5, name
        if "kernel:0" in name:
            assert moved > 1e-3, name


def test_arguments_without_names_reach_a_wrapped_layer():
    class Sum(layers.Layer):
        def call(self, inputs, first, *rest):
            return inputs + 2 * first + 3 * sum(rest)

    inputs = tf_keras.Input((4,))
    model = tf_keras.Model(inputs, Sum(name="sum")(inputs, inputs, inputs, inputs))
    x = np.ones((1, 4), "float32")
    with tf_keras.saving.custom_object_scope({"Sum": Sum}):
        quantized = qat.quantize_apply(model, {"*": qat.NoOpQuantizeConfig()}, "q_")
    np.testing.assert_array_equal(
        quantized.get_layer("q_sum")(x, x, x, x), np.full((1, 4), 9.0)
    )
