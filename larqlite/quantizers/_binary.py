"""Quantizers with two levels: signs and step functions, and their pseudo-gradients."""

from __future__ import annotations

import tensorflow as tf

from larqlite import math
from larqlite.math import ops_of
from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._channel_statistics import channel_axes, channel_means
from larqlite.quantizers._registered import register
from larqlite.quantizers._straight_through import StraightThrough

__all__ = [
    "ApproxSign",
    "MagnitudeAwareSign",
    "SteHeaviside",
    "SteSign",
    "SwishSign",
    "XnorScale",
]


@register("ste_sign")
class SteSign(StraightThrough):
    r"""Sign, with the straight-through estimator as pseudo-gradient.

    $$ q(x) = \begin{cases} -1 & x < 0 \\ +1 & x \geq 0 \end{cases} \qquad
       \frac{\partial q}{\partial x} = \begin{cases} 1 & |x| \leq c \\ 0 & |x| > c \end{cases} $$

    with $c$ = `clip_value`. Precision: 1 bit.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.SteSign()(tf.constant([-0.2, 0.0, 1.5])).numpy().tolist()
        [-1.0, 1.0, 1.0]

    References:
        Binarized Neural Networks, https://arxiv.org/abs/1602.02830, eq. 1 and 4.
    """

    precision = 1
    codes_dtype = "int8"

    def forward(self, x):
        return math.sign(x)


@register("approx_sign")
class ApproxSign(Quantizer):
    r"""Sign, with the derivative of a piecewise quadratic as pseudo-gradient.

    $$ q(x) = \begin{cases} -1 & x < 0 \\ +1 & x \geq 0 \end{cases} \qquad
       \frac{\partial q}{\partial x} =
       \begin{cases} 2 - 2|x| & |x| \leq 1 \\ 0 & |x| > 1 \end{cases} $$

    Precision: 1 bit.

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.ApproxSign()(tf.constant([-0.2, 0.0, 1.5])).numpy().tolist()
        [-1.0, 1.0, 1.0]

    References:
        Bi-Real Net, https://arxiv.org/abs/1808.00278, section 3.2.
    """

    precision = 1
    codes_dtype = "int8"

    def forward(self, x):
        return math.sign(x)

    def derivative(self, x):
        ops = ops_of(x)
        return ops.relu(2 - ops.abs(x + x))


@register("ste_heaviside")
class SteHeaviside(StraightThrough):
    r"""Step function, with the straight-through estimator as pseudo-gradient.

    $$ q(x) = \begin{cases} 1 & x > 0 \\ 0 & x \leq 0 \end{cases} \qquad
       \frac{\partial q}{\partial x} = \begin{cases} 1 & |x| \leq c \\ 0 & |x| > c \end{cases} $$

    with $c$ = `clip_value`. Precision: 1 bit.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.SteHeaviside()(tf.constant([-0.2, 0.0, 1.5])).numpy().tolist()
        [0.0, 0.0, 1.0]

    References:
        Binarized Neural Networks, https://arxiv.org/abs/1602.02830 (the estimator).
    """

    precision = 1
    codes_dtype = "int8"

    def forward(self, x):
        return math.heaviside(x)


@register("swish_sign")
class SwishSign(Quantizer):
    r"""Sign, with the SignSwish derivative as pseudo-gradient.

    $$ q(x) = \begin{cases} -1 & x < 0 \\ +1 & x \geq 0 \end{cases} \qquad
       \frac{\partial q}{\partial x} =
       \frac{\beta \left(2 - \beta x \tanh \frac{\beta x}{2}\right)}{1 + \cosh \beta x} $$

    The pseudo-gradient peaks with $\beta$ at 0 and is 0 at infinity.
    Precision: 1 bit.

    Args:
        beta: $\beta$; larger values come closer to the derivative of the sign.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> lq.quantizers.SwishSign()(tf.constant([-0.2, 0.0, 1.5])).numpy().tolist()
        [-1.0, 1.0, 1.0]

    References:
        BNN+, https://arxiv.org/abs/1812.11800, eq. 6.
    """

    precision = 1
    codes_dtype = "int8"

    def __init__(self, beta: float = 5.0, **kwargs):
        super().__init__(**kwargs)
        self.beta = beta

    def forward(self, x):
        return math.sign(x)

    def derivative(self, x):
        # With a = |beta x| and e = exp(-a): tanh(a/2) = (1-e)/(1+e) and
        # 1/(1+cosh a) = 2e/(1+e)^2; no term overflows, no difference cancels.
        ops = ops_of(x)
        a = ops.abs(self.beta * x)
        e = ops.exp(-a)
        r = ops.reciprocal(1 + e)
        slope = 2 - a * (1 - e) * r
        return ops.multiply_no_nan(2 * self.beta * slope, e * r * r)

    def get_config(self) -> dict:
        return {**super().get_config(), "beta": self.beta}


