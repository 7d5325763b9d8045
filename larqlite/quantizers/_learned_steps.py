"""Evenly spaced levels whose distance, or whose largest level, is learned."""

from __future__ import annotations

import math
from typing import Any

from larqlite.math import ops_of
from larqlite.quantizers._learned_levels import LearnedLevels
from larqlite.quantizers._registered import register

__all__ = ["LSQ", "Uniform"]

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
        >>> _ = lsq.step.assign(0.5)
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


@register("uniform")
class Uniform(LearnedLevels):
    r"""Evenly spaced levels of k bits, whose scale is trained by the chain rule alone.

    With the integers from $-Q_N$ to $Q_P$ as in `LSQ`, and $v = x / s$:

    $$ q(x) = s \, \bar{v} \qquad \bar{v} = \mathrm{round}(\mathrm{clip}(v, -Q_N, Q_P)) $$

    $$ \frac{\partial q}{\partial x} = \begin{cases} 1 & -Q_N \leq v \leq Q_P \\
       0 & \text{else} \end{cases} \qquad
       \frac{\partial q}{\partial s} = \begin{cases} \bar{v} - v & -Q_N \leq v \leq Q_P \\
       \bar{v} & \text{else} \end{cases} $$

    Where `LSQ` begins at a step that cuts off what is large, here nothing is cut off at
    first: $s = \max|x| / Q_P$ of the weights, or the batch, of the first call in training.
    And the gradient of $s$ is a sum over all $x$, whose size grows with their number: give
    it a small learning rate, or take `LSQ`, which divides it. In inference before training,
    weights are quantized with the same scale, and activations as if the largest was 1.
    Precision: k bits (and one scale, or one a channel).

    Args:
        bits: k.
        mode: "weights" or "activations"; None is "weights" where a layer has it for one of
            its weights, else "activations".
        signed: whether there are levels below zero; None for weights only.
        axis: None for one scale, or the axis of the channels that have one each.
        learned_scale: whether the scale is trained; else it stays where it began.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `bits` is no positive integer, or 1 with levels below zero; an unknown
            mode; the number of channels is not known when it is built.

    Example:
        >>> uniform = lq.quantizers.Uniform(2, mode="weights")
        >>> uniform(tf.constant([[-0.5, 0.2, 0.4, 0.75]])).numpy().tolist()
        [[-0.75, 0.0, 0.75, 0.75]]

    References:
        Quantizing deep convolutional networks for efficient inference,
        https://arxiv.org/abs/1806.08342, section 2.2 and eq. 9; Trained Quantization
        Thresholds, https://arxiv.org/abs/1903.08066, eq. 6 and 8 (gradients).
    """

    def __init__(
        self,
        bits: int = 4,
        mode: str | None = None,
        signed: bool | None = None,
        axis: int | None = None,
        learned_scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits, mode, signed, axis, **kwargs)
        self.learned_scale = learned_scale

    def own_weights(self, input_shape):
        return {"scale": self.learned(input_shape, trainable=self.learned_scale)}

    def start_of(self, x) -> list:
        return [self.max_of(ops_of(x).abs(x)) / self.high]

    def defaults(self) -> tuple[float, ...]:
        return (1 / self.high,)

    def passes(self, v):
        return (v >= self.low) & (v <= self.high)

    def slopes(self, v, whole, inside) -> list:
        return [whole - ops_of(v).where(inside, v, 0)]

    def get_config(self) -> dict:
        return {**super().get_config(), "learned_scale": self.learned_scale}
