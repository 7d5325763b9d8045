"""Small networks that are trained on real images, for tests of whole models."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq

layers = tf_keras.layers


@functools.cache
def images():
    """Fashion-MNIST as uint8 images `(n, 28, 28, 1)` and labels, train and test."""
    (train, train_labels), (test, test_labels) = lq.datasets.load_fashion_mnist()
    return (train[..., None], train_labels), (test[..., None], test_labels)


def compiled(model, rate=1e-3, steps=None):
    """The model compiled for classification by logits."""
    if steps is not None:
        rate = tf_keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        tf_keras.optimizers.Adam(rate),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ["accuracy"],
    )
    return model


def accuracy(model, data) -> float:
    """The share of right labels; not traced."""
    images, labels = data
    found = [model(part).numpy().argmax(-1) for part in np.array_split(images, 4)]
    return float(np.mean(np.concatenate(found) == labels))


def _block(conv):
    return [
        conv,
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.MaxPooling2D(),
    ]


def float_cnn(separable=False):
    """Three convolutions and a classifier."""
    kind = layers.SeparableConv2D if separable else layers.Conv2D
    return tf_keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(28, 28, 1)),
            *_block(layers.Conv2D(16, 3, padding="same", use_bias=False)),
            *_block(kind(32, 3, padding="same", use_bias=False)),
            *_block(kind(32, 3, padding="same", use_bias=False)),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def binary_cnn():
    """A float first layer, two binary convolutions, a binary classifier."""
    binary = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }

    def norm():
        return layers.BatchNormalization(momentum=0.9, scale=False)

    return tf_keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(28, 28, 1)),
            layers.Conv2D(16, 3, use_bias=False),
            norm(),
            lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1, **binary),
            layers.MaxPooling2D(),
            norm(),
            lq.layers.QuantConv2D(32, 3, **binary),
            layers.MaxPooling2D(),
            norm(),
            layers.Flatten(),
            lq.layers.QuantDense(10, **binary),
            norm(),
        ]
    )


def vision_transformer(tokens=16, dim=16, heads=4, blocks=1):
    """Patches, a class token, positions, attention with shiftmax, LayerMadNormalization."""
    own = lq.integer.layers
    inputs = layers.Input((28, 28, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(dim, 7, strides=7)(x)
    x = layers.Reshape((tokens, dim))(x)
    x = own.AddPositionEmbs()(own.ClassToken()(x))
    for _ in range(blocks):
        normed = own.LayerMadNormalization()(x)
        query, key, value = (layers.Dense(dim)(normed) for _ in range(3))
        mixed, _ = own.Attention(heads, softmax="shiftmax")([query, key, value])
        x = own.Add()([x, layers.Dense(dim)(mixed)])
        hidden = layers.ReLU()(layers.Dense(2 * dim)(own.LayerMadNormalization()(x)))
        x = own.Add()([x, layers.Dense(dim)(hidden)])
    x = own.ExtractToken(0)(own.LayerMadNormalization()(x))
    return tf_keras.Model(inputs, layers.Dense(10)(x))


def random_images(count, shape, seed=0):
    """uint8 images."""
    generator = tf.random.Generator.from_seed(seed)
    return tf.cast(
        generator.uniform((count, *shape), 0, 256, tf.int32), tf.uint8
    ).numpy()
