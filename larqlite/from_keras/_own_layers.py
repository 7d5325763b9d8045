"""Layers, and a quantizer, that Keras 3 has and tf_keras does not; known as `larqlite>Name`."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.graph import LayerFacts, add_layer_facts
from larqlite.quantizers import Quantizer

EPSILON = 1e-7  # what Keras 3 adds to the largest magnitude


@register_object(bare=False)
class RMSNormalization(tf_keras.layers.Layer):
    """x / sqrt(mean(x**2) + epsilon) * scale, as `RMSNormalization` of Keras 3.

    Args:
        axis: the axes over which the mean is taken, which `scale` has.
        epsilon: keeps the root from 0.
    """

    def __init__(self, axis: int | Sequence[int] = -1, epsilon: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.axis = [axis] if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        self._rank = len(input_shape)
        shape = [input_shape[axis] for axis in self.axis]
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones")
        super().build(input_shape)

    def call(self, inputs):
        axes = [axis % self._rank for axis in self.axis]
        dims = [n if i in axes else 1 for i, n in enumerate(inputs.shape)]
        scale = tf.cast(tf.reshape(self.scale, dims), inputs.dtype)
        square = tf.reduce_mean(tf.square(inputs), axis=self.axis, keepdims=True)
        return inputs * tf.math.rsqrt(square + self.epsilon) * scale

    def get_config(self):
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


@register_object(bare=False)
class LayerScale(tf_keras.layers.Layer):
    """x * gamma, one factor for each channel, as in ConvNeXt.

    Args:
        init_values: what the factors begin with.
        projection_dim: the number of channels.

    References:
        Going deeper with Image Transformers, https://arxiv.org/abs/2103.17239
    """

    def __init__(self, init_values: float, projection_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.init_values = init_values
        self.projection_dim = projection_dim

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=(self.projection_dim,),
            initializer=tf_keras.initializers.Constant(self.init_values),
        )
        super().build(input_shape)

    def call(self, inputs):
        return inputs * self.gamma

    def get_config(self):
        own = {"init_values": self.init_values, "projection_dim": self.projection_dim}
        return {**super().get_config(), **own}


@register_object(bare=False)
class ScaledSum(tf_keras.layers.Layer):
    """a + scale * b of two inputs [a, b], as in Inception-ResNet.

    Args:
        scale: the factor of the second.
    """

    def __init__(self, scale: float, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return inputs[0] + inputs[1] * self.scale

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@register_object(bare=False)
class SpectralNormalization(tf_keras.layers.SpectralNormalization):
    """tf_keras' layer, which needs `tf.keras` to be tf_keras while it is built; this does not."""

    def build(self, input_shape):
        tf_keras.layers.Wrapper.build(self, input_shape)
        name = "kernel" if hasattr(self.layer, "kernel") else "embeddings"
        self.kernel = getattr(self.layer, name)
        self.kernel_shape = self.kernel.shape.as_list()
        self.vector_u = self.add_weight(
            shape=(1, self.kernel_shape[-1]),
            initializer=tf_keras.initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
            dtype=self.kernel.dtype,
        )


@register_object(bare=False)
class Discretization(tf_keras.layers.Discretization):
    """tf_keras' layer, whose indices have 32 bits, as those of Keras 3."""

    def call(self, inputs):
        outputs = super().call(inputs)
        return tf.cast(outputs, tf.int32) if self.output_mode == "int" else outputs


@register_object(bare=False)
class Masked(tf_keras.layers.Layer):
    """Gives out the first of two inputs, [x, mask], with the second as its mask."""

    def call(self, inputs):
        return tf.identity(inputs[0])

    def compute_mask(self, inputs, mask=None):
        return inputs[1]


@register_object(bare=False)
class Unmasked(tf_keras.layers.Layer):
    """Gives out its input without a mask."""

    def call(self, inputs):
        return tf.identity(inputs)


@register_object(bare=False)
class AbsMaxLevels(Quantizer):
    r"""Rounds to whole steps, of which $h = 2^{bits-1} - 1$ reach the largest magnitude.

    $$ q(x) = \mathrm{round}(s x) / s, \qquad s = h / (\max |x| + 10^{-7}) $$

    with the maximum along one axis, for each input anew. The gradient passes unchanged.

    Args:
        bits: 8 or 4.
        axis: along which the largest magnitude is looked for: -1 for the input of a dense
            layer, each row by itself; 0 for its kernel, each output channel by itself.
    """

    def __init__(self, bits: int = 8, axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.bits = bits
        self.axis = axis
        self.precision = bits

    def forward(self, x):
        highest = 2 ** (self.bits - 1) - 1
        largest = tf.reduce_max(tf.abs(x), axis=self.axis, keepdims=True)
        scale = tf.cast(highest, x.dtype) / (largest + tf.cast(EPSILON, x.dtype))
        return tf.clip_by_value(tf.round(x * scale), -highest - 1, highest) / scale

    def derivative(self, x):
        return tf.ones_like(x, tf.bool)

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "axis": self.axis}


for _cls in (
    *(RMSNormalization, LayerScale, ScaledSum, SpectralNormalization, Masked),
    AbsMaxLevels,
):
    add_layer_facts(_cls, LayerFacts())
add_layer_facts(Discretization, LayerFacts(is_monotone=True))
add_layer_facts(Unmasked, LayerFacts(values="reshaped", is_monotone=True))
