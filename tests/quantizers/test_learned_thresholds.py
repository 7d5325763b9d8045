"""RSign: values and gradients by hand; and what is learned of quantizers, in a layer."""

import copy
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.quantizers.gradients import (
    built,
    slope_by_finite_difference,
    value_and_gradients,
)

RNG = np.random.default_rng(20260301)


def quadratic(v):
    """The function whose derivative stands in for that of the sign (Bi-Real Net, fig. 5)."""
    return np.where(
        v < -1,
        -1.0,
        np.where(v < 0, 2 * v + v * v, np.where(v < 1, 2 * v - v * v, 1.0)),
    )


class TestRSign:
    def test_each_channel_has_its_own_threshold_and_a_tie_is_plus_one(self):
        rsign = built(lq.quantizers.RSign(), 3, [0.5, -1.0, 0.0])
        x = np.array([[0.5, -1.0, 0.0], [0.25, -1.5, -0.0], [0.75, -0.5, -1e-30]])
        expected = [[1, 1, 1], [-1, -1, 1], [1, 1, -1]]
        np.testing.assert_array_equal(rsign(x.astype("float32")), expected)
        np.testing.assert_array_equal(rsign.forward(x.astype("float32")), expected)

    def test_it_starts_as_the_plain_sign(self):
        x = RNG.normal(size=(4, 5, 5, 3)).astype("float32")
        rsign = lq.quantizers.RSign()
        np.testing.assert_array_equal(rsign(x), np.where(x < 0, -1, 1))
        assert rsign.threshold.shape == (3,)

    def test_gradients_are_those_of_the_quadratic_by_finite_differences(self):
        threshold = np.array([0.3, -0.7], "float32")
        x = RNG.uniform(-2, 2, (50, 2))
        upstream = RNG.normal(size=(50, 2))
        rsign = built(lq.quantizers.RSign(), 2, threshold)
        _, of_x, of_threshold = value_and_gradients(rsign, x, upstream)
        np.testing.assert_allclose(
            of_x,
            upstream
            * slope_by_finite_difference(lambda e: quadratic(x + e - threshold)),
            atol=1e-5,
        )
        np.testing.assert_allclose(
            of_threshold,
            np.sum(
                upstream
                * slope_by_finite_difference(lambda e: quadratic(x - threshold - e)),
                axis=0,
            ),
            atol=1e-4,
        )

    def test_the_gradient_is_two_at_the_threshold_and_zero_one_beside_it(self):
        rsign = built(lq.quantizers.RSign(), 1, [0.5])
        x = np.array([[-0.5], [0.0], [0.5], [1.0], [1.5], [2.0]], "float32")
        _, of_x, of_threshold = value_and_gradients(rsign, x, np.ones_like(x))
        assert of_x.numpy().ravel().tolist() == [0, 1, 2, 1, 0, 0]
        assert of_threshold.numpy().tolist() == [-4]

    def test_channels_first(self):
        rsign = lq.quantizers.RSign(axis=1)
        x = RNG.normal(size=(2, 3, 4, 5)).astype("float32")
        rsign(x)
        threshold = np.array([0.5, -0.5, 0.0], "float32")
        rsign.set_weights([threshold])
        by_hand = np.where(x < threshold[:, None, None], -1, 1)
        np.testing.assert_array_equal(rsign(x), by_hand)
        assert rsign.get_config()["axis"] == 1

    def test_an_unknown_number_of_channels_is_refused_with_the_fix(self):
        with pytest.raises(
            lq.errors.ArgumentError, match=r'"flags".*axis -1.*\n.*Fix:'
        ):
            lq.quantizers.RSign(name="flags").build((None, None))
        with pytest.raises(lq.errors.ArgumentError, match="axis 4"):
            lq.quantizers.RSign(axis=4).build((None, 3))


def test_pickles_of_earlier_versions_find_the_classes_where_they_were():
    for module, name in (
        ("_learned", "RSign"),
        ("_scaled", "AdaBinActivations"),
        ("_scaled", "AdaBinWeights"),
    ):
        pickled = f"clarqlite.quantizers.{module}\n{name}\n.".encode()
        assert pickle.loads(pickled) is getattr(lq.quantizers, name)


