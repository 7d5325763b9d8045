"""Signs whose pseudo-gradient narrows as training goes on: IR-Net's and ReCU's.

`lq.callbacks.QuantizerSchedule` sets how far training is, a weight that nothing trains, so that a
checkpoint goes on where it was.
"""

from __future__ import annotations

import math as numbers

import tensorflow as tf

from larqlite import math
from larqlite.math import ops_of
from larqlite.quantizers._channel_statistics import (
    channel_means,
    standardized,
    through_standardized,
)
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

__all__ = ["EDESign", "Libra", "ReCU"]

# A channel of fewer than 2^26 weights of deviation 1 has a mean magnitude above 2^-12.
_SMALLEST_SHIFT = -12


class _Scheduled(WithWeights):
    """Base class of signs that know how far training is, from 0 to 1."""

    precision = 1
    codes_dtype = "int8"

    def own_weights(self, input_shape):
        return {"progress": OwnWeight((), "zeros", trainable=False)}

    def levels(self, x, progress):
        return ops_of(x).with_gradient(self._values, self._pulled_back, x, progress)

    def forward(self, x):
        return self._values(x, *self._weights_like(x))

    def pull_back(self, x, dy):
        return self._pulled_back(x, *self._weights_like(x), dy)[0]

    def _values(self, x, progress):
        raise NotImplementedError

    def _pulled_back(self, x, progress, dy):
        """The gradients of `x` and of the progress, which is 0."""
        raise NotImplementedError


