"""The layer that computes an operation of `keras.ops` in tf_keras, saved by name."""

from __future__ import annotations
