"""The clip of latent weights as a constraint of Keras 3."""

from __future__ import annotations

from typing import Any

import keras

from larqlite import constraints
from larqlite._registration import PACKAGE

__all__ = ["WeightClip", "constraint"]


@keras.saving.register_keras_serializable(PACKAGE)
class WeightClip(keras.constraints.Constraint):
    r"""Keeps latent weights where the straight-through gradient is not zero, in Keras 3.

    As `lq.constraints.WeightClip`: $f(w) = \max(-c, \min(c, w))$ with $c$ = `clip_value`.

    Args:
        clip_value: bound of the magnitude of the weights, > 0.

    Raises:
        ArgumentError: `clip_value` is no number above 0.

    Example:
        >>> lq.keras3.WeightClip(2)(np.float32([-3.0, 0.5])).numpy().tolist()
        [-2.0, 0.5]
    """

    def __init__(self, clip_value: float = 1) -> None:
        self.clip_value = constraints.WeightClip(clip_value).clip_value

    def __call__(self, w: Any) -> Any:
        return keras.ops.clip(w, -self.clip_value, self.clip_value)

    def get_config(self) -> dict:
        return {"clip_value": self.clip_value}


def constraint(identifier: Any) -> Any:
    """What Keras 3 takes as a constraint; ours, by its names, or of `lq.constraints`."""
    if identifier in ("weight_clip", "WeightClip", constraints.WeightClip):
        return WeightClip()
    if isinstance(identifier, constraints.WeightClip):
        return WeightClip(identifier.clip_value)
    return identifier
