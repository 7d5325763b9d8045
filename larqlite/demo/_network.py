"""The network of the demo: binary convolutions between a float first and last layer."""

from __future__ import annotations

import tf_keras

from larqlite import layers

CLASSES = 10


def build_network(
    input_quantizer="approx_sign",
    kernel_quantizer="ste_sign",
    kernel_constraint="weight_clip",
    filters: int = 32,
) -> tf_keras.Model:
    """A VGG-like network for 28 x 28 grey images.

    Three binary 3x3 convolutions, each followed by a batch normalization, so that the
    next sign sees values around zero; pooling comes before it, while values still
    differ. The first convolution and the classifier stay float: they hold few weights,
    and their input and output are not binary.

    Args:
        input_quantizer: of the three inner convolutions; a name, quantizer or function.
        kernel_quantizer: of the same; None for float kernels.
        kernel_constraint: of the same.
        filters: channels of the first convolution; the later have 2 and 4 times more.

    Returns:
        A tf_keras model from float `(batch, 28, 28, 1)` in [-1, 1] to logits
        `(batch, 10)`.

    Example:
        >>> from larqlite import demo
        >>> demo.build_network().count_params()
        242602
    """
    binary = {
        "use_bias": False,
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "kernel_constraint": kernel_constraint,
    }

    def normalize():
        return tf_keras.layers.BatchNormalization(momentum=0.9)

    return tf_keras.Sequential(
        [
            tf_keras.Input((28, 28, 1)),
            tf_keras.layers.Conv2D(
                filters, 3, padding="same", use_bias=False, name="conv_1"
            ),
            tf_keras.layers.MaxPool2D(),
            normalize(),
            layers.QuantConv2D(2 * filters, 3, padding="same", name="conv_2", **binary),
            tf_keras.layers.MaxPool2D(),
            normalize(),
            layers.QuantConv2D(4 * filters, 3, padding="same", name="conv_3", **binary),
            normalize(),
            layers.QuantConv2D(4 * filters, 3, name="conv_4", **binary),
            normalize(),
            tf_keras.layers.GlobalAveragePooling2D(),
            tf_keras.layers.Dense(CLASSES, name="classifier"),
        ],
        name="demo",
    )
