"""AdaBin: two levels whose centre and distance follow the weights, or are learned."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from larqlite import math
from larqlite.math import ops_of
from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._binary import ApproxSign
from larqlite.quantizers._channel_statistics import channel_axes, mean_and_deviation
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

__all__ = ["AdaBinActivations", "AdaBinWeights"]


@register("adabin_weights")
class AdaBinWeights(Quantizer):
    r"""Two levels for each output channel, one standard deviation around its mean.

    $$ q(w) = \begin{cases} \beta - \alpha & w < \beta \\ \beta + \alpha & w \geq \beta
       \end{cases} \qquad \beta = \frac{1}{n} \sum w \qquad
       \alpha = \frac{\lVert w - \beta \rVert_2}{\sqrt n} $$

    over all axes but the last (the output channels); a vector is one channel. With
    $u = (w - \beta) / \alpha$ and the pseudo-gradient of the sign

    $$ h(u) = k \, t \, (1 - \tanh^2(t u)), \qquad t = \tfrac{1}{10}, \; k = 10 $$

    a gradient $g$ goes back through the sign and, as in the authors' code, through
    mean and deviation:

    $$ \frac{\partial L}{\partial w_i} = g_i h(u_i)
       + \frac{u_i}{n} \sum_j g_j \left(\mathrm{sign}(u_j) - h(u_j) u_j\right)
       + \frac{1}{n} \sum_j g_j \left(1 - h(u_j)\right) $$

    Precision: 1 bit (and two values a channel). A constant channel has
    $\alpha = 0$, stays as it is and passes its gradient.

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> kernel = tf.constant([[1.0, 4.0], [3.0, 4.0], [1.0, 8.0], [3.0, 8.0]])
        >>> lq.quantizers.AdaBinWeights()(kernel * 2).numpy().tolist()
        [[2.0, 8.0], [6.0, 8.0], [2.0, 16.0], [6.0, 16.0]]

    References:
        AdaBin, https://arxiv.org/abs/2208.08084, section 3.2; the pseudo-gradient is
        that of IR-Net, https://arxiv.org/abs/1909.10788, at the k and t of AdaBin's code.
    """

    precision = 1
    codes_dtype = "int8"
    gradient_everywhere = True

    def forward(self, x):
        center, distance = self.center_and_distance(x)
        return distance * math.sign(x - center) + center

    def derivative(self, x):
        """h(u), the part of the gradient that an entry gets for itself."""
        center, distance = self.center_and_distance(x)
        return _slope(ops_of(x).divide_no_nan(x - center, distance))

    def pull_back(self, x, dy):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # sums over many rows leave the range of 16 bits
            wide = self.pull_back(ops.float32(x), ops.float32(dy))
            return ops.like(wide, dy)
        center, distance = self.center_and_distance(x)
        u = ops.divide_no_nan(x - center, distance)
        slope, axes = _slope(u), channel_axes(x)
        of_distance = ops.mean(dy * (math.sign(x - center) - slope * u), axes)
        of_center = ops.mean(dy * (1 - slope), axes)
        return dy * slope + u * of_distance + of_center

    def center_and_distance(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        r"""$\beta$ and $\alpha$, each `(1, ..., channels_out)` in the dtype of `x`."""
        return mean_and_deviation(x)

    def codes(self, quantized):
        axes = channel_axes(quantized)
        low = tf.reduce_min(quantized, axes, keepdims=True)
        high = tf.reduce_max(quantized, axes, keepdims=True)
        return math.sign(quantized - (low + high) / 2)


@register("adabin_activations")
class AdaBinActivations(WithWeights):
    r"""Two levels with a learned centre and a learned distance from it.

    $$ q(x) = \alpha \, \mathrm{sign}(u) + \beta, \qquad u = \frac{x - \beta}{\alpha} $$

    so the levels are $\beta - \alpha$ and $\beta + \alpha$. With the pseudo-gradient
    of `approx_sign`, $h(u) = \max(2 - 2|u|, 0)$:

    $$ \frac{\partial q}{\partial x} = h(u) \qquad
       \frac{\partial q}{\partial \alpha} = \mathrm{sign}(u) - u \, h(u) \qquad
       \frac{\partial q}{\partial \beta} = 1 - h(u) $$

    $\alpha$ starts at 1 and $\beta$ at 0; both are numbers, one of each for a layer, and
    are trained with the layer's weights. Precision: 1 bit.

    This is the set of the paper. Its code computes $\alpha (\mathrm{sign}(u) + \beta)$,
    whose centre is $\alpha \beta$, and gives $\beta$ at x = β.

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> levels = lq.quantizers.AdaBinActivations()
        >>> levels.build((None, 4))
        >>> levels.set_weights([np.float32(0.5), np.float32(1.0)])
        >>> levels(tf.constant([-3.0, 0.9, 1.0, 3.0])).numpy().tolist()
        [0.5, 0.5, 1.5, 1.5]

    References:
        AdaBin, https://arxiv.org/abs/2208.08084, section 3.3.
    """

    precision = 1
    codes_dtype = "int8"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sign = ApproxSign(name="sign")

    def own_weights(self, input_shape):
        return {"alpha": OwnWeight((), "ones"), "beta": OwnWeight((), "zeros")}

    def levels(self, x, alpha, beta):
        return alpha * self._sign.quantize(_standardized(x, alpha, beta)) + beta

    def derivative(self, x):
        return self._sign.derivative(_standardized(x, *self._weights_like(x)))

    def codes(self, quantized):
        weights = self._weights_like(quantized)
        return math.sign(_standardized(quantized, *weights))


def _standardized(x: tf.Tensor, alpha: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    return ops_of(x).divide_no_nan(x - beta, alpha)


def _slope(u: tf.Tensor) -> tf.Tensor:
    ops = ops_of(u)
    return 1 - ops.square(ops.tanh(u / 10))
