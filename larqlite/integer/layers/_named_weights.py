"""Weights that keep the names that `.h5` files need, however their layer was built."""

from __future__ import annotations

import tensorflow as tf


class NamedWeights:
    """Mixin for a Keras layer with weights."""

    def build_from_config(self, config):
        """As in Keras, but weights keep the layer's name, which `.h5` files need."""
        with tf.name_scope(self.name):
            super().build_from_config(config)
