"""The networks that are run after training: single layers, the zoo's, a float twin."""

import importlib

import networks
import numpy as np
import tf_keras
from inputs import FEATURES, STAGES

layers = tf_keras.layers
ZOO = {"BiRealNet": "literature", "BinaryResNetE18": "literature", "QuickNet": "sota"}


def build(name: str) -> tf_keras.Model:
    """A network with seeded weights and statistics of batches.

    Args:
        name: a model of the zoo; "layer:56x56x64:0" for a 3x3 binary convolution of this
            size with borders of 0 (or of +1), and a normalization; "chain:56x56x64:1" for
            six of them, one behind the other; "float_layer:56x56x64" for a float one;
            "dense:ternary:256" for a dense layer of a kernel "ternary" or "sign" and
            inputs of 8 bits, 256 at a time, and "float_dense:256" for a float one; "first"
            for the first network of the README;
            "float_twin" for BiRealNet's float network.
    """
    kind, *rest = name.split(":")
    model = _BUILDERS[kind](*rest) if kind in _BUILDERS else _zoo(kind)
    networks.set_seeded_weights(model)
    _set_statistics(model)
    return model


def binary_layers(stage: str, pad_value: str, count: int = 1) -> tf_keras.Model:
    """Floats in, binarized, convolved with binary weights, normalized, floats out."""
    import larqlite as lq

    size, channels = STAGES[stage]
    x = inputs = layers.Input((size, size, channels))
    for _ in range(count):
        x = lq.layers.QuantConv2D(
            *(channels, 3),
            padding="same",
            pad_values=float(pad_value),
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
        )(x)
        x = layers.BatchNormalization()(x)
    return tf_keras.Model(inputs, x)


def chain(stage: str, pad_value: str) -> tf_keras.Model:
    """Six binary layers: between them the values are bits, not floats."""
    return binary_layers(stage, pad_value, 6)


def float_layer(stage: str) -> tf_keras.Model:
    """A float convolution of the same shape, which an engine may round to 8 bits."""
    size, channels = STAGES[stage]
    inputs = layers.Input((size, size, channels))
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(inputs)
    return tf_keras.Model(inputs, layers.BatchNormalization()(x))


def dense(kernel: str, batch: str) -> tf_keras.Model:
    """Inputs of 8 bits by a kernel of few: floats in and out."""
    import larqlite as lq

    quantizers = {
        "ternary": lq.quantizers.SteTern(ternary_weight_networks=True),
        "sign": "ste_sign",
    }
    inputs = layers.Input((FEATURES,))
    layer = lq.layers.QuantDense(
        FEATURES,
        input_quantizer=lq.quantizers.DoReFa(8, mode="activations"),
        kernel_quantizer=quantizers[kernel],
        kernel_constraint="weight_clip",
        use_bias=False,
    )
    return tf_keras.Model(inputs, layer(inputs))


def float_dense(batch: str) -> tf_keras.Model:
    """A float layer of the same shape."""
    inputs = layers.Input((FEATURES,))
    return tf_keras.Model(inputs, layers.Dense(FEATURES, use_bias=False)(inputs))


def float_twin() -> tf_keras.Model:
    """BiRealNet with float convolutions of the same shapes, and ReLU for sign.

    ReLU stands behind the normalization: TFLite computes it with the convolution then.
    """
    x = inputs = layers.Input((224, 224, 3))
    x = layers.Conv2D(64, 7, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for filters in (64, 128, 256, 512):
        for i in range(4):
            shortcut, strides = x, 1
            if i == 0 and filters > 64:
                strides = 2
                shortcut = layers.AveragePooling2D(2, padding="same")(shortcut)
                shortcut = layers.Conv2D(filters, 1, use_bias=False)(shortcut)
                shortcut = layers.BatchNormalization()(shortcut)
            x = layers.Conv2D(
                filters, 3, strides=strides, padding="same", use_bias=False
            )(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
            x = layers.Add()([x, shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, layers.Dense(1000, activation="softmax")(x))


def _zoo(name: str) -> tf_keras.Model:
    module = importlib.import_module(f"larqlite_zoo.{ZOO[name]}")
    return getattr(module, name)(weights=None)


def _set_statistics(model: tf_keras.Model) -> None:
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            values = []
            for weight in layer.weights:
                is_scale = weight.name.rpartition("/")[2].startswith(
                    ("gamma", "moving_v")
                )
                drawn = (
                    rng.uniform(0.5, 1.5, weight.shape)
                    if is_scale
                    else rng.normal(0, 0.3, weight.shape)
                )
                values.append(drawn.astype("float32"))
            layer.set_weights(values)


def first() -> tf_keras.Model:
    """The network that the README begins with, but for the layers that scale pixels."""
    import larqlite as lq

    sign = {"input_quantizer": "approx_sign", "kernel_quantizer": "ste_sign"}
    conv = {"filters": 64, "kernel_size": 3, "padding": "same", "use_bias": False}
    x = inputs = layers.Input((28, 28, 1))
    x = layers.Conv2D(64, 3, strides=2, padding="same")(x)
    for _ in range(3):
        x = lq.layers.QuantConv2D(**conv, **sign)(layers.BatchNormalization()(x))
    x = layers.Flatten()(layers.BatchNormalization()(layers.MaxPool2D()(x)))
    x = lq.layers.QuantDense(10, use_bias=False, **sign)(x)
    return tf_keras.Model(inputs, layers.BatchNormalization()(x))


_BUILDERS = {
    "first": first,
    "layer": binary_layers,
    "chain": chain,
    "float_layer": float_layer,
    "dense": dense,
    "float_dense": float_dense,
    "float_twin": float_twin,
}
