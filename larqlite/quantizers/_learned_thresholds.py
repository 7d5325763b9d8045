"""Quantizers with two fixed levels and a learned threshold."""

from __future__ import annotations

import tensorflow as tf

from larqlite._channels import along_channels, channels_shape
from larqlite.math import as_floating
from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._binary import ApproxSign
from larqlite.quantizers._registered import register

__all__ = ["RSign"]


@register("rsign")
class RSign(Quantizer):
    r"""Sign with a learned threshold for each channel.

    $$ q(x) = \begin{cases} -1 & x < \alpha_c \\ +1 & x \geq \alpha_c \end{cases} \qquad
       \frac{\partial q}{\partial x} = -\frac{\partial q}{\partial \alpha_c} =
       \begin{cases} 2 - 2|x - \alpha_c| & |x - \alpha_c| \leq 1 \\
       0 & |x - \alpha_c| > 1 \end{cases} $$

    The thresholds $\alpha_c$ start at 0 and are trained with the weights of the layer
    that the quantizer belongs to. Precision: 1 bit (and one threshold a channel).

    The pseudo-gradient is that of `approx_sign`, as in the authors' code; there the
    threshold is a bias of the opposite sign, and x = α gives 0 instead of +1.

    Args:
        axis: the axis of the channels; 1 for images with channels first.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: the number of channels is not known when it is built.

    Example:
        >>> rsign = lq.quantizers.RSign()
        >>> rsign.build((None, 2))
        >>> rsign.threshold.assign([0.0, 1.0]).numpy().tolist()
        [0.0, 1.0]
        >>> rsign(tf.constant([[0.5, 0.5], [-0.5, 1.0]])).numpy().tolist()
        [[1.0, -1.0], [-1.0, 1.0]]

    References:
        ReActNet, https://arxiv.org/abs/2003.03488, eq. 4.
    """

    precision = 1
    codes_dtype = "int8"

    def __init__(self, axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self._sign = ApproxSign(name="sign")

    def build(self, input_shape):
        self.threshold = self.add_weight(
            "threshold",
            channels_shape(input_shape, self.axis, self._where()),
            initializer="zeros",
        )
        super().build(input_shape)

    def call(self, inputs):
        return self.quantize(inputs)

    def quantize(self, x):
        return self._sign.quantize(self._shifted(as_floating(x, self._where())))

    def forward(self, x):
        return self._sign.forward(self._shifted(x))

    def derivative(self, x):
        return self._sign.derivative(self._shifted(x))

    def _shifted(self, x: tf.Tensor) -> tf.Tensor:
        return x - along_channels(self.threshold, x, self.axis)

    def get_config(self) -> dict:
        return {**super().get_config(), "axis": self.axis}
