"""Weight constraints for latent weights."""

from __future__ import annotations

import math
import numbers

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite._two_kerases import OfTfKeras
from larqlite.errors import ArgumentError, require_tf_keras

__all__ = ["WeightClip", "weight_clip"]


@register_object(aliases=("weight_clip",))
class WeightClip(OfTfKeras, tf_keras.constraints.Constraint):
    r"""Keeps latent weights in the range where the straight-through gradient is not zero.

    $$ f(w) = \max(-c, \min(c, w)) $$

    with $c$ = `clip_value`.

    Args:
        clip_value: bound of the magnitude of the weights, > 0.

    Raises:
        ArgumentError: `clip_value` is no number above 0.

    Example:
        >>> lq.constraints.WeightClip(2)(tf.constant([-3.0, 0.5])).numpy().tolist()
        [-2.0, 0.5]

    References:
        BinaryConnect, https://arxiv.org/abs/1511.00363, section 2.4.
    """

    def __init__(self, clip_value: float = 1):
        if isinstance(clip_value, bool) or not (
            tf.is_tensor(clip_value)
            or (isinstance(clip_value, numbers.Real) and 0 < clip_value < math.inf)
        ):
            raise ArgumentError(
                f"WeightClip: clip_value={clip_value!r} is no number above 0.\n"
                "  Fix: e.g. clip_value=1, beyond which most straight-through gradients "
                "are zero."
            )
        self.clip_value = clip_value

    def __call__(self, w) -> tf.Tensor:
        require_tf_keras(w, "WeightClip (that of Keras 3 is lq.keras3.WeightClip)")
        w = tf.convert_to_tensor(w)
        # One pass over memory; `tf.clip_by_value` takes two.
        bound = tf.cast(self.clip_value, w.dtype)
        return tf.raw_ops.ClipByValue(t=w, clip_value_min=-bound, clip_value_max=bound)

    def get_config(self) -> dict:
        return {"clip_value": self.clip_value}


weight_clip = WeightClip
