"""Levels times scales that are learned or follow the weights: values and gradients by hand."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.quantizers.gradients import built, value_and_gradients

Q = lq.quantizers
RNG = np.random.default_rng(20261130)
KERNEL = RNG.normal(0.1, 0.7, (3, 3, 4, 5)).astype("float32")
UPSTREAM = RNG.normal(size=KERNEL.shape).astype("float32")
SCALES = np.float32([0.5, -1.5, 2, 1, 0.25])


def signs(x):
    return np.where(x < 0, -1, 1)


class TestXnorPlus:
    @pytest.mark.parametrize("clip", [0.75, None])
    def test_each_channel_has_a_scale_that_gets_the_gradient_of_its_signs(self, clip):
        quantizer = built(Q.XnorPlus(clip_value=clip), 5, SCALES)
        q, of_x, of_scale = value_and_gradients(quantizer, KERNEL, UPSTREAM)
        np.testing.assert_array_equal(q, SCALES * signs(KERNEL))
        passed = np.abs(KERNEL) <= (np.inf if clip is None else clip)
        np.testing.assert_allclose(of_x, UPSTREAM * SCALES * passed, rtol=1e-6)
        expected = (UPSTREAM * signs(KERNEL)).sum((0, 1, 2))
        np.testing.assert_allclose(of_scale, expected, rtol=1e-5)

    def test_one_scale_of_all_and_scales_of_another_axis(self):
        q = built(Q.XnorPlus(axis=None), 5, 0.5)(KERNEL)
        np.testing.assert_array_equal(q, 0.5 * signs(KERNEL))
        quantizer = Q.XnorPlus(axis=-2)
        quantizer.build(KERNEL.shape)
        quantizer.set_weights([SCALES[:4]])
        expected = SCALES[:4, None] * signs(KERNEL)
        np.testing.assert_array_equal(quantizer(KERNEL), expected)

    def test_scales_of_rows_and_columns_are_refused(self):
        with pytest.raises(lq.errors.ArgumentError, match=r"rank-1.*\n.*Fix: axis=-1"):
            Q.XnorPlus(axis="rows")

    def test_a_scale_that_grows_flips_nothing(self):
        quantizer = built(Q.XnorPlus(), 5, SCALES)
        before = quantizer.codes(quantizer(KERNEL))
        quantizer.scale.assign(3 * SCALES)
        np.testing.assert_array_equal(before, quantizer.codes(quantizer(KERNEL)))


class TestAbsmeanTernary:
    @pytest.mark.parametrize("per_channel", [False, True])
    def test_levels_are_the_mean_magnitude_and_every_gradient_passes(self, per_channel):
        axes = (0, 1, 2) if per_channel else None
        scale = np.abs(KERNEL).mean(axes)
        q, of_x = value_and_gradients(
            Q.AbsmeanTernary(per_channel=per_channel), KERNEL, UPSTREAM
        )
        codes = np.clip(np.rint(KERNEL / (scale + 1e-5)), -1, 1)
        np.testing.assert_allclose(q, scale * codes, rtol=1e-6)
        np.testing.assert_array_equal(of_x, UPSTREAM)
        assert set(np.unique(codes)) == {-1, 0, 1}

    def test_half_of_the_mean_is_zero(self):
        # The mean is 1, and 1e-5 is added to it.
        q = Q.AbsmeanTernary()(tf.constant([0.5, 0.500003, 2.0, -0.999997]))
        np.testing.assert_allclose(q, [0, 0, 1, -1], rtol=1e-5)

    def test_in_sixteen_bits_the_mean_is_taken_in_thirty_two(self):
        kernel = np.full(70000, 2.0, "float16")
        assert np.unique(Q.AbsmeanTernary()(kernel)).tolist() == [2]


class TestSeq:
    """Levels and gradients of ParetoQ's equations, each weight by itself."""

    LEVELS = {1: [-1, 1], 1.58: [-2 / 3, 0, 2 / 3], 2: [-0.75, -0.25, 0.25, 0.75]}

    @pytest.mark.parametrize("bits", LEVELS)
    @pytest.mark.parametrize("axis", [-1, None])
    def test_values_and_gradients(self, bits, axis):
        scale = np.abs(SCALES) if axis else np.float32(0.8)
        quantizer = built(Q.Seq(bits=bits, axis=axis), 5, scale)
        q, of_x, of_scale = value_and_gradients(quantizer, KERNEL, UPSTREAM)
        levels, u = np.array(self.LEVELS[bits]), KERNEL / scale
        # The range is cut into equal parts, each with its middle.
        parts = np.linspace(-1, 1, len(levels) + 1)[1:-1]
        level = levels[np.digitize(u, parts)]
        inside = np.abs(u) < 1
        np.testing.assert_allclose(q, scale * level, rtol=1e-6)
        np.testing.assert_allclose(of_x, UPSTREAM * inside, rtol=1e-6)
        slope = level - (0 if bits == 1 else u * inside)
        expected = (UPSTREAM * slope).sum((0, 1, 2) if axis else None)
        np.testing.assert_allclose(of_scale, expected, rtol=1e-4)

    def test_ends_and_ties(self):
        quantizer = Q.Seq(axis=None)
        q = quantizer(tf.constant([-9, -1, -0.5, 0, 0.5, 1, 9.0]))
        assert q.numpy().tolist() == [-0.75, -0.75, -0.25, 0.25, 0.75, 0.75, 0.75]
        assert quantizer.codes(q).numpy().tolist() == [-3, -3, -1, 1, 3, 3, 3]

    @pytest.mark.parametrize("bits", LEVELS)
    def test_a_layer_starts_its_scales_from_its_weights(self, bits):
        layer = lq.layers.QuantDense(3, kernel_quantizer=Q.Seq(bits=bits))
        layer.build((None, 7))
        kernel = np.abs(layer.latent_weight())
        expected = kernel.mean(0) if bits == 1 else kernel.max(0)
        np.testing.assert_allclose(layer.kernel_quantizer.scale, expected, rtol=1e-6)

    def test_other_bits_are_refused(self):
        with pytest.raises(lq.errors.ArgumentError, match=r"bits=3.*\n.*Fix: bits=1,"):
            Q.Seq(bits=3)