class TestInALayer:
    @pytest.fixture
    def layer(self):
        layer = lq.layers.QuantConv2D(
            4,
            3,
            input_quantizer="rsign",
            kernel_quantizer="adabin_activations",
            kernel_constraint="weight_clip",
            use_bias=False,
        )
        layer.build((None, 6, 6, 3))
        layer.input_quantizer.set_weights([np.array([0.5, -0.5, 0.0], "float32")])
        layer.kernel_quantizer.set_weights([np.float32(0.5), np.float32(0.25)])
        return layer

    def test_its_variables_are_trainable_weights_of_the_layer(self, layer):
        names = [weight.name.partition("/")[2] for weight in layer.trainable_weights]
        assert names[1:] == ["threshold:0", "alpha:0", "beta:0"]
        x = RNG.normal(size=(2, 6, 6, 3)).astype("float32")
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        for gradient in tape.gradient(loss, layer.trainable_weights):
            assert np.any(gradient.numpy() != 0)

    def test_it_computes_what_keras_does_on_values_quantized_by_hand(self, layer):
        x = RNG.normal(size=(2, 6, 6, 3)).astype("float32")
        signs = np.where(x < [0.5, -0.5, 0.0], -1, 1).astype("float32")
        latent = layer.latent_weight().numpy()
        kernel = 0.5 * np.where(latent < 0.25, -1, 1) + 0.25
        np.testing.assert_allclose(
            layer(x), tf.nn.conv2d(signs, kernel, 1, "VALID"), rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(layer.quantized_weight(), kernel, rtol=1e-6)

    @pytest.mark.parametrize("copied", ["deepcopy", "clone", "config"])
    def test_copies_have_variables_of_their_own(self, layer, copied):
        model = tf_keras.Sequential([tf_keras.Input((6, 6, 3)), layer])
        if copied == "clone":
            twin = tf_keras.models.clone_model(model).layers[0]
            assert twin.input_quantizer.threshold.numpy().tolist() == [0, 0, 0]
        elif copied == "config":
            twin = type(layer).from_config(layer.get_config())
            twin.build((None, 6, 6, 3))
        else:
            twin = copy.deepcopy(layer)
            np.testing.assert_array_equal(
                twin.input_quantizer.threshold, [0.5, -0.5, 0.0]
            )
        assert twin.input_quantizer.threshold is not layer.input_quantizer.threshold
        twin.set_weights(layer.get_weights())
        x = RNG.normal(size=(2, 6, 6, 3)).astype("float32")
        np.testing.assert_array_equal(twin(x), layer(x))

    def test_one_instance_for_two_layers_becomes_two(self):
        shared = lq.quantizers.RSign()
        layers = [lq.layers.QuantDense(2, input_quantizer=shared) for _ in range(2)]
        first, second = (layer.input_quantizer for layer in layers)
        assert first is not second

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_thresholds_stay_float32_in_mixed_precision(self, policy):
        tf_keras.mixed_precision.set_global_policy(policy)
        try:
            layer = lq.layers.QuantDense(
                2, input_quantizer="rsign", kernel_quantizer="adabin_weights"
            )
            output = layer(tf.ones([1, 3]))
        finally:
            tf_keras.mixed_precision.set_global_policy("float32")
        assert layer.input_quantizer.threshold.dtype == "float32"
        assert output.dtype == policy.removeprefix("mixed_")

    def test_the_profile_counts_thresholds_as_float_parameters(self, layer):
        """The two numbers of the kernel are not: they are in its levels, which a file has as
        scales, as it has those of `magnitude_aware_sign` (`docs/cost_model.md`)."""
        model = tf_keras.Sequential([tf_keras.Input((6, 6, 3)), layer])
        row = lq.models.profile(model).layers[0]
        assert row.params_by_bits == {1: 3 * 3 * 3 * 4, 32: 3}
        assert row.macs_by_bits == {(1, 1): 27 * 4 * 4 * 4}
        assert row.input_precision == 1
        assert row.notes == ()


@pytest.mark.slow
def test_two_replicas_learn_the_same_thresholds_as_one(run_fork):
    printed = run_fork(
        """
        import numpy as np, tensorflow as tf
        import larqlite as lq
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        import tf_keras
        def make():
            return tf_keras.Sequential([
                tf_keras.Input((5,)),
                lq.layers.QuantDense(4, input_quantizer="rsign",
                    kernel_quantizer="adabin_weights", activation=lq.layers.RPReLU()),
                lq.layers.QuantDense(2, input_quantizer="adabin_activations",
                    kernel_quantizer="rsign", kernel_constraint="weight_clip"),
            ])
        x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
        y = np.ones((8, 2), "float32")
        alone = make()
        start = alone.get_weights()
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            both = make()
            both.set_weights(start)
            both.compile(tf_keras.optimizers.SGD(0.05), "mse")
        alone.compile(tf_keras.optimizers.SGD(0.05), "mse")
        for _ in range(3):
            for model in (alone, both):
                model.fit(x, y, batch_size=8, verbose=0)
        for a, b, s in zip(alone.get_weights(), both.get_weights(), start):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        pairs = zip(alone.get_weights(), start)
        print("equal", sum(not np.array_equal(a, s) for a, s in pairs), len(start))
        """
    )
    word, moved, weights = printed.split()[-3:]
    assert word == "equal"
    assert moved == weights == "11"
