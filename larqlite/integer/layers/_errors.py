"""Errors of the integer layers that are TensorFlow's too."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import LarqliteError


class InvalidLogitsError(LarqliteError, tf.errors.InvalidArgumentError):
    """Logits that no softmax is defined for: empty, or without the axis asked for."""

    def __init__(self, message: str):
        super().__init__(None, None, message)

    def __reduce__(self):
        return type(self), (self.message,)
