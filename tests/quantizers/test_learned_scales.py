"""Levels times scales that are learned or follow the weights: values and gradients by hand."""

import numpy as np
import pytest
import tensorflow as tf

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
