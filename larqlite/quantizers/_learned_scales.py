"""Signs and up to four balanced levels, times learned scales of each channel or of all."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite import math
from larqlite._channels import along_channels, channels_shape
from larqlite.errors import ArgumentError
from larqlite.math import ops_of
from larqlite.quantizers._binary import SteSign
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

# Bits of `Seq`, and how many levels that is.
_LEVELS = {1: 2, 1.58: 3, 2: 4}

__all__ = ["Seq", "XnorPlus", "per_scale", "require_axis", "scale_along", "scale_shape"]


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


def per_scale(values: np.ndarray, axis: int | None) -> np.ndarray:
    """One row of values for each entry of a scale."""
    if axis is None or values.ndim == 0:
        return values.reshape(1, -1)
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


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


@register("seq")
class Seq(WithWeights):
    r"""Levels that are balanced around zero, times a learned scale: stretched elastic.

    With $u = w / \alpha_c$ and $k$ levels, 3 for `bits=1.58` and 4 for `bits=2`

    $$ q(w) = \alpha_c \, Q(u), \qquad
       Q(u) = \frac{2 i + 1 - k}{k}, \qquad
       i = \min\left(\left\lfloor \frac{k}{2} (\mathrm{clip}(u, -1, 1) + 1) \right\rfloor,
       k - 1\right) $$

    so that the range $[-\alpha, \alpha]$ is cut into $k$ equal parts, each with its middle:
    -3/4, -1/4, 1/4 and 3/4, or -2/3, 0 and 2/3.

    $$ \frac{\partial q}{\partial w} = \begin{cases} 1 & |u| < 1 \\ 0 & |u| \geq 1 \end{cases}
       \qquad \frac{\partial q}{\partial \alpha_c} = Q(u) - \begin{cases} u & |u| < 1 \\
       0 & |u| \geq 1 \end{cases} $$

    For `bits=1`, $q(w) = \alpha_c \, \mathrm{sign}(w)$, with the same $\partial q / \partial w$
    and $\partial q / \partial \alpha_c = \mathrm{sign}(w)$.

    In a layer the scales start at the largest magnitude of their weights, for `bits=1` at the
    mean magnitude; else at 1. Precision: 1 or 2 bits (and one scale a channel).

    Args:
        bits: 1, 1.58 or 2.
        axis: the axis of the channels; -1 is that of output channels in most kernels, -2 in
            those of transposed convolutions. None: one scale of the whole tensor.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: other bits; `axis` is no whole number; the number of channels is not
            known when it is built.

    Example:
        >>> quantizer = lq.quantizers.Seq(bits=2, axis=None)
        >>> quantizer(tf.constant([-3.0, -0.1, 0.1, 0.6])).numpy().tolist()
        [-0.75, -0.25, 0.25, 0.75]

    References:
        ParetoQ, https://arxiv.org/abs/2502.02631, section 3.2 (SEQ, and the elastic
        binarization of BiT for one bit).
    """

    codes_dtype = "int8"

    def __init__(self, bits: float = 2, axis: int | None = -1, **kwargs) -> None:
        super().__init__(**kwargs)
        if bits not in _LEVELS:
            raise ArgumentError(
                f"{self._where()}: bits={bits!r}, and levels without a zero in their middle "
                "are for few of them.\n  Fix: bits=1, 1.58 (three levels) or 2."
            )
        require_axis(axis, self._where())
        self.bits = bits
        self.axis = axis

    @property
    def precision(self) -> int:
        return 1 if self.bits == 1 else 2

    def own_weights(self, input_shape):
        return {"scale": OwnWeight(scale_shape(input_shape, self.axis, self._where()))}

    def starts(self, values):
        magnitudes = per_scale(np.abs(values), self.axis)
        if not magnitudes.size:
            return {}
        found = magnitudes.mean(1) if self.bits == 1 else magnitudes.max(1)
        found = np.where(found > 0, found, 1)
        return {"scale": found if self.axis is not None and values.ndim else found[0]}

    def levels(self, x, scale):
        ops = ops_of(x)
        scale = scale_along(scale, x, self.axis)
        if self.bits == 1:
            inner = ops.divide_no_nan(x, ops.stop_gradient(scale))
        else:
            inner = ops.divide_no_nan(x, scale)
        return scale * ops.with_gradient(self._level, _pass_inside, inner)

    def derivative(self, x):
        ops = ops_of(x)
        scale = scale_along(*self._weights_like(x), x, self.axis)
        # Where the scale is 0, so are all levels.
        return (ops.abs(ops.divide_no_nan(x, scale)) < 1) & (ops.abs(scale) > 0)

    def _level(self, u: tf.Tensor) -> tf.Tensor:
        if self.bits == 1:
            return math.sign(u)
        ops, k = ops_of(u), _LEVELS[self.bits]
        number = ops.clip(ops.floor((ops.clip(u, -1, 1) + 1) * (k / 2)), 0, k - 1)
        return (2 * number + (1 - k)) / k

    def codes(self, quantized):
        if self.bits != 2:
            return tf.sign(quantized)
        (scale,) = self._weights_like(quantized)
        units = tf.math.divide_no_nan(
            quantized, scale_along(scale, quantized, self.axis)
        )
        return tf.round(4 * units)

    def get_config(self) -> dict:
        return {**super().get_config(), "bits": self.bits, "axis": self.axis}


def _pass_inside(u: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    ops = ops_of(u)
    return ops.where(ops.abs(u) < 1, dy, 0)
