"""Activation layers with learned slopes and shifts, for the float parts between binary
convolutions."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._channels import along_channels, channels_shape
from larqlite._misspelt import raise_with_a_guess
from larqlite._registration import register_object, register_with_the_way_out
from larqlite._two_kerases import OfTfKeras, refuse_inside_keras_3
from larqlite.errors import require_tf_keras

__all__ = ["RPReLU", "TwoSlopeReLU"]


class _ChannelwiseActivation(OfTfKeras, tf_keras.layers.Layer):
    """Base class: learned numbers for each channel of `axis`, and a formula over them."""

    def __init__(self, axis: int = -1, **kwargs) -> None:
        try:
            super().__init__(**kwargs)
        except TypeError as error:
            raise_with_a_guess(type(self), kwargs, error)
            raise
        self.axis = axis
        self.supports_masking = True

    def __call__(self, inputs, *args, **kwargs):
        require_tf_keras(inputs, f'{type(self).__name__} "{self.name}"')
        if not self.built:
            refuse_inside_keras_3(self)
        return super().__call__(inputs, *args, **kwargs)

    def get_prunable_weights(self) -> list:
        """None: there are no kernels to prune for TensorFlow Model Optimization."""
        return []

    def add_channel_weight(self, name: str, input_shape, start: float) -> tf.Variable:
        where = f'{type(self).__name__} "{self.name}"'
        return self.add_weight(
            name,
            channels_shape(input_shape, self.axis, where),
            initializer=tf_keras.initializers.Constant(start),
        )

    def build_from_config(self, config):
        """As in Keras, but weights keep the layer's name, which `.h5` files need."""
        with tf.name_scope(self.name):
            super().build_from_config(config)

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "axis": self.axis}


@register_object()
class RPReLU(_ChannelwiseActivation):
    r"""A PReLU whose kink is moved to a learned point, for each channel.

    $$ f(x) = \begin{cases} x - \gamma_c + \zeta_c & x > \gamma_c \\
       \beta_c (x - \gamma_c) + \zeta_c & x \leq \gamma_c \end{cases} $$

    $\gamma$ and $\zeta$ start at 0, $\beta$ at 0.25. As an activation of another layer:
    `activation=lq.layers.RPReLU()`. It counts no multiply-accumulates; its three numbers a
    channel are ordinary float parameters.

    Input and output: floating-point tensors of the same shape, the channels on `axis`.

    Args:
        axis: the axis of the channels; 1 for images with channels first.
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: the number of channels is not known when it is built.

    Example:
        >>> layer = lq.layers.RPReLU(name="bend")
        >>> layer(tf.constant([[-4.0], [0.0], [2.0]])).numpy().ravel().tolist()
        [-1.0, 0.0, 2.0]
        >>> [weight.name for weight in layer.weights]
        ['bend/gamma:0', 'bend/beta:0', 'bend/zeta:0']

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, eq. 6.
    """

    def build(self, input_shape):
        self.gamma = self.add_channel_weight("gamma", input_shape, 0.0)
        self.beta = self.add_channel_weight("beta", input_shape, 0.25)
        self.zeta = self.add_channel_weight("zeta", input_shape, 0.0)
        super().build(input_shape)

    def call(self, inputs):
        gamma, beta, zeta = (
            along_channels(value, inputs, self.axis)
            for value in (self.gamma, self.beta, self.zeta)
        )
        shifted = inputs - gamma
        return tf.where(shifted > 0, shifted, beta * shifted) + zeta


@register_object()
class TwoSlopeReLU(_ChannelwiseActivation):
    r"""A learned slope on either side of zero, for each channel.

    $$ f(x) = \gamma^+_c \max(x, 0) + \gamma^-_c \min(x, 0) $$

    $\gamma^+$ starts at 1 and $\gamma^-$ at 0.25. AdaBin calls it Maxout: where
    $\gamma^+ \geq \gamma^-$ it is the larger of two lines through zero. As an activation
    of another layer: `activation=lq.layers.TwoSlopeReLU()`.

    Input and output: floating-point tensors of the same shape, the channels on `axis`.

    Args:
        axis: the axis of the channels; 1 for images with channels first.
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: the number of channels is not known when it is built.

    Example:
        >>> layer = lq.layers.TwoSlopeReLU()
        >>> layer(tf.constant([[-4.0], [0.0], [2.0]])).numpy().ravel().tolist()
        [-1.0, 0.0, 2.0]

    References:
        AdaBin, https://arxiv.org/abs/2208.08084, section 3.4.
    """

    def build(self, input_shape):
        self.positive = self.add_channel_weight("positive", input_shape, 1.0)
        self.negative = self.add_channel_weight("negative", input_shape, 0.25)
        super().build(input_shape)

    def call(self, inputs):
        positive = along_channels(self.positive, inputs, self.axis)
        negative = along_channels(self.negative, inputs, self.axis)
        return positive * tf.nn.relu(inputs) - negative * tf.nn.relu(-inputs)


register_with_the_way_out("rprelu", RPReLU)
register_with_the_way_out("two_slope_relu", TwoSlopeReLU)
