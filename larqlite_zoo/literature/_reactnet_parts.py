"""The float parts that ReActNet and AdaBin's ResNet-18 share."""

from __future__ import annotations

import tf_keras

_layers = tf_keras.layers


def float_conv(x, filters: int, size: int, *, strides: int = 1):
    """A float convolution and its batch normalization."""
    x = _layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
    )(x)
    return normalized(x)


def normalized(x):
    """A batch normalization with PyTorch's momentum and epsilon."""
    return _layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def halved(x):
    """The mean of each 2x2 pixels; fewer at the edge of an odd image."""
    return _layers.AveragePooling2D(2, padding="same")(x)


def classified(features, num_classes: int):
    """Probabilities of the classes, float32, from features `(batch, channels)`."""
    logits = _layers.Dense(num_classes, name="logits")(features)
    return _layers.Activation("softmax", dtype="float32")(logits)
