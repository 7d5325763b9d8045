"""Evenly spaced levels whose distance, or whose largest level, is learned."""

from __future__ import annotations

import math
from typing import Any

from larqlite.math import ops_of
from larqlite.quantizers._learned_levels import LearnedLevels
from larqlite.quantizers._registered import register

__all__ = ["LSQ"]

# The mean magnitude of a normal variable of variance 1.
_MEAN_OF_NORMAL = math.sqrt(2 / math.pi)


@register("lsq")
class LSQ(LearnedLevels):
    r"""Learned step size quantization: k bits, and a step between levels that is trained.

    With the integers from $-Q_N$ to $Q_P$, where $Q_N = 2^{k-1}, Q_P = 2^{k-1} - 1$ if there
    are levels below zero, else $Q_N = 0, Q_P = 2^k - 1$, and $v = x / s$:

    $$ q(x) = s \, \bar{v} \qquad \bar{v} = \mathrm{round}(\mathrm{clip}(v, -Q_N, Q_P)) $$

    $$ \frac{\partial q}{\partial x} = \begin{cases} 1 & -Q_N < v < Q_P \\ 0 & \text{else}
       \end{cases} \qquad
       \frac{\partial q}{\partial s} = \begin{cases} \bar{v} - v & -Q_N < v < Q_P \\
       \bar{v} & \text{else} \end{cases} $$

    with rounding half to even. The sum of gradients of $s$ is multiplied by
    $1 / \sqrt{N Q_P}$, with N weights, or N features of one example, that have the step in
    common. $s$ is 0 until the first call in training, which sets it to
    $2 \, \mathrm{mean}|x| / \sqrt{Q_P}$ of the weights or the batch that it sees. In inference
    before that, weights are quantized with the same, and activations as if they were normally
    distributed with variance 1. Precision: k bits (and one step, or one a channel).

    Args:
        bits: k.
        mode: "weights" or "activations", which says what N is and where $s$ begins; None is
            "weights" where a layer has it for one of its weights, else "activations".
        signed: whether there are levels below zero; None for weights only.
        axis: None for one step, or the axis of the channels that have one each.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `bits` is no positive integer, or 1 with levels below zero; an unknown
            mode; the number of channels is not known when it is built.

    Example:
        >>> lsq = lq.quantizers.LSQ(2)
        >>> x = tf.constant([[0.2, 0.4, 0.6, 3.0]])
        >>> _ = lsq(x, training=True)
        >>> round(float(lsq.step), 3)  # 2 * 1.05 / sqrt(3)
        1.212
        >>> lsq.step.assign(0.5)
        >>> lsq(x).numpy().tolist()
        [[0.0, 0.5, 0.5, 1.5]]

    References:
        Learned Step Size Quantization, https://arxiv.org/abs/1902.08153, eq. 1 to 3 and 5,
        section 2.2 (scale of the gradient).
    """

    def start_of(self, x) -> list:
        ops = ops_of(x)
        return [2 * self.mean_of(ops.abs(x)) / math.sqrt(self.high)]

    def defaults(self) -> tuple[float, ...]:
        return (2 * _MEAN_OF_NORMAL / math.sqrt(self.high),)

    def slopes(self, v, whole, inside) -> list:
        return [whole - ops_of(v).where(inside, v, 0)]

    def gradient_scale(self, x) -> Any:
        return (self.count_of(x) * self.high) ** -0.5