def _slope_of_estimator(x: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
    ops = ops_of(x)
    sharpness = ops.exp(numbers.log(10) * (2 * progress - 1))
    height = ops.relu(sharpness - 1) + 1
    return height * (1 - ops.square(ops.tanh(sharpness * x)))


@register("ede_sign")
class EDESign(_Scheduled):
    r"""Sign, with a pseudo-gradient that narrows from nearly 1 everywhere to a peak.

    The error decay estimator: with the `progress` $p$ of training from 0 to 1

    $$ q(x) = \begin{cases} -1 & x < 0 \\ +1 & x \geq 0 \end{cases} \qquad
       \frac{\partial q}{\partial x} = k \, t \, (1 - \tanh^2(t x)) $$

    $$ t = 10^{2p - 1}, \qquad k = \max(1/t, 1) $$

    the derivative of $g(x) = k \tanh(t x)$. $p$ is a weight that is not trained; it starts
    at 0, and `lq.callbacks.QuantizerSchedule` moves it. Precision: 1 bit.

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.EDESign()(tf.constant([-0.2, 0.0, 1.5])).numpy().tolist()
        [-1.0, 1.0, 1.0]

    References:
        IR-Net, https://arxiv.org/abs/1909.10788, section 3.3.
    """

    gradient_everywhere = True

    def derivative(self, x):
        return _slope_of_estimator(x, *self._weights_like(x))

    def _values(self, x, progress):
        return math.sign(x)

    def _pulled_back(self, x, progress, dy):
        no_gradient = 0 * progress
        return dy * _slope_of_estimator(x, progress), no_gradient


@register("libra")
class Libra(_Scheduled):
    r"""Signs of standardized weights times a power of two, for kernels.

    With mean $\beta$ and deviation $\sigma$ over all axes but the last (the output
    channels)

    $$ q(w) = 2^s \, \mathrm{sign}(u), \qquad u = \frac{w - \beta}{\sigma}, \qquad
       s = \mathrm{round}\left(\log_2 \frac{1}{n} \sum |u|\right) $$

    so the signs are balanced, and multiplying with the scale is a shift. A gradient $g$
    goes back through the sign by the pseudo-gradient $h$ of `ede_sign`, which narrows with
    the `progress` of training, and through mean and deviation; $s$ gets none:

    $$ \frac{\partial L}{\partial w_i} = \frac{1}{\sigma} \left(d_i - \frac{1}{n} \sum_j d_j
       - \frac{u_i}{n} \sum_j d_j u_j\right), \qquad d_i = 2^s g_i h(u_i) $$

    Precision: 1 bit (and one shift a channel). A constant channel has $u = 0$, whose sign
    is +1, $s = -12$, and gets no gradient.

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> np.unique(lq.quantizers.Libra()(tf.eye(8))).tolist()
        [-0.5, 0.5]

    References:
        IR-Net, https://arxiv.org/abs/1909.10788, section 3.2 (Libra parameter
        binarization); its code divides by n - 1 in the deviation.
    """

    gradient_everywhere = True

    def derivative(self, x):
        """$2^s h(u)$, the part of the gradient that an entry gets for itself."""
        ops = ops_of(x)
        u, _ = standardized(ops.float32(x) if ops.bytes_of(x) < 4 else x)
        (progress,) = self._weights_like(u)
        return ops.like(_power_of_two(u) * _slope_of_estimator(u, progress), x)

    def _values(self, x, progress):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # sums over many rows leave the range of 16 bits
            return ops.like(self._values(ops.float32(x), progress), x)
        u, _ = standardized(x)
        return _power_of_two(u) * math.sign(u)

    def _pulled_back(self, x, progress, dy):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:
            wide = (ops.float32(tensor) for tensor in (x, progress, dy))
            return tuple(ops.like(gradient, x) for gradient in self._pulled_back(*wide))
        u, deviation = standardized(x)
        du = dy * _power_of_two(u) * _slope_of_estimator(u, progress)
        return through_standardized(u, deviation, du), 0 * progress

    def codes(self, quantized):
        return tf.sign(quantized)


def _power_of_two(u: tf.Tensor) -> tf.Tensor:
    """The power of two next to the mean magnitude of each channel, at most 1."""
    ops = ops_of(u)
    means = channel_means(ops.abs(u))
    # Written out, since powers of other libraries are not exact.
    scale = ops.ones_like(means)
    for shift in range(0, _SMALLEST_SHIFT, -1):
        scale = ops.where(means >= 2.0 ** (shift - 0.5), scale, 2.0 ** (shift - 1))
    return ops.stop_gradient(scale)


@register("recu")
class ReCU(_Scheduled):
    r"""Signs of standardized weights, of which those far out are brought back, for kernels.

    With $u = (w - \beta) / \sigma$, mean and deviation taken over all axes but the last (the
    output channels), and the rectified clamp unit

    $$ q(w) = \mathrm{sign}(\mathrm{ReCU}(u)), \qquad
       \mathrm{ReCU}(u) = \max(\min(u, Q_\tau), Q_{1-\tau}) $$

    $Q_\tau = -Q_{1-\tau} = -b \ln(2 - 2 \tau)$ are the quantiles of a Laplace distribution whose
    scale $b$ is the mean of $|u|$ over the tensor. $\tau$ rises from 0.85 to 0.99 with the
    `progress` $p$ of training, which `lq.callbacks.QuantizerSchedule` moves:

    $$ \tau = 0.85 + 0.14 \, \frac{e^p - 1}{e - 1} $$

    A gradient $g$ passes the sign unchanged and the clamp where $|u| < Q_\tau$, and goes
    back through mean and deviation:

    $$ \frac{\partial L}{\partial w_i} = \frac{1}{\sigma} \left(d_i - \frac{1}{n} \sum_j d_j
       - \frac{u_i}{n} \sum_j d_j u_j\right), \qquad
       d_i = \begin{cases} g_i & |u_i| \leq Q_\tau \\ 0 & |u_i| > Q_\tau \end{cases} $$

    Precision: 1 bit. The scale of the paper, learned for each output channel, is that of a
    normalization behind the layer. A constant channel has $u = 0$, whose sign is +1.

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.ReCU()(tf.constant([[1.0], [2.0], [9.0]])).numpy().ravel().tolist()
        [-1.0, -1.0, 1.0]

    References:
        ReCU, https://arxiv.org/abs/2103.12369, section 3.2 (the unit and its quantiles) and
        3.3 (standardized weights and the schedule of τ); the paper's code multiplies u by
        √8.
    """

    # Those beyond the clamp still move with the mean and the deviation of their channel.
    gradient_everywhere = True

    def derivative(self, x):
        """1 within the clamp, else 0: the gradient before mean and deviation."""
        ops = ops_of(x)
        u, _ = standardized(ops.float32(x) if ops.bytes_of(x) < 4 else x)
        return ops.abs(u) <= _quantile(u, *self._weights_like(u))

    def _values(self, x, progress):
        u, _ = standardized(x)
        return math.sign(u)

    def _pulled_back(self, x, progress, dy):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # sums over many rows leave the range of 16 bits
            wide = (ops.float32(tensor) for tensor in (x, progress, dy))
            return tuple(ops.like(gradient, x) for gradient in self._pulled_back(*wide))
        u, deviation = standardized(x)
        du = ops.where(ops.abs(u) <= _quantile(u, progress), dy, 0)
        return through_standardized(u, deviation, du), 0 * progress


def _quantile(u: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
    ops = ops_of(u)
    tau = 0.85 + 0.14 * (ops.exp(progress) - 1) / (numbers.e - 1)
    return -ops.mean(ops.abs(u)) * ops.log(2 - 2 * tau)
