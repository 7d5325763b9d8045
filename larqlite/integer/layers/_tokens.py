"""What a vision transformer does with its tokens beside attention."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.graph import LayerFacts
from larqlite.integer.layers._layer_classes import NamedWeights, known

__all__ = ["AddPositionEmbs", "ClassToken", "ExtractToken"]

initializers = tf_keras.initializers


class _TokenWeight(NamedWeights, tf_keras.layers.Layer):
    """Base class: tokens `(batch, tokens, hidden)` and a weight that starts as told."""

    def __init__(self, initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.initializer = initializers.get(initializer)

    def build(self, input_shape):
        shape = tuple(input_shape)
        if len(shape) != 3 or None in shape[2:]:
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}": an input of shape {shape}.\n'
                "  Fix: call it with (batch, tokens, hidden), e.g. after "
                "tf_keras.layers.Reshape((tokens, hidden))."
            )
        super().build(input_shape)

    def get_config(self) -> dict:
        initializer = self.initializer
        if initializer is not None:
            initializer = initializers.serialize(initializer)
        return {**super().get_config(), "initializer": initializer}


@known()
@register_object()
class ClassToken(_TokenWeight):
    """Puts a learned token before all others.

    Args:
        initializer: how the token starts; None for Keras' default, "glorot_uniform".
        **kwargs: those of a Keras layer.

    Input `(batch, tokens, hidden)`, output `(batch, 1 + tokens, hidden)` with the class
    token at index 0. The weight `cls` has the shape `(1, 1, hidden)`.

    Raises:
        ArgumentError: an input of another rank.

    Example:
        >>> layer = lq.integer.layers.ClassToken(initializer="ones")
        >>> layer(tf.zeros((1, 2, 1))).numpy().ravel().tolist()
        [1.0, 0.0, 0.0]

    References:
        https://arxiv.org/abs/2010.11929, eq. 1.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.cls = self.add_weight(
            "cls", (1, 1, input_shape[-1]), initializer=self.initializer
        )

    def call(self, inputs):
        shape = tf.shape(inputs)
        token = tf.cast(self.cls, inputs.dtype)
        token = tf.broadcast_to(token, (shape[0], 1, inputs.shape[-1]))
        return tf.concat([token, inputs], axis=1)

    def compute_output_shape(self, input_shape):
        batch, tokens, hidden = input_shape
        return tf.TensorShape((batch, tokens and tokens + 1, hidden))


@known(LayerFacts(is_monotone=True))
@register_object()
class AddPositionEmbs(_TokenWeight):
    """Adds learned numbers to each position and channel.

    Args:
        initializer: how they start; None for Keras' default, "glorot_uniform".
        **kwargs: those of a Keras layer.

    Input and output `(batch, tokens, hidden)`. The weight `pe` has the shape
    `(1, tokens, hidden)`.

    Raises:
        ArgumentError: an input of another rank, or of an unknown number of tokens.

    Example:
        >>> layer = lq.integer.layers.AddPositionEmbs(initializer="ones")
        >>> layer(tf.zeros((1, 1, 2))).numpy().tolist()
        [[[1.0, 1.0]]]

    References:
        https://arxiv.org/abs/2010.11929, eq. 1.
    """

    def build(self, input_shape):
        super().build(input_shape)
        if input_shape[1] is None:
            raise ArgumentError(
                f'AddPositionEmbs "{self.name}": the number of tokens of an input of '
                f"shape {tuple(input_shape)} is unknown.\n"
                "  Fix: give the model's Input its size."
            )
        self.pe = self.add_weight(
            "pe", (1, *input_shape[1:]), initializer=self.initializer
        )

    def call(self, inputs):
        return inputs + tf.cast(self.pe, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape)


@known(LayerFacts(values="moved", is_monotone=True))
@register_object()
class ExtractToken(tf_keras.layers.Layer):
    """Takes one token out.

    Args:
        token: its index; counted from the end if negative.
        axis: the axis of the tokens.
        **kwargs: those of a Keras layer.

    Input: a tensor; output: the same without `axis`.

    Raises:
        ArgumentError: no such axis or token.

    Example:
        >>> x = tf.constant([[[1.0, 2.0], [3.0, 4.0]]])
        >>> lq.integer.layers.ExtractToken(token=1)(x).numpy().tolist()
        [[3.0, 4.0]]
    """

    def __init__(self, token: int, axis: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.token = token
        self.axis = axis

    def build(self, input_shape):
        shape = tuple(input_shape)
        where = f'{type(self).__name__} "{self.name}"'
        if not -len(shape) <= self.axis < len(shape) or self.axis % len(shape) == 0:
            raise ArgumentError(
                f"{where}: axis={self.axis} of an input of shape {shape}.\n"
                f"  Fix: give an axis from 1 to {len(shape) - 1}."
            )
        size = shape[self.axis]
        if size is not None and not -size <= self.token < size:
            raise ArgumentError(
                f"{where}: token={self.token}, but an input of shape {shape} has {size} "
                f"of them.\n  Fix: give a token from 0 to {size - 1}."
            )
        super().build(input_shape)

    def call(self, inputs):
        return tf.gather(
            inputs, index_of(self.token, self.axis, inputs), axis=self.axis
        )

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        del shape[self.axis]
        return tf.TensorShape(shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "token": self.token, "axis": self.axis}


def index_of(token: int, axis: int, inputs):
    """The index of a token, which may be counted from the end."""
    if token >= 0:
        return token
    size = inputs.shape[axis]
    return (tf.shape(inputs)[axis] if size is None else size) + token
