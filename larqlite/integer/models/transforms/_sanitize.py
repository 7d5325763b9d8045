"""All that makes a float model ready to be quantized, in the right order."""

from __future__ import annotations

from functools import partial

import tf_keras

from larqlite.integer.models.transforms import (
    _align_rescaling,
    _drop_inactive,
    _drop_reshapes,
    _flatten_nested,
    _fold_batchnorms,
    _fold_preprocessing,
    _fuse_activations,
    _grouped_to_depthwise,
    _invert_batchnorm_pooling,
    _invert_relu_maxpool,
    _remove_zeropadding2d,
    _replace_lambda,
    _split_activations,
)
from larqlite.integer.models.transforms._surgery import transformed

__all__ = ["sanitize"]

# Padding goes first, so that a Rescaling before it finds a convolution to align with.
# Normalizations move and fold while the ReLUs are still where the user put them: after
# `invert_relu_maxpool` one would stand between a convolution and its normalization.
PASSES = (
    _flatten_nested.run,
    _split_activations.run,
    _drop_inactive.run,
    _fold_preprocessing.run,
    _replace_lambda.run,
    _fuse_activations.run,
    _grouped_to_depthwise.run,
    _drop_reshapes.run,
    _remove_zeropadding2d.run,
    partial(_align_rescaling.run, of_inputs=True),
    partial(_invert_batchnorm_pooling.run, is_strict=False),
    partial(_fold_batchnorms.run, is_strict=False),
    _invert_relu_maxpool.run,
)


def sanitize(model: tf_keras.Model) -> tf_keras.Model:
    """A model ready to be quantized: the transforms of this package, one after another.

    Nested models are unfolded, activations and functions become layers, layers that do
    nothing in inference (noise, augmentation) go; arithmetic on an input, such as
    `x / 127.5 - 1`, `preprocess_input` and `Normalization`, becomes one Rescaling;
    activations that are spelled out, such as the hard swish of MobileNetV3, become one
    layer; grouped convolutions become depthwise ones; reshapes in a row go; zero padding
    goes into convolutions; the first Rescaling is aligned; batch normalizations go before
    poolings and into kernels; ReLUs go after max poolings. The model is read once and
    built once.

    A batch normalization stays a layer where it cannot be folded exactly: after a ReLU,
    where a gamma is 0, or after a max pooling where one is negative.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Raises:
        ArgumentError: a `ValueError`: a Rescaling that cannot be aligned.
        UnsupportedModelError: a nested model that cannot be unfolded.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Conv2D(2, 3, input_shape=(8, 8, 1)),
        ...     tf_keras.layers.BatchNormalization(),
        ...     tf_keras.layers.Activation("relu"),
        ...     tf_keras.layers.MaxPooling2D()])
        >>> sane = lq.integer.models.transforms.sanitize(model)
        >>> [type(layer).__name__ for layer in sane.layers]
        ['Conv2D', 'MaxPooling2D', 'ReLU']
    """
    return transformed(model, "sanitize", PASSES)