class TestTTQ:
    @pytest.mark.parametrize("axis", [None, -1])
    def test_values_and_gradients(self, axis):
        up, down = np.abs(SCALES), np.abs(SCALES)[::-1].copy()
        if axis is None:
            up, down = np.float32(0.5), np.float32(1.25)
        quantizer = built(Q.TTQ(threshold=0.2, axis=axis), 5, up, down)
        q, of_x, of_up, of_down = value_and_gradients(quantizer, KERNEL, UPSTREAM)
        bound = 0.2 * np.abs(KERNEL).max()
        above, below = bound < KERNEL, -bound > KERNEL
        np.testing.assert_array_equal(q, np.select([above, below], [up, -down], 0))
        slope = np.select([above, below], np.broadcast_arrays(up, down), 1)
        np.testing.assert_allclose(of_x, UPSTREAM * slope, rtol=1e-6)
        axes = (0, 1, 2) if axis else None
        for of, side in ((of_up, above), (of_down, -1 * below)):
            np.testing.assert_allclose(of, (UPSTREAM * side).sum(axes), rtol=1e-4)

    def test_a_layer_starts_at_the_mean_of_what_each_level_stands_for(self):
        layer = lq.layers.QuantDense(3, kernel_quantizer=Q.TTQ(0.3))
        layer.build((None, 7))
        kernel = layer.latent_weight().numpy()
        bound = 0.3 * np.abs(kernel).max()
        got = [float(w) for w in layer.kernel_quantizer.weights]
        expected = [kernel[kernel > bound].mean(), -kernel[kernel < -bound].mean()]
        np.testing.assert_allclose(got, expected, rtol=1e-6)

    def test_a_threshold_that_is_no_part_is_refused(self):
        with pytest.raises(lq.errors.ArgumentError, match=r"1.5.*\n.*Fix: a number"):
            Q.TTQ(1.5)


def test_scales_follow_the_weights_of_a_float_model_that_is_quantized():
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(7,))])
    kernel = 5 * RNG.normal(size=(7, 3)).astype("float32")
    model.layers[0].kernel.assign(kernel)
    scheme = lq.qat.BinaryScheme(Q.Seq(), "ste_sign")
    layer = lq.qat.quantize_model(model, scheme=scheme).layers[-1]
    largest = np.abs(kernel).max(0)
    np.testing.assert_allclose(layer.kernel_quantizer.scale, largest, rtol=1e-6)


class TestXnorScale:
    def test_values_are_those_of_magnitude_aware_sign_and_each_gradient_has_its_share(
        self,
    ):
        q, of_x = value_and_gradients(Q.XnorScale(), KERNEL, UPSTREAM)
        expected = Q.MagnitudeAwareSign()(tf.constant(KERNEL))
        np.testing.assert_array_equal(q, expected)
        scale = np.abs(KERNEL).mean((0, 1, 2))
        slope = 1 / 36 + scale * (np.abs(KERNEL) <= 1)
        np.testing.assert_allclose(of_x, UPSTREAM * slope, rtol=1e-5)
