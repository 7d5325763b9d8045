"""A small network with every kind of place that a fault can be in, and its file."""

from __future__ import annotations

import tf_keras

import larqlite as lq
from tests.deploy.keras_and_file import with_random_weights

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "use_bias": False,
}


def network(*, kernel_quantizer="ste_sign") -> tf_keras.Model:
    """A float stem, four packed layers of which two have equal sizes, a residual."""
    binary = BINARY | {"kernel_quantizer": kernel_quantizer, "padding": "same"}
    x = inputs = tf_keras.Input((8, 8, 3), name="image")
    x = tf_keras.layers.Conv2D(32, 3, name="stem")(x)
    for name in ("first", "second"):
        y = lq.layers.QuantConv2D(32, 3, name=name, **binary)(x)
        y = tf_keras.layers.BatchNormalization(name=f"{name}_bn")(y)
        x = tf_keras.layers.Add()([x, y])
    x = lq.layers.QuantConv2D(16, 3, pad_values=1.0, name="third", **binary)(x)
    x = tf_keras.layers.BatchNormalization(name="third_bn")(x)
    x = tf_keras.layers.Flatten()(x)
    x = lq.layers.QuantDense(10, name="last", **BINARY)(x)
    x = tf_keras.layers.BatchNormalization(name="last_bn")(x)
    return with_random_weights(tf_keras.Model(inputs, x, name="net"))
