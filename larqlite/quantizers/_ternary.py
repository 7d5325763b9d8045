"""Quantizers with the three levels -1, 0 and +1."""

from __future__ import annotations

import tensorflow as tf

from larqlite.math import ops_of
from larqlite.quantizers._registered import register
from larqlite.quantizers._straight_through import StraightThrough

__all__ = ["SteTern"]


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
