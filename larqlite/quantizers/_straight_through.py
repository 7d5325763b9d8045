"""The straight-through estimator, shared by the quantizers that train with it."""

from __future__ import annotations

import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.math import ops_of
from larqlite.quantizers._base import Quantizer

__all__ = ["StraightThrough"]


def pass_within(x: tf.Tensor, dy: tf.Tensor, bound: float) -> tf.Tensor:
    """`dy` where |x| <= bound, else 0.

    Args:
        x: floating-point tensor; NaN blocks.
        dy: tensor of its shape and dtype.
        bound: bound of the magnitude, >= 0.
    """
    if not tf.is_tensor(x) or x.dtype != tf.float32 or not 1e-30 < bound < 1e30:
        ops = ops_of(x)
        return ops.where(ops.abs(x) <= bound, dy, 0)

    # One pass over memory instead of three. With two bits and a narrow range the
    # levels are -bound, 0 and bound, so that no bound is moved by rounding.
    # TensorFlow has no gradient for this operation; it is linear in dy, and so its own.
    @custom_gradient
    def masked(dy):
        passed = tf.quantization.fake_quant_with_min_max_args_gradient(
            dy, x, min=-bound, max=bound, num_bits=2, narrow_range=True
        )
        return passed, masked

    return masked(dy)


class StraightThrough(Quantizer):
    r"""Base class of quantizers whose gradient passes where $|x| \leq$ `clip_value`.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    References:
        Binarized Neural Networks, https://arxiv.org/abs/1602.02830, eq. 4.
    """

    def __init__(self, clip_value: float | None = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.clip_value = clip_value

    @property
    def gradient_everywhere(self) -> bool:
        """Whether no bound keeps gradients back."""
        return self.clip_value is None

    def derivative(self, x):
        if self.clip_value is None:
            return ops_of(x).ones_like(x)
        return ops_of(x).abs(x) <= self.clip_value

    def pull_back(self, x, dy):
        if self.clip_value is None:
            return dy
        return pass_within(x, dy, self.clip_value)

    def get_config(self) -> dict:
        return {**super().get_config(), "clip_value": self.clip_value}
