"""The straight-through estimator, shared by the quantizers that train with it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite.quantizers._base import Quantizer

__all__ = ["StraightThrough"]


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

    def derivative(self, x):
        if self.clip_value is None:
            return tf.ones_like(x)
        return tf.abs(x) <= self.clip_value

    def pull_back(self, x, dy):
        if self.clip_value is None:
            return dy
        dtype = x.dtype.as_numpy_dtype
        # |x| <= c is c' - |x| > 0 for the next larger float c', and that product
        # with dy is one operation: three passes over memory instead of four. A
        # difference below the smallest normal number would be flushed to zero.
        beyond = np.nextafter(dtype(self.clip_value), dtype(np.inf))
        if self.clip_value < 1e-4 or not np.isfinite(beyond):
            return super().pull_back(x, dy)
        return tf.raw_ops.ReluGrad(gradients=dy, features=beyond - tf.abs(x))

    def get_config(self) -> dict:
        return {**super().get_config(), "clip_value": self.clip_value}
