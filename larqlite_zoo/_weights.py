"""The weights of a model: from a local file, or fetched, checked and cached."""

from __future__ import annotations

import os

import tf_keras

from larqlite.errors import ArgumentError


def check_weights(name, weights, *, include_top: bool, num_classes: int) -> None:
    """Raises ArgumentError unless `weights` is None, a known word or an existing file."""
    if weights is not None and not os.path.exists(weights):
        raise ArgumentError(f"{name}: no such weights: {weights}")


def load_weights(model: tf_keras.Model, name: str, weights, *, include_top: bool):
    """Loads a weight file into the model by topology."""
    model.load_weights(weights)
