"""The count of training steps that quantizers with a schedule ask for."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import tensorflow as tf


def counted(step: tf.Variable, quantizers: Iterable, training) -> tf.Variable:
    """`step`, one higher if the layer is training and one of its quantizers reads it.

    Args:
        step: integer variable that starts at -1.
        quantizers: those of the layer.
        training: bool, boolean tensor or None.
    """
    if training is None or training is False:
        return step
    if any("step" in inspect.signature(q).parameters for q in quantizers):
        step.assign_add(tf.cast(training, step.dtype))
    return step
