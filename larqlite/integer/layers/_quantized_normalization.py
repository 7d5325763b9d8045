"""Integer normalization layers: by stored statistics, and by the mean magnitude."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import ALIGNED, OUTPUT, QuantizerSlot
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._mad_normalization import LayerMadNormalization
from larqlite.integer.layers._weight_quantizer import WeightQuantizer
from larqlite.integer.tensors import FixedPoint, QFloat
from larqlite.integer.tensors.internal import (
    as_tensor,
    folded,
    limited,
    reduce_sum,
    truncate,
)

__all__ = ["QuantizedBatchNormalization", "QuantizedLayerNormalization"]

EIGHT_BITS = QuantizerSlot(WeightQuantizer, defaults={"bitwidth": 8})
SCALE_BITS = 8


@quantizes(tf_keras.layers.BatchNormalization)
class QuantizedBatchNormalization(QuantizedLayer, tf_keras.layers.BatchNormalization):
    r"""A batch normalization over the last axis, on quantized inputs.

    $$ y = a x + b, \qquad a = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}, \qquad
       b = \beta - a \mu $$

    $a$ is quantized with one scale for all channels, $b$ aligned on $a x$. The stored
    statistics $\mu$ and $\sigma^2$ are used in training too, and stay as they are.

    Its weights are those of the Keras layer: `gamma`, `beta`, `moving_mean`,
    `moving_variance`.

    Input: FixedPoint or QFloat `(batch, ..., channels)`. Output: QFloat of that shape;
    FixedPoint with an output quantizer.

    Args:
        quant_config: dictionary with `a_quantizer` (8 bits), the arguments of a
            WeightQuantizer; `b_quantizer`, those of an AlignedWeightQuantizer;
            `output_quantizer`, those of an OutputQuantizer; and `buffer_bitwidth` (32).
        axis: the axis of the channels, the last one.
        epsilon: $\epsilon$.
        **kwargs: those of the Keras layer.

    Raises:
        ArgumentError: an axis that is not the last.

    Example:
        >>> layer = lq.integer.layers.QuantizedBatchNormalization(epsilon=0.0)
        >>> x = lq.integer.tensors.FixedPoint([[[3, -4]]], value_bits=7, frac_bits=1)
        >>> layer(x).to_float().numpy().tolist()
        [[[1.5, -2.0]]]

    References:
        https://arxiv.org/abs/1502.03167, algorithm 2.
    """

    quantizer_slots = {
        "a_quantizer": EIGHT_BITS,
        "b_quantizer": ALIGNED,
        "output_quantizer": OUTPUT,
    }
    # A scale and an offset are stored, made of all four.
    slots_of_weights = {
        "gamma": "a_quantizer",
        "moving_variance": "a_quantizer",
        "beta": "b_quantizer",
        "moving_mean": "b_quantizer",
    }
    buffer_cap = 53

    def __init__(
        self, quant_config: dict | None = None, axis=-1, epsilon: float = 1e-3, **kwargs
    ):
        super().__init__(
            axis=axis, epsilon=epsilon, quant_config=quant_config, **kwargs
        )

    def build(self, input_shape):
        """Creates the weights."""
        require_last_axis(self.axis, input_shape, self.where)
        super().build(input_shape)

    def compute(self, inputs):
        """The normalized inputs in the buffer."""
        x = self.in_buffer(inputs)
        weights = (self.moving_variance, self.moving_mean, self.gamma, self.beta)
        variance, mean, gamma, beta = (
            None if weight is None else as_tensor(weight) for weight in weights
        )
        with folded(variance, mean):
            a = tf.math.rsqrt(variance + self.epsilon)
            if gamma is not None:
                a *= gamma
            b = -a * mean
            if beta is not None:
                b += beta
        y = x * self.a_quantizer(a)
        return y + self.b_quantizer(b, y)


@quantizes(LayerMadNormalization)
class QuantizedLayerNormalization(QuantizedLayer, LayerMadNormalization):
    r"""A layer normalization by the mean magnitude, on quantized inputs.

    $$ y = x \cdot p + \beta, \qquad
       p = \mathrm{trunc}\left( \frac{\gamma \cdot C \cdot 2^s}{\sum_c |x_c|} \right) $$

    over the last axis, of $C$ channels. $\gamma$ is quantized with one scale for all
    channels; $s$ is the number of bits that $\gamma C$ leaves free in the buffer, less
    those of the scale that an output quantizer multiplies with. $|x p|$ is at most
    $\gamma C 2^s$, so nothing saturates. Where all of $x$ is 0, $y = \beta$.

    Input: FixedPoint `(batch, ..., channels)`; per-axis, it is aligned first. Output:
    QFloat of that shape; FixedPoint with an output quantizer.

    Args:
        quant_config: dictionary with `gamma_quantizer` (8 bits), the arguments of a
            WeightQuantizer; `beta_quantizer`, those of an AlignedWeightQuantizer;
            `output_quantizer`, those of an OutputQuantizer; and `buffer_bitwidth` (32).
        **kwargs: those of a Keras LayerNormalization.

    Raises:
        ArgumentError: another axis than the last.

    Example:
        >>> layer = lq.integer.layers.QuantizedLayerNormalization()
        >>> x = lq.integer.tensors.FixedPoint([[1, -3], [0, 0]], value_bits=7, frac_bits=1)
        >>> layer(x).to_float().numpy().round(3).tolist()
        [[0.5, -1.5], [0.0, 0.0]]
    """

    quantizer_slots = {
        "gamma_quantizer": EIGHT_BITS,
        "beta_quantizer": ALIGNED,
        "output_quantizer": OUTPUT,
    }
    slots_of_weights = {"gamma": "gamma_quantizer", "beta": "beta_quantizer"}
    buffer_cap = 53
    accepts = (FixedPoint,)

    def __init__(self, *args, quant_config: dict | None = None, **kwargs):
        super().__init__(*args, quant_config=quant_config, **kwargs)

    def compute(self, inputs):
        """The normalized inputs in the buffer."""
        x = self.in_buffer(inputs)
        channels = x.shape[-1]
        gamma = tf.ones(channels) if self.gamma is None else self.gamma
        gamma = self.gamma_quantizer(gamma)
        gamma_fp = getattr(gamma, "fp", gamma)
        largest = gamma_fp.limit * channels
        shift = self._free_bits(largest)
        largest <<= shift

        total = reduce_sum(abs(x), -1, keepdims=True)
        divisor = tf.cast(tf.maximum(total.values, 1), tf.float64)
        dividend = tf.cast(gamma_fp.values, tf.float64) * float(channels << shift)
        factor = truncate(dividend / divisor)

        values = tf.cast(x.values, tf.float64) * factor
        frac_bits = gamma_fp.frac_bits + shift
        if x.limit * channels < 2**self.buffer_bits:
            y = FixedPoint(values, self.buffer_bits, frac_bits, limit=largest)
        else:
            # The sum may have saturated, which makes the factor too large.
            y = limited(x, values, self.buffer_bits, frac_bits, x.limit * largest)
        if isinstance(gamma, QFloat):
            y = QFloat(y, gamma.scales)
        return y if self.beta is None else y + self.beta_quantizer(self.beta, y)

    def _free_bits(self, largest: int) -> int:
        settings = self.quant_config.get("output_quantizer", {})
        scale_bits = settings.get("scale_bits", SCALE_BITS)
        return max(0, self.buffer_bits - scale_bits - largest.bit_length())


def require_last_axis(axis, input_shape, where: str) -> None:
    """Raises unless `axis`, a number or a list of one, is the last of the input.

    Raises:
        ArgumentError: it is not.
    """
    rank = len(input_shape)
    axes = [axis] if isinstance(axis, int) else list(axis)
    if [a % rank for a in axes] != [rank - 1]:
        raise ArgumentError(
            f"{where}: axis={axis} of an input of shape {tuple(input_shape)}; only the "
            "last axis is supported.\n"
            "  Fix: axis=-1, with a Permute before it where channels are elsewhere."
        )
