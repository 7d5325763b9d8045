"""MeliusNet22: dense blocks that add channels, then blocks that improve them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite_zoo._build import finish, global_pool, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model

layers = tf_keras.layers

GROWTH = 64
# Each section: its number of block pairs, and the channels of the transition after it.
SECTIONS = ((4, 160), (5, 224), (4, 256), (4, None))


@tf_keras.saving.register_keras_serializable(package="larqlite_zoo")
class SplitChannels(layers.Layer):
    """Cuts the last axis into equal parts.

    Args:
        parts: how many, at least one.

    Inputs:
        Tensor `(..., channels)`; the output is a list of `parts` tensors
        `(..., channels / parts)` of the same dtype.

    Raises:
        ArgumentError: no parts, or parts that do not divide the channels.

    Example:
        >>> from larqlite_zoo.literature.meliusnet import SplitChannels
        >>> [part.numpy().tolist() for part in SplitChannels(2)(tf.range(4))]
        [[0, 1], [2, 3]]
    """

    def __init__(self, parts: int, **kwargs):
        super().__init__(**kwargs)
        if parts < 1:
            raise ArgumentError(
                f'SplitChannels "{self.name}": parts={parts}.\n  Fix: at least 1.'
            )
        self.parts = parts

    def call(self, inputs):
        channels = inputs.shape[-1]
        if channels is None or channels % self.parts:
            raise ArgumentError(
                f'SplitChannels "{self.name}": {channels} channels do not divide into '
                f"{self.parts} equal parts.\n  Fix: a multiple of {self.parts}."
            )
        return tf.split(inputs, self.parts, axis=-1)

    def get_config(self) -> dict:
        return super().get_config() | {"parts": self.parts}


@tf_keras.saving.register_keras_serializable(package="larqlite_zoo")
class AddToLastChannels(layers.Layer):
    """Adds a narrow tensor to the last channels of a wide one.

    `y[..., c] = x[..., c]` for the first channels, and `x[..., c] + z[..., c - s]` from
    `s = channels(x) - channels(z)` on.

    Inputs:
        `[x, z]`: tensors of one dtype and shape, but that `x` has at least as many
        channels as `z`; the output has the shape of `x`.

    Raises:
        ArgumentError: `z` has more channels than `x`.

    Example:
        >>> from larqlite_zoo.literature.meliusnet import AddToLastChannels
        >>> AddToLastChannels()([tf.ones([1, 3]), tf.ones([1, 2])]).numpy().tolist()
        [[1.0, 2.0, 2.0]]

    References:
        MeliusNet, https://arxiv.org/abs/2001.05936, section 3.2, improvement block.
    """

    def call(self, inputs):
        wide, narrow = inputs
        kept = wide.shape[-1] - narrow.shape[-1]
        if kept < 0:
            raise ArgumentError(
                f'AddToLastChannels "{self.name}": {narrow.shape[-1]} channels cannot be '
                f"added to the last of {wide.shape[-1]}.\n  Fix: the wide tensor first."
            )
        before = [[0, 0]] * (wide.shape.rank - 1)
        return wide + tf.pad(narrow, [*before, [kept, 0]])


@lq.models.mac_formula(SplitChannels, keeps_values=True)
def _split_macs(call):
    return ()


@lq.models.mac_formula(AddToLastChannels)
def _add_macs(call):
    return ()


lq.models.add_layer_facts(AddToLastChannels, lq.models.LayerFacts(is_monotone=True))


@lq.deploy.converter(SplitChannels)
def _convert_split(graph, layer, value):
    """`Split`."""
    size = value.shape[-1] // layer.parts
    if layer.parts == 1:
        return [value]
    names = graph.node(
        "Split",
        [value.name, graph.constant([size] * layer.parts)],
        outputs=layer.parts,
        axis=value.stored_axis(-1),
    )
    shape = (*value.shape[:-1], size)
    return [graph.value(name, shape, like=value, levels=value.levels) for name in names]


@lq.deploy.converter(AddToLastChannels)
def _convert_add(graph, layer, values):
    """`Pad` with zeros before the channels, and `Add`."""
    wide, narrow = map(graph.channels_first, values)
    pads = [0] * 2 * wide.rank
    pads[wide.stored_axis(-1)] = wide.shape[-1] - narrow.shape[-1]
    if any(pads):
        zero = graph.constant(np.float32(0))
        name = graph.node("Pad", [narrow.name, graph.constant(pads), zero])
        narrow = graph.value(name, wide.shape, like=narrow)
    name = graph.node("Add", [wide.name, narrow.name], name=graph.path)
    return graph.value(name, wide.shape, like=wide)


@register_model(
    "meliusnet22",
    summary="Dense blocks add 64 channels, improvement blocks refine the newest 64.",
    paper=Paper(
        "MeliusNet: Can Binary Neural Networks Achieve MobileNet-level Accuracy?",
        "https://arxiv.org/abs/2001.05936",
        2020,
    ),
    published=(Accuracy("imagenet", 62.4, 83.9, LARQ_ZOO),),
    weights=(
        larq_zoo_file(
            "meliusnet22-v0.1.0",
            "meliusnet22_weights.h5",
            "c1ba85e8389ae326009665ec13331e49fc3df4d0f925fa8553e224f7362c18ed",
        ),
        larq_zoo_file(
            "meliusnet22-v0.1.1",
            "meliusnet22_weights_notop.h5",
            "abfc5c50049d72a14e44df0c1cb73896ece2a1ab4bf9bb48fede6cc2f5e0b58f",
            include_top=False,
        ),
    ),
    recipe="TrainMeliusNet22",
)
def MeliusNet22(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """MeliusNet22: binary dense blocks, each followed by an improvement block.

    With `f(x) = conv3x3(sign(BatchNormalization(x)), sign(w))` to 64 channels, a dense
    block is `x -> [x, f(x)]`, and an improvement block adds `f(x)` to the last 64
    channels of x. Four sections of 4, 5, 4 and 4 such pairs are joined by max pooling
    and a float 1x1 convolution; the stem has grouped float convolutions.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default, sizes left
            open without a classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for the published ones, None for random ones, or the path
            of a file.
        include_top: False ends in the features `(batch, height/32, width/32, 512)`.
        num_classes: of the classifier; 1000 with published weights.

    Returns:
        A model "meliusnet22" from float images to float32 probabilities.

    Raises:
        ArgumentError: arguments that do not fit, or images below 17 pixels.
        KerasVersionError: a tensor of Keras 3.

    Example:
        >>> from larqlite_zoo.literature import MeliusNet22
        >>> model = MeliusNet22(input_shape=(32, 32, 3), weights=None, num_classes=10)
        >>> model.get_layer("head_bn").output.shape
        TensorShape([None, 1, 1, 512])

    References:
        MeliusNet, https://arxiv.org/abs/2001.05936, figure 2 and table 2.
    """
    image = image_input(
        "MeliusNet22",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=17,
    )
    x = _stem(image)
    for section, (pairs, transition) in enumerate(SECTIONS):
        for pair in range(pairs):
            name = f"section_{section}_block_{pair}"
            y = _binary(x, f"{name}_dense")
            x = layers.Concatenate(name=f"{name}_dense_concat")([x, y])
            y = _binary(x, f"{name}_improve")
            x = AddToLastChannels(name=f"{name}_improve_merge")([x, y])
        if transition:
            x = _transition(x, transition, f"section_{section}_transition")
    x = layers.Activation("relu", name="head_relu")(_norm(x, "head_bn"))
    if include_top:
        x = global_pool(x, name="head_globalpool")
        x = layers.Dense(
            num_classes, kernel_initializer="glorot_normal", name="head_dense"
        )(x)
        x = layers.Activation("softmax", dtype="float32", name="head_softmax")(x)
    return finish(image, x, "meliusnet22", weights=weights, include_top=include_top)


def _stem(image):
    """Three float convolutions, the second and third in groups, to a quarter."""
    x = _float(image, 32, 3, "stem_s0_conv", strides=2)
    x = layers.Activation("relu", name="stem_s0_relu")(_norm(x, "stem_s0_bn"))
    for step, filters, groups in ((1, 32, 4), (2, 64, 8)):
        name = f"stem_s{step}"
        parts = SplitChannels(groups, name=f"{name}_groupconv_split")(x)
        # A convolution of its own for each group, as in Larq Zoo's weight files.
        parts = [
            _float(part, filters // groups, 3, f"{name}_groupconv_conv{i}")
            for i, part in enumerate(parts)
        ]
        x = layers.Concatenate(name=f"{name}_groupconv_concat")(parts)
        x = layers.Activation("relu", name=f"{name}_relu")(_norm(x, f"{name}_bn"))
    return layers.MaxPooling2D(2, padding="same", name="stem_pool")(x)


def _binary(x, name: str):
    return lq.layers.QuantConv2D(
        GROWTH, 3, padding="same", use_bias=False,
        input_quantizer=lq.quantizers.SteSign(1.3),
        kernel_quantizer=lq.quantizers.SteSign(1.3),
        kernel_constraint=lq.constraints.WeightClip(1.3),
        kernel_initializer="glorot_normal", name=f"{name}_binconv",
    )(_norm(x, f"{name}_bn"))  # fmt: skip


def _transition(x, filters: int, name: str):
    """To half of the size, and to fewer channels."""
    x = _norm(x, f"{name}_bn")
    x = layers.MaxPooling2D(2, padding="same", name=f"{name}_maxpool")(x)
    x = layers.Activation("relu", name=f"{name}_relu")(x)
    return _float(x, filters, 1, f"{name}_pw")


def _float(x, filters: int, size: int, name: str, strides: int = 1):
    return layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False,
        kernel_initializer="glorot_normal", name=name,
    )(x)  # fmt: skip


def _norm(x, name: str):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)
