"""Three levels of which two are learned: trained ternary quantization."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite.math import ops_of
from larqlite.quantizers._learned_scales import (
    per_scale,
    require_axis,
    scale_along,
    scale_shape,
)
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

__all__ = ["TTQ"]


@register("ttq")
class TTQ(WithWeights):
    r"""Zero, and one learned level on either side of it.

    $$ q(w) = \begin{cases} +W_p & w > \Delta \\ 0 & |w| \leq \Delta \\ -W_n & w < -\Delta
       \end{cases} \qquad \Delta = t \, \max |w| $$

    $$ \frac{\partial q}{\partial w} = \begin{cases} W_p & w > \Delta \\ 1 & |w| \leq \Delta \\
       W_n & w < -\Delta \end{cases} \qquad
       \frac{\partial q}{\partial W_p} = \begin{cases} 1 & w > \Delta \\ 0 & \text{else}
       \end{cases} \qquad
       \frac{\partial q}{\partial W_n} = \begin{cases} -1 & w < -\Delta \\ 0 & \text{else}
       \end{cases} $$

    The maximum is that of the whole tensor, and $t$ = `threshold`. In a layer $W_p$ and $W_n$
    start at the mean magnitude of the weights that they stand for; else at 1. Precision: 2
    bits (three levels, and two scales).

    Args:
        threshold: $t$, which part of the largest magnitude is still zero.
        axis: None: two scales of the whole tensor, as in the paper; -1: two of each output
            channel (-2 in kernels of transposed convolutions).
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `threshold` is not in [0, 1); `axis` is no whole number; the number of
            channels is not known when it is built.

    Example:
        >>> quantizer = lq.quantizers.TTQ()
        >>> quantizer.build((4,))
        >>> quantizer.set_weights([np.float32(0.5), np.float32(2)])
        >>> quantizer(tf.constant([-3.0, -0.1, 0.1, 0.6])).numpy().tolist()
        [-2.0, 0.0, 0.0, 0.5]

    References:
        Trained Ternary Quantization, https://arxiv.org/abs/1612.01064, eq. 6 to 9.
    """

    precision = 2
    codes_dtype = "int8"

    def __init__(
        self, threshold: float = 0.05, axis: int | None = None, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= threshold < 1:
            raise ArgumentError(
                f"{self._where()}: threshold={threshold!r} is no part of the largest "
                "magnitude.\n  Fix: a number from 0 to below 1, e.g. 0.05."
            )
        require_axis(axis, self._where())
        self.threshold = threshold
        self.axis = axis

    def own_weights(self, input_shape):
        shape = scale_shape(input_shape, self.axis, self._where())
        return {"positive": OwnWeight(shape), "negative": OwnWeight(shape)}

    def starts(self, values):
        rows = per_scale(values, self.axis)
        bound = self.threshold * np.abs(values).max(initial=0)
        found = {}
        for name, side in (("positive", rows), ("negative", -rows)):
            counts = (side > bound).sum(1)
            sums = np.where(side > bound, side, 0).sum(1)
            means = np.where(counts > 0, sums / np.maximum(counts, 1), 1)
            is_one = self.axis is None or not values.ndim
            found[name] = means[0] if is_one else means
        return found

    def levels(self, x, positive, negative):
        ops = ops_of(x)
        positive, negative = self._along(x, positive, negative)
        above, below = self._sides(x)
        # A NaN is on no side.
        values = positive * above - negative * below + 0 * ops.stop_gradient(x)
        slope = ops.stop_gradient(self._slope(x, positive, negative))
        return ops.with_gradient(
            lambda values, x, slope: ops.identity(values),
            lambda values, x, slope, dy: (dy, dy * slope, 0 * slope),
            *(values, x, slope),
        )

    def derivative(self, x):
        return self._slope(x, *self._along(x, *self._weights_like(x)))

    def _along(self, x, *scales):
        return (scale_along(scale, x, self.axis) for scale in scales)

    def _sides(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        ops = ops_of(x)
        bound = self.threshold * ops.max(ops.abs(x))
        sides = (ops.like(side, x) for side in (x > bound, x < -bound))
        return tuple(ops.stop_gradient(side) for side in sides)

    def _slope(self, x, positive, negative):
        above, below = self._sides(x)
        return positive * above + negative * below + (1 - above - below)

    def codes(self, quantized):
        return tf.sign(quantized)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "axis": self.axis,
        }
