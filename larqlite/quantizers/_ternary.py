"""Quantizers with three levels: -1, 0 and +1, by themselves or times a mean magnitude."""

from __future__ import annotations

import tensorflow as tf

from larqlite.math import ops_of
from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._channel_statistics import channel_means
from larqlite.quantizers._registered import register
from larqlite.quantizers._straight_through import StraightThrough

__all__ = ["AbsmeanTernary", "SteTern"]

_EPSILON = 1e-5


@register("ste_tern")
class SteTern(StraightThrough):
    r"""Ternary values, with the straight-through estimator as pseudo-gradient.

    $$ q(x) =
       \begin{cases} +1 & x \geq \Delta \\ 0 & |x| < \Delta \\ -1 & x \leq -\Delta \end{cases}
       \qquad
       \frac{\partial q}{\partial x} = \begin{cases} 1 & |x| \leq c \\ 0 & |x| > c \end{cases} $$

    $\Delta$ is `threshold_value`, or $\frac{0.7}{n} \sum |x|$ over the whole tensor
    with `ternary_weight_networks=True`; it is not differentiated. $c$ =
    `clip_value`. Precision: 2 bits.

    Args:
        threshold_value: $\Delta$, >= 0.
        ternary_weight_networks: whether $\Delta$ follows the weights instead.
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.SteTern()(tf.constant([-0.2, 0.01, 0.05])).numpy().tolist()
        [-1.0, 0.0, 1.0]

    References:
        Ternary Weight Networks, https://arxiv.org/abs/1605.04711, eq. 6.
    """

    precision = 2
    codes_dtype = "int8"

    def __init__(
        self,
        threshold_value: float = 0.05,
        ternary_weight_networks: bool = False,
        clip_value: float | None = 1.0,
        **kwargs,
    ):
        super().__init__(clip_value, **kwargs)
        self.threshold_value = threshold_value
        self.ternary_weight_networks = ternary_weight_networks

    def forward(self, x):
        threshold, ops = self.threshold(x), ops_of(x)
        return ops.sign(ops.sign(x + threshold) + ops.sign(x - threshold))

    def threshold(self, x: tf.Tensor) -> tf.Tensor:
        """The magnitude from which on a value is not zero, a scalar."""
        if self.ternary_weight_networks:
            ops = ops_of(x)
            return 0.7 * ops.mean(ops.abs(x))
        return ops_of(x).like(self.threshold_value, x)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "threshold_value": self.threshold_value,
            "ternary_weight_networks": self.ternary_weight_networks,
        }


@register("absmean_ternary")
class AbsmeanTernary(Quantizer):
    r"""-1, 0 and +1 times the mean magnitude, for kernels.

    $$ q(w) = \gamma \, \mathrm{clip}\left(\mathrm{round}\left(\frac{w}{\gamma + \epsilon}
       \right), -1, 1\right) \qquad
       \frac{\partial q}{\partial w} = 1 \qquad \gamma = \frac{1}{n} \sum |w| $$

    with rounding half to even and $\epsilon = 10^{-5}$. The mean is taken over the whole
    tensor, or over each output channel; its gradient is not. Precision: 2 bits (three
    levels, and one scale of the tensor or of each channel).

    Args:
        per_channel: whether each output channel (the last axis) has a mean of its own.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> kernel = tf.constant([-0.3, 0.1, 0.8])
        >>> lq.quantizers.AbsmeanTernary()(kernel).numpy()
        array([-0.4,  0. ,  0.4], dtype=float32)

    References:
        BitNet b1.58, https://arxiv.org/abs/2402.17764, eq. 1 to 3.
    """

    precision = 2
    codes_dtype = "int8"
    gradient_everywhere = True

    def __init__(self, per_channel: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.per_channel = per_channel

    def forward(self, x):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # a sum over many rows leaves the range of 16 bits
            return ops.like(self.forward(ops.float32(x)), x)
        scale = self.scale(x)
        return scale * ops.clip(ops.round(x / (scale + _EPSILON)), -1, 1)

    def derivative(self, x):
        return ops_of(x).ones_like(x)

    def pull_back(self, x, dy):
        return dy

    def scale(self, x: tf.Tensor) -> tf.Tensor:
        r"""$\gamma$: a scalar, or `(1, ..., channels_out)`; `x` has 32 bits or more."""
        ops = ops_of(x)
        magnitudes = ops.abs(x)
        return channel_means(magnitudes) if self.per_channel else ops.mean(magnitudes)

    def codes(self, quantized):
        return tf.sign(quantized)

    def get_config(self) -> dict:
        return {**super().get_config(), "per_channel": self.per_channel}
