"""Quantizers with two fixed levels and a learned threshold."""

from __future__ import annotations

from larqlite._channels import along_channels, channels_shape
from larqlite.quantizers._binary import ApproxSign
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

__all__ = ["RSign"]


@register("rsign")
class RSign(WithWeights):
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

    def own_weights(self, input_shape):
        shape = channels_shape(input_shape, self.axis, self._where())
        return {"threshold": OwnWeight(shape, "zeros")}

    def levels(self, x, threshold):
        return self._sign.quantize(x - along_channels(threshold, x, self.axis))

    def derivative(self, x):
        (threshold,) = self._weights_like(x)
        return self._sign.derivative(x - along_channels(threshold, x, self.axis))

    def get_config(self) -> dict:
        return {**super().get_config(), "axis": self.axis}
