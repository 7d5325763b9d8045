"""The two binary networks that are trained in the benchmarks, for either library."""

from types import ModuleType

import numpy as np
import tf_keras

layers = tf_keras.layers


def binary_vgg(library: ModuleType) -> tf_keras.Model:
    """The VGG of BinaryNet for 32x32 images and 10 classes, 14M binary weights.

    References:
        BinaryNet, https://arxiv.org/abs/1602.02830.
    """
    quant = library.layers
    binary = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    first = {**binary, "input_quantizer": None}
    x = inputs = layers.Input((32, 32, 3))
    for i, filters in enumerate((128, 128, 256, 256, 512, 512)):
        settings = binary if i else first
        x = quant.QuantConv2D(filters, 3, padding="same", **settings)(x)
        if i % 2:
            x = layers.MaxPool2D(2)(x)
        x = layers.BatchNormalization(momentum=0.999, scale=False)(x)
    x = layers.Flatten()(x)
    for units in (1024, 1024, 10):
        x = quant.QuantDense(units, **binary)(x)
        x = layers.BatchNormalization(momentum=0.999, scale=False)(x)
    return tf_keras.Model(inputs, layers.Activation("linear", dtype="float32")(x))


def bireal_net(library: ModuleType) -> tf_keras.Model:
    """An 18-layer network for 224x224 images with a shortcut around every convolution.

    References:
        Bi-Real Net, https://arxiv.org/abs/1808.00278.
    """
    x = inputs = layers.Input((224, 224, 3))
    x = layers.Conv2D(64, 7, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.8)(x)
    x = layers.MaxPool2D(3, strides=2, padding="same")(x)
    for filters in (64, 128, 256, 512):
        for i in range(4):
            strides = 2 if i == 0 and filters > 64 else 1
            x = _bireal_block(library, x, filters, strides)
    x = layers.GlobalAvgPool2D()(x)
    x = layers.Dense(1000)(x)
    return tf_keras.Model(inputs, layers.Activation("linear", dtype="float32")(x))


def _bireal_block(library: ModuleType, x, filters: int, strides: int):
    shortcut = x
    if strides > 1:
        shortcut = layers.AvgPool2D(strides)(shortcut)
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(shortcut)
        shortcut = layers.BatchNormalization(momentum=0.8)(shortcut)
    y = library.layers.QuantConv2D(
        filters,
        3,
        strides=strides,
        padding="same",
        input_quantizer="approx_sign",
        kernel_quantizer="magnitude_aware_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
    )(x)
    y = layers.BatchNormalization(momentum=0.8)(y)
    return layers.Add()([y, shortcut])


def set_seeded_weights(model: tf_keras.Model, seed: int = 0) -> None:
    """Give both sides the same kernels: uniform, scaled by fan-in and fan-out."""
    rng = np.random.default_rng(seed)
    values = []
    for value in model.get_weights():
        if value.ndim > 1:
            field = np.prod(value.shape[:-2])
            limit = np.sqrt(6 / (field * (value.shape[-2] + value.shape[-1])))
            value = rng.uniform(-limit, limit, value.shape).astype(value.dtype)
        values.append(value)
    model.set_weights(values)


def kernel_shapes() -> list[tuple[int, ...]]:
    """The shapes of the 16 binary kernels of `bireal_net`: 11.0M weights."""
    shapes, channels = [], 64
    for filters in (64, 128, 256, 512):
        for _ in range(4):
            shapes.append((3, 3, channels, filters))
            channels = filters
    return shapes
