"""The parts that the real-to-binary family shares: stem, binary blocks, shortcut, head.

Layers are named `<network>_block_<i>...`: distillation finds teacher's and student's
volumes by `block_2_out` ... `block_9_out`, and their logits by `logits`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tf_keras

import larqlite as lq
from larqlite_zoo._build import global_pool

layers = tf_keras.layers


@dataclass(frozen=True)
class RealToBinaryStage:
    """How far a network of the family is binarized.

    Attributes:
        name: of the Keras model; every layer's name begins with it.
        activation: what inputs of convolutions pass through: "ste_sign" or "tanh".
        binary_kernels: whether the kernels are binary too.
        decay: factor of the squared weights in the loss, 0 for none.
    """

    name: str
    activation: str
    binary_kernels: bool
    decay: float = 0.0

    def regularizer(self):
        """A new regularizer, or None."""
        return tf_keras.regularizers.L2(self.decay) if self.decay else None


Scaling = Callable[..., object]


def build(
    image,
    stage: RealToBinaryStage,
    scaling: Scaling,
    include_top: bool,
    num_classes: int,
):
    """The output of a binary network of the family.

    Args:
        image: tensor `(batch, height, width, channels)`.
        stage: how far it is binarized.
        scaling: `(stage, inputs, outputs, name) -> tensor`, what follows each binary
            convolution; the one thing in which the networks differ.
        include_top: whether to end in the classifier.
        num_classes: of the classifier.
    """
    x = stem(image, f"{stage.name}_block_1", stage.regularizer(), prelu=True)
    for block in range(2, 10):
        name = f"{stage.name}_block_{block}"
        x = _half_block(x, stage, scaling, f"{name}a", halves=block in (4, 6, 8))
        x = _half_block(x, stage, scaling, f"{name}b", halves=False)
        x = layers.Identity(name=f"{name}_out")(x)
    return head(x, f"{stage.name}_block_10", num_classes) if include_top else x


def stem(image, name: str, regularizer, prelu: bool):
    """7x7 convolution and pooling, each with stride 2."""
    x = layers.Conv2D(
        64, 7, strides=2, padding="same", use_bias=False,
        kernel_initializer="glorot_normal", kernel_regularizer=regularizer,
        name=f"{name}_conv2d",
    )(image)  # fmt: skip
    x = layers.BatchNormalization(momentum=0.99, name=f"{name}_batch_norm")(x)
    if prelu:
        x = layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(x)
    else:
        x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(x)


def shortcut(x, name: str, filters: int, regularizer):
    """The sum's other side: `x`, or its averages mapped to twice the channels."""
    if x.shape[-1] == filters:
        return x
    x = layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
    x = layers.Conv2D(
        filters, 1, use_bias=False, kernel_initializer="glorot_normal",
        kernel_regularizer=regularizer, name=f"{name}_shortcut_conv2d",
    )(x)  # fmt: skip
    name = f"{name}_shortcut_batch_norm"
    return layers.BatchNormalization(momentum=0.99, name=name)(x)


def head(x, name: str, num_classes: int):
    """Probabilities `(batch, num_classes)`, float32."""
    x = global_pool(x, name=f"{name}_global_pool")
    x = layers.Dense(num_classes, name=f"{name}_logits")(x)
    return layers.Softmax(dtype="float32", name=f"{name}_probs")(x)


def _half_block(x, stage: RealToBinaryStage, scaling: Scaling, name: str, halves: bool):
    """Normalize, convolve, scale, PReLU, add the shortcut; half of Figure 1 (left)."""
    filters = x.shape[-1] * (2 if halves else 1)
    beside = shortcut(x, name, filters, stage.regularizer())
    inputs = layers.BatchNormalization(momentum=0.99, name=f"{name}_batch_norm")(x)
    x, quantizer = inputs, stage.activation
    if quantizer == "tanh":
        x, quantizer = layers.Activation("tanh", name=f"{name}_tanh")(x), None
    x = lq.layers.QuantConv2D(
        filters, 3, strides=2 if halves else 1, padding="same", use_bias=False,
        input_quantizer=quantizer,
        kernel_quantizer="ste_sign" if stage.binary_kernels else None,
        kernel_constraint="weight_clip" if stage.binary_kernels else None,
        kernel_regularizer=None if stage.binary_kernels else stage.regularizer(),
        kernel_initializer="glorot_normal", name=f"{name}_conv2d",
    )(x)  # fmt: skip
    x = scaling(stage, inputs, x, name)
    x = layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(x)
    return layers.Add(name=f"{name}_skip_add")([x, beside])
