"""Signs times a learned scale, one of each channel or one of all."""

from __future__ import annotations

import tensorflow as tf

from larqlite._channels import along_channels, channels_shape
from larqlite.errors import ArgumentError
from larqlite.math import ops_of
from larqlite.quantizers._binary import SteSign
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

__all__ = ["XnorPlus"]


def scale_shape(input_shape, axis: int | None, where: str) -> tuple[int, ...]:
    """Of a scale of the whole tensor (None), or of each channel along an axis."""
    return () if axis is None else channels_shape(input_shape, axis, where)


def scale_along(scale: tf.Tensor, x: tf.Tensor, axis: int | None) -> tf.Tensor:
    """A scale of that shape, to be combined with `x`."""
    return scale if axis is None else along_channels(scale, x, axis)


def require_axis(axis: int | None, where: str) -> None:
    """Raises if the axis of a learned scale is neither None nor a whole number.

    Raises:
        ArgumentError: saying which scales a quantizer can have.
    """
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
        raise ArgumentError(
            f"{where}: axis={axis!r} is neither an axis nor None. A scale that differs "
            "between the rows and columns of what comes out (the rank-1 forms of "
            "XNOR-Net++) is none of a kernel, whose values are the same everywhere.\n"
            "  Fix: axis=-1 for one scale of each output channel, axis=None for one of all."
        )


@register("xnor_plus")
class XnorPlus(WithWeights):
    r"""Sign times a learned scale, of each output channel or of the whole tensor.

    $$ q(x) = \alpha_c \, \mathrm{sign}(x) \qquad
       \frac{\partial q}{\partial x} = \begin{cases} \alpha_c & |x| \leq c \\ 0 & |x| > c
       \end{cases} \qquad
       \frac{\partial q}{\partial \alpha_c} = \mathrm{sign}(x) $$

    with $c$ = `clip_value`. The scales start at 1 and are trained with the weights of the
    layer that the quantizer belongs to. Precision: 1 bit (and one scale a channel).

    Behind a convolution $\alpha_c$ is the paper's first form of $\Gamma$, one factor for
    each output channel. Its other forms also have factors for rows and columns of the
    output, which no kernel can hold.

    Args:
        axis: the axis of the channels; -1 is that of output channels in most kernels, -2 in
            those of transposed convolutions. None: one scale of the whole tensor, as a
            quantizer of inputs needs it.
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `axis` is no whole number; the number of channels is not known when
            it is built.

    Example:
        >>> quantizer = lq.quantizers.XnorPlus()
        >>> quantizer.build((None, 2))
        >>> quantizer.set_weights([np.float32([0.5, 2])])
        >>> quantizer(tf.constant([[-0.1, -0.1], [0.0, 3.0]])).numpy().tolist()
        [[-0.5, -2.0], [0.5, 2.0]]

    References:
        XNOR-Net++, https://arxiv.org/abs/1909.13863, section 3.2, case 1.
    """

    precision = 1
    codes_dtype = "int8"

    def __init__(
        self, axis: int | None = -1, clip_value: float | None = 1.0, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        require_axis(axis, self._where())
        self.axis = axis
        self.clip_value = clip_value
        self._sign = SteSign(clip_value, name="sign")

    @property
    def gradient_everywhere(self) -> bool:
        """Whether no bound keeps gradients back."""
        return self.clip_value is None

    def own_weights(self, input_shape):
        return {"scale": OwnWeight(scale_shape(input_shape, self.axis, self._where()))}

    def levels(self, x, scale):
        return scale_along(scale, x, self.axis) * self._sign.quantize(x)

    def derivative(self, x):
        (scale,) = self._weights_like(x)
        passed = ops_of(x).like(self._sign.derivative(x), x)
        return scale_along(scale, x, self.axis) * passed

    def codes(self, quantized):
        return tf.sign(quantized)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "axis": self.axis,
            "clip_value": self.clip_value,
        }
