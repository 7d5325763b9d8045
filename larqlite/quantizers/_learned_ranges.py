"""Evenly spaced levels between learned ends: a clip (PACT), or a step and an offset (LSQ+)."""

from __future__ import annotations

import math
from typing import Any

from larqlite.errors import ArgumentError
from larqlite.math import ops_of
from larqlite.quantizers._learned_levels import LearnedLevels
from larqlite.quantizers._registered import register

__all__ = ["LSQPlus", "PACT"]

# Parts of the range of the first batch, among which LSQ+ begins: of its ends below and above.
_BELOW = (1.0, 0.7, 0.4)
_ABOVE = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)


@register("pact")
class PACT(LearnedLevels):
    r"""Activations cut off at a learned level, between which and 0 there are k bits.

    With $n = 2^k - 1$ and $s = \alpha / n$:

    $$ q(x) = s \, \mathrm{round}\left(\mathrm{clip}\left(\frac{x}{s}, 0, n\right)\right)
       \qquad
       \frac{\partial q}{\partial x} = \begin{cases} 1 & 0 < x < \alpha \\ 0 & \text{else}
       \end{cases} \qquad
       \frac{\partial q}{\partial \alpha} = \begin{cases} 1 & x \geq \alpha \\
       0 & \text{else} \end{cases} $$

    With levels below zero (for weights) the clip is from $-\alpha$ to $\alpha$,
    $n = 2^{k-1} - 1$, and the gradient of $\alpha$ is -1 for $x \leq -\alpha$. Precision:
    k bits (and one clip, or one a channel).

    The paper begins with a large $\alpha$ and adds its square to the loss, times the
    coefficient of the weights' decay: `l2`.

    Args:
        bits: k.
        mode: "weights" or "activations"; None is "weights" where a layer has it for one of
            its weights, else "activations".
        signed: whether there are levels below zero; None for weights only.
        axis: None for one clip, or the axis of the channels that have one each.
        alpha: where the clip begins; None is 6 for activations, and for weights the largest
            magnitude of those in the first call in training.
        l2: $\lambda$ of the loss $\lambda \alpha^2$.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `bits` is no positive integer, or 1 with levels below zero; an unknown
            mode; `alpha` is not above 0; the number of channels is not known when it is
            built.

    Example:
        >>> pact = lq.quantizers.PACT(2, alpha=3.0)
        >>> pact(tf.constant([[-1.0, 0.6, 1.7, 9.0]])).numpy().tolist()
        [[0.0, 1.0, 2.0, 3.0]]

    References:
        PACT, https://arxiv.org/abs/1805.06085, eq. 1 to 3.
    """

    def __init__(
        self,
        bits: int = 4,
        mode: str | None = None,
        signed: bool | None = None,
        axis: int | None = None,
        alpha: float | None = None,
        l2: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(bits, mode, signed, axis, **kwargs)
        if alpha is not None and not 0 < alpha < math.inf:
            raise ArgumentError(
                f"{self._where()}: alpha={alpha!r} is no level above zero.\n"
                "  Fix: e.g. alpha=6.0, or leave it out."
            )
        self.alpha_at_first, self.l2 = alpha, l2

    @property
    def low(self) -> int:
        return -self.high if self.is_signed else 0

    def own_weights(self, input_shape):
        start = self._first or "zeros"
        return {"alpha": self.learned(input_shape, start, l2=self.l2)}

    @property
    def _first(self) -> float | None:
        if self.alpha_at_first is None and not self.of_weights:
            return 6.0
        return self.alpha_at_first

    def start_of(self, x) -> list:
        largest = self.max_of(ops_of(x).abs(x))
        return [largest if self._first is None else 0 * largest + self._first]

    def defaults(self) -> tuple[float, ...]:
        return (self._first or 1.0,)

    def step_and_offset(self, *learned) -> tuple:
        return (learned[0] / self.high,)

    def slopes(self, v, whole, inside) -> list:
        return [(whole - ops_of(v).where(inside, whole, 0)) / self.high]

    def get_config(self) -> dict:
        own = {"alpha": self.alpha_at_first, "l2": self.l2}
        return {**super().get_config(), **own}


@register("lsq_plus")
class LSQPlus(LearnedLevels):
    r"""LSQ with a learned offset for activations, and other beginnings.

    With the integers from $-Q_N$ to $Q_P$ as in `LSQ`, and $v = (x - \beta) / s$:

    $$ q(x) = s \, \bar{v} + \beta \qquad
       \bar{v} = \mathrm{round}(\mathrm{clip}(v, -Q_N, Q_P)) $$

    $$ \frac{\partial q}{\partial x} = \begin{cases} 1 \\ 0 \end{cases} \quad
       \frac{\partial q}{\partial s} = \begin{cases} \bar{v} - v \\ \bar{v} \end{cases} \quad
       \frac{\partial q}{\partial \beta} = \begin{cases} 0 & -Q_N < v < Q_P \\
       1 & \text{else} \end{cases} $$

    Sums of gradients of $s$ and $\beta$ are multiplied by $1 / \sqrt{N Q_P}$ as in `LSQ`.
    Weights have no $\beta$. The first call in training sets where both begin: for weights
    $s = \max(|\mu - 3 \sigma|, |\mu + 3 \sigma|) / 2^{k-1}$ with their mean and standard
    deviation; for activations such that the squared error of the batch is least, among
    parts of its range. In inference before that, weights are quantized with the same, and
    activations as if they were normally distributed with variance 1. Precision: k bits (and
    one step and one offset, or one each a channel).

    Args:
        bits: k.
        mode: "weights" or "activations"; None is "weights" where a layer has it for one of
            its weights, else "activations".
        signed: whether there are integers below zero; None for weights only, since the
            offset moves levels of activations below zero.
        axis: None for one step, or the axis of the channels that have one each.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `bits` is no positive integer, or 1 with levels below zero; an unknown
            mode; the number of channels is not known when it is built.

    Example:
        >>> plus = lq.quantizers.LSQPlus(2)
        >>> _ = plus(tf.constant([[-0.3, 0.0, 0.1, 1.2]]), training=True)
        >>> plus.set_weights([np.float32(0.5), np.float32(-0.25)])
        >>> plus(tf.constant([[-9.0, 0.1, 0.6, 9.0]])).numpy().tolist()
        [[-0.25, 0.25, 0.75, 1.25]]

    References:
        LSQ+, https://arxiv.org/abs/2004.09576, eq. 3 to 7 (arithmetic and gradients), 8
        (weights), 10 (activations).
    """

    def own_weights(self, input_shape):
        names = ("step",) if self.of_weights else ("step", "offset")
        return {name: self.learned(input_shape) for name in names}

    def start_of(self, x) -> list:
        if self.of_weights:
            return [self._start_of_weights(x)]
        return self._start_of_activations(x)

    def _start_of_weights(self, x):
        ops = ops_of(x)
        mean = self.mean_of(x)
        square = self.mean_of(ops.square(x - ops.like(mean, x)))
        # The larger of |mean - 3 deviations| and |mean + 3 deviations|.
        return (ops.abs(mean) + 3 * ops.sqrt(square)) / 2 ** (self.bits - 1)

    def _start_of_activations(self, x) -> list:
        ops = ops_of(x)
        x = ops.float32(x) if ops.bytes_of(x) < 4 else x
        most, least = self.max_of(x), -self.max_of(-x)
        best = None
        for below in _BELOW:
            for above in _ABOVE:
                step = (above * most - below * least) / (self.high - self.low)
                offset = below * least - self.low * step
                # An empty range has levels all the same, and so has one that is turned.
                width = ops.relu(step) + ops.like(step <= 0, step)
                v = ops.round(ops.clip((x - offset) / width, self.low, self.high))
                error = self.mean_of(ops.square(v * step + offset - x))
                if best is None:
                    best = step, offset, error
                is_better = ops.like((error < best[2]) & (step > 0), error)
                now = (step, offset, error)
                best = [
                    is_better * new + (1 - is_better) * old
                    for new, old in zip(now, best, strict=True)
                ]
        return [best[0], best[1]]

    def defaults(self) -> tuple[float, ...]:
        if self.of_weights:
            return (3 / 2 ** (self.bits - 1),)
        # Six standard deviations, with a level at 0.
        step = 6 / (self.high - self.low)
        return step, -(self.low + 2 ** (self.bits - 1)) * step

    def slopes(self, v, whole, inside) -> list:
        ops = ops_of(v)
        slopes = [whole - ops.where(inside, v, 0)]
        if not self.of_weights:
            slopes.append(1 - ops.like(inside, v))
        return slopes

    def gradient_scale(self, x) -> Any:
        return (self.count_of(x) * self.high) ** -0.5
