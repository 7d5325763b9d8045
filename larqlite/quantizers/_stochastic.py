"""Signs and ternary values that are drawn in training, and rounded in inference."""

from __future__ import annotations

import tensorflow as tf

from larqlite import math
from larqlite.math import as_floating, ops_of
from larqlite.quantizers._registered import register
from larqlite.quantizers._straight_through import StraightThrough

__all__ = ["Stochastic", "StochasticSign", "StochasticTernary"]


class Stochastic(StraightThrough):
    """Base class: `forward` rounds, `drawn` takes a random number for each entry.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        seed: of the random numbers. None: that of `tf_keras.utils.set_random_seed`, or none.
        **kwargs: `metrics`, and those of a Keras layer.
    """

    codes_dtype = "int8"

    def __init__(
        self, clip_value: float | None = 1.0, seed: int | None = None, **kwargs
    ) -> None:
        super().__init__(clip_value, **kwargs)
        self.seed = seed

    def drawn(self, x: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """The values of `x`, for numbers above 0 and at most 1."""
        raise NotImplementedError

    def draw(self, x: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """`drawn(x, random)`, with the pseudo-gradient."""
        return ops_of(x).with_gradient(
            self.drawn,
            lambda x, random, dy: (self.pull_back(x, dy), 0 * random),
            x,
            random,
        )

    def call(self, inputs, training=None):
        if training is None or training is False:
            return self.quantize(inputs)
        x = as_floating(inputs, self._where())
        if not tf.is_tensor(training):
            return self.draw(x, self._random(x)) if training else self.quantize(x)
        return tf.cond(
            tf.cast(training, tf.bool),
            lambda: self.draw(x, self._random(x)),
            lambda: self.quantize(x),
        )

    def _random(self, x: tf.Tensor) -> tf.Tensor:
        dtype = tf.float32 if x.dtype.size < 4 else x.dtype
        return 1 - tf.random.uniform(tf.shape(x), dtype=dtype, seed=self.seed)

    def get_config(self) -> dict:
        return {**super().get_config(), "seed": self.seed}


@register("stochastic_sign")
class StochasticSign(Stochastic):
    r"""In training +1 with the probability of a hard sigmoid, else -1; in inference the sign.

    $$ P(q(x) = +1) = \sigma(x) = \mathrm{clip}\left(\frac{x + 1}{2}, 0, 1\right) \qquad
       \frac{\partial q}{\partial x} = \begin{cases} 1 & |x| \leq c \\ 0 & |x| > c \end{cases} $$

    so that within [-1, 1] the mean is x. In inference, and wherever a kernel is read outside
    of a training step, $q(x)$ is that of `ste_sign`. $c$ = `clip_value`. Precision: 1 bit.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        seed: of the random numbers. None: that of `tf_keras.utils.set_random_seed`, or none.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> quantizer = lq.quantizers.StochasticSign(seed=1)
        >>> drawn = quantizer(0.5 * tf.ones(1000), training=True)
        >>> 0.4 < float(tf.reduce_mean(drawn)) < 0.6
        True
        >>> quantizer(tf.constant([-0.2, 0.5])).numpy().tolist()
        [-1.0, 1.0]

    References:
        BinaryConnect, https://arxiv.org/abs/1511.00363, eq. 2 and 3.
    """

    precision = 1

    def forward(self, x):
        return math.sign(x)

    def drawn(self, x, random):
        ops = ops_of(x)
        probability = ops.clip((ops.like(x, random) + 1) / 2, 0, 1)
        return ops.like(math.sign(probability - random), x)


@register("stochastic_ternary")
class StochasticTernary(Stochastic):
    r"""In training the sign with the probability of |x|, else 0; in inference rounded.

    $$ P(q(x) = \mathrm{sign}(x)) = \min(|x|, 1), \qquad \text{else } q(x) = 0 \qquad
       \frac{\partial q}{\partial x} = \begin{cases} 1 & |x| \leq c \\ 0 & |x| > c \end{cases} $$

    so that within [-1, 1] the mean is x. In inference, and wherever a kernel is read outside
    of a training step, $q(x)$ is that of `ste_tern` with the threshold 1/2. $c$ =
    `clip_value`. Precision: 2 bits.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        seed: of the random numbers. None: that of `tf_keras.utils.set_random_seed`, or none.
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> quantizer = lq.quantizers.StochasticTernary(seed=1)
        >>> drawn = quantizer(-0.3 * tf.ones(1000), training=True)
        >>> -0.4 < float(tf.reduce_mean(drawn)) < -0.2
        True
        >>> quantizer(tf.constant([-0.2, 0.5])).numpy().tolist()
        [0.0, 1.0]

    References:
        Neural Networks with Few Multiplications, https://arxiv.org/abs/1510.03009,
        section 3 (ternary connect).
    """

    precision = 2

    def forward(self, x):
        ops = ops_of(x)
        return ops.sign(ops.sign(x + 0.5) + ops.sign(x - 0.5))

    def drawn(self, x, random):
        ops = ops_of(x)
        wide = ops.like(x, random)
        is_kept = ops.like(random <= ops.abs(wide), random)
        return ops.like(is_kept * ops.sign(wide), x)
