"""Small networks that Larq Compute Engine converts, from Larq's layers or larqlite's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import tensorflow as tf
import tf_keras

layers = tf_keras.layers
Build = Callable[[ModuleType], tf_keras.Model]
BINARY = {"input_quantizer": "ste_sign", "use_bias": False}


def cases() -> dict[str, Build]:
    """Networks by name; each is built from the library that it is given."""
    return dict(_cases())


def _cases() -> Iterator[tuple[str, Build]]:
    kernels = ("ste_sign", "approx_sign", "swish_sign", "magnitude_aware_sign")
    for name in (*kernels, "ste_tern", "ste_heaviside", "dorefa_quantizer"):
        yield f"kernel_{name}", _convolution(kernel_quantizer=name)
    for name in ("approx_sign", "swish_sign", "ste_tern", "ste_heaviside"):
        yield f"input_{name}", _convolution(input_quantizer=name)
    yield "strides", _convolution(strides=2)
    yield "dilation", _convolution(dilation_rate=2)
    yield "groups", _convolution(groups=2)
    yield "bias", _convolution(use_bias=True)
    yield "valid", _convolution(padding="valid")
    yield "pad_plus_one", _convolution(pad_values=1.0)
    yield "pad_minus_one", _convolution(pad_values=-1.0)
    yield "conv_1d", _layer("QuantConv1D", (32, 64), 64, 3, kernel_quantizer="ste_sign")
    yield "dense", _layer("QuantDense", (64,), 64, kernel_quantizer="ste_sign")
    yield (
        "depthwise",
        _layer("QuantDepthwiseConv2D", (12, 12, 64), 3, depthwise_quantizer="ste_sign"),
    )
    yield (
        "transposed",
        _layer(
            "QuantConv2DTranspose", (12, 12, 64), 64, 3, kernel_quantizer="ste_sign"
        ),
    )
    yield "network", network


def network(library: ModuleType) -> tf_keras.Model:
    """A float convolution, two binary ones with a shortcut, and a classifier."""
    x = inputs = layers.Input((16, 16, 3))
    x = layers.Conv2D(64, 3, padding="same", strides=2)(x)
    x = layers.BatchNormalization()(x)
    for quantizer, pad_value in (("ste_sign", 1.0), ("magnitude_aware_sign", 0.0)):
        shortcut = x
        x = library.layers.QuantConv2D(
            *(64, 3),
            padding="same",
            pad_values=pad_value,
            kernel_quantizer=quantizer,
            kernel_constraint="weight_clip",
            **BINARY,
        )(x)
        x = layers.BatchNormalization()(x)
        x = layers.Add()([x, shortcut])
    x = layers.GlobalAvgPool2D()(x)
    x = layers.Dense(10, activation="softmax")(x)
    return tf_keras.Model(inputs, x)


def randomize(model: tf_keras.Model) -> None:
    """The same seeded weights for either library, statistics of batches included."""
    rng = np.random.default_rng(0)
    values = []
    for variable in model.weights:
        name = variable.name.rpartition("/")[2]
        if name.startswith(("gamma", "moving_variance")):
            value = rng.uniform(0.5, 1.5, variable.shape)
        else:
            value = rng.normal(0, 0.5, variable.shape)
        values.append(value.astype("float32"))
    model.set_weights(values)


def batch(model: tf_keras.Model, size: int = 8) -> np.ndarray:
    """Seeded inputs of a network."""
    shape = (size, *model.input_shape[1:])
    return np.random.default_rng(1).normal(0, 1, shape).astype("float32")


def traced(model: tf_keras.Model) -> list[str]:
    """The operations that the converter is given: those of the model's inference."""
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    function = tf.function(lambda x: model(x, training=False), autograph=False)
    operations = function.get_concrete_function(spec).graph.get_operations()
    return [o.type for o in operations if o.type not in ("Const", "NoOp")]


def _convolution(**options) -> Build:
    options = {"padding": "same", "kernel_quantizer": "ste_sign", **options}
    return _layer("QuantConv2D", (12, 12, 64), 64, 3, **options)


def _layer(name: str, shape: tuple[int, ...], *arguments, **options) -> Build:
    def build(library: ModuleType) -> tf_keras.Model:
        inputs = layers.Input(shape)
        layer = getattr(library.layers, name)(*arguments, **{**BINARY, **options})
        # As in a network: what is quantized was computed, and is normalized again.
        x = layer(layers.Activation("relu")(inputs))
        return tf_keras.Model(inputs, layers.BatchNormalization()(x))

    return build
