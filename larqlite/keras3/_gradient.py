"""A function with a pseudo-gradient, on each back end of Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.keras3._ops import BACKEND

__all__ = ["with_gradient"]


def with_gradient(forward: Callable, pull_back: Callable, x: Any) -> Any:
    """`forward(x)`, whose gradient is `pull_back(x, dy)` for that of the result, `dy`.

    On TensorFlow that is larqlite's own `custom_gradient`; on JAX and PyTorch that of
    Keras, which calls what goes back in two ways.

    Args:
        forward: function of a tensor.
        pull_back: function of the tensor and a gradient.
        x: floating-point tensor.
    """

    def function(x):
        def backwards(*arguments, upstream=None):
            # PyTorch's form: the tensors, and the gradient by name.
            return pull_back(x, arguments[-1] if upstream is None else upstream)

        return forward(x), backwards

    if BACKEND == "tensorflow":
        x = tf.convert_to_tensor(x)  # a gradient of one's own takes no variables
        return custom_gradient(lambda x: (forward(x), lambda dy: pull_back(x, dy)))(x)
    return keras.ops.custom_gradient(function)(x)