@register("magnitude_aware_sign")
class MagnitudeAwareSign(StraightThrough):
    r"""Sign times the mean magnitude of each output channel, for kernels.

    $$ q(x) = \alpha \cdot \mathrm{sign}(x) \qquad
       \frac{\partial q}{\partial x} = \begin{cases} \alpha & |x| \leq c \\ 0 & |x| > c \end{cases}
       \qquad \alpha = \frac{1}{n} \sum |x| $$

    The mean is taken over all axes but the last (the output channels), its
    gradient is not. $c$ = `clip_value`. Precision: 1 bit (and one scale a channel).

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> kernel = tf.constant([[1.0, -0.5], [-3.0, 0.5]])
        >>> lq.quantizers.MagnitudeAwareSign()(kernel).numpy().tolist()
        [[2.0, -0.5], [-2.0, 0.5]]

    References:
        Bi-Real Net, https://arxiv.org/abs/1808.00278, section 3.3.
    """

    precision = 1
    codes_dtype = "int8"

    def forward(self, x):
        return math.sign(x) * self.scale(x)

    def derivative(self, x):
        return ops_of(x).like(super().derivative(x), x) * self.scale(x)

    def pull_back(self, x, dy):
        return super().pull_back(x, dy) * self.scale(x)

    def scale(self, x: tf.Tensor) -> tf.Tensor:
        """The mean magnitude of each output channel, shape `(..., 1, channels_out)`.

        A vector has one scale.
        """
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # a sum over many rows leaves the range of 16 bits
            return ops.like(self.scale(ops.float32(x)), x)
        return ops.stop_gradient(channel_means(ops.abs(x)))

    def codes(self, quantized):
        return tf.sign(quantized)


@register("xnor_scale")
class XnorScale(MagnitudeAwareSign):
    r"""Sign times the mean magnitude of each output channel, as XNOR-Net trains it.

    $$ q(x) = \alpha \cdot \mathrm{sign}(x) \qquad
       \frac{\partial q}{\partial x} = \frac{1}{n} + \begin{cases} \alpha & |x| \leq c \\
       0 & |x| > c \end{cases} \qquad \alpha = \frac{1}{n} \sum |x| $$

    The values are those of `magnitude_aware_sign`; the gradient has the part that an entry
    has in the mean, $\frac{1}{n}$, as the paper writes it. $c$ = `clip_value`. Precision:
    1 bit (and one scale a channel).

    Args:
        clip_value: bound of |x| up to which gradients pass the sign; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> kernel = tf.constant([[1.0, -0.5], [-3.0, 0.5]])
        >>> lq.quantizers.XnorScale()(kernel).numpy().tolist()
        [[2.0, -0.5], [-2.0, 0.5]]

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279, eq. 6 and section 3.1 (training).
    """

    gradient_everywhere = True

    def derivative(self, x):
        return super().derivative(x) + self._share(x)

    def pull_back(self, x, dy):
        return super().pull_back(x, dy) + self._share(x) * dy

    def _share(self, x: tf.Tensor) -> tf.Tensor:
        """1 / n, of the entries of a channel."""
        ops = ops_of(x)
        ones = ops.ones_like(ops.float32(x))
        return ops.like(ops.reciprocal(ops.sum(ones, channel_axes(x))), x)
