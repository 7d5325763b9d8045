"""Weight regularizers for latent weights."""

from __future__ import annotations

import math
import numbers

import tensorflow as tf
import tf_keras

from larqlite._registration import register_bare_name, register_object
from larqlite._two_kerases import OfTfKeras
from larqlite.errors import ArgumentError, require_tf_keras

__all__ = ["Kurtosis"]


@register_object()
class Kurtosis(OfTfKeras, tf_keras.regularizers.Regularizer):
    r"""Keeps weights evenly spread, as levels of any quantizer are.

    $$ \lambda \left(\mathrm{Kurt}[w] - k\right)^2, \qquad
       \mathrm{Kurt}[w] = \frac{1}{n} \sum \left(\frac{w - \mu}{\sigma}\right)^4 $$

    with mean $\mu$ and deviation $\sigma$ of all $n$ values, $\lambda$ = `factor` and $k$ =
    `target`. A uniform distribution has a kurtosis of 1.8, a normal one 3, values of -1 and +1
    alone 1. It sees the latent weights; `kernel_regularizer="kurtosis"` has the defaults. Of a
    constant tensor, whose deviation is 0, the kurtosis counts as 0 and passes no gradient.

    Args:
        factor: $\lambda$ >= 0. The paper's loss has the mean over the layers, so $1 / L$
            for $L$ layers.
        target: $k$ >= 1, which no kurtosis is below.

    Raises:
        ArgumentError: `factor` or `target` is no such number.

    Example:
        >>> kurtosis = lq.regularizers.Kurtosis(factor=0.5)
        >>> round(float(kurtosis(tf.linspace(-1.0, 1.0, 10_001))), 6)
        0.0
        >>> round(float(kurtosis(tf.constant([-1.0, 1.0]))), 6)  # 0.5 * (1 - 1.8)^2
        0.32

    References:
        Robust Quantization: One Model to Rule Them All, https://arxiv.org/abs/2002.07686,
        section 4 (KURE).
    """

    def __init__(self, factor: float = 1.0, target: float = 1.8):
        for name, value, least in (("factor", factor, 0), ("target", target, 1)):
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not is_number or not least <= value < math.inf:
                raise ArgumentError(
                    f"Kurtosis: {name}={value!r} is no number of at least {least}.\n"
                    "  Fix: e.g. factor=1.0 and target=1.8, that of a uniform distribution."
                )
        self.factor = factor
        self.target = target

    def __call__(self, x) -> tf.Tensor:
        require_tf_keras(x, "Kurtosis")
        x = tf.convert_to_tensor(x)
        wide = tf.cast(x, tf.float32) if x.dtype.size < 4 else x
        squares = tf.square(wide - tf.reduce_mean(wide))
        variance = tf.reduce_mean(squares)
        is_constant = variance <= 0
        safe = tf.where(is_constant, tf.ones_like(variance), variance)
        found = tf.reduce_mean(tf.square(squares / safe))
        return tf.cast(self.factor * tf.square(found - self.target), x.dtype)

    def get_config(self) -> dict:
        return {"factor": self.factor, "target": self.target}


# What `kernel_regularizer="kurtosis"` means in Keras.
register_bare_name("kurtosis", Kurtosis())
