"""Fake quantization: rounding to the levels of a range, still as floats."""

from __future__ import annotations

import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.math import as_floating
from larqlite.primitives import _fake_quantize_gradient as _gradients
from larqlite.primitives._fake_quantize_along_axis import quantized_along_axis
from larqlite.primitives._qparams import is_never_negative

__all__ = ["fake_quant"]


def fake_quant(
    x,
    minimum,
    maximum,
    bits: int = 8,
    narrow_range: bool = False,
    per_axis: bool = False,
    *,
    bounds=None,
) -> tf.Tensor:
    r"""Rounds `x` to the levels of a range; gradients pass inside of it.

    With $q_0 = 1$ if `narrow_range`, else 0, and $q_1 = 2^{bits} - 1$:

    $$ s = \frac{max - min}{q_1 - q_0} \qquad
       z = \mathrm{clip}(\lfloor q_0 - min / s \rceil, q_0, q_1) \qquad
       [a, b] = [(q_0 - z) s, (q_1 - z) s] $$

    $$ q(x) = \lfloor (\mathrm{clip}(x, a, b) - a) / s + 1/2 \rfloor s + a \qquad
       \frac{\partial q}{\partial x} = [a \leq x \leq b] $$

    so that 0 is a level. One bit has the two levels $-max$ and $+max$ ($x \geq 0$), and
    $\partial q / \partial x = 1$. If min = max = 0, q(x) = 0 and the gradient passes.

    Args:
        x: floating-point tensor of any rank. The rounding is done in float32.
        minimum: float32 scalar <= 0, or a vector along the last axis of `x`.
        maximum: the same, >= 0.
        bits: 1 to 16.
        narrow_range: whether the lowest code is left out; not used with one bit.
        per_axis: whether the ranges are vectors.
        bounds: smallest and largest value that `x` may have, in the shape of `minimum`,
            if they are known: then there are faster ways to the same result. By default
            the operations are those that TFLite's converter recognises.

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        DtypeError: `x` is not floating-point.

    Example:
        >>> from larqlite.primitives import fake_quant
        >>> fake_quant(tf.constant([-2.0, 0.3, 0.9]), -1.0, 1.0, 2, True).numpy().tolist()
        [-1.0, 0.0, 1.0]

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
        Bengio et al. 2013, https://arxiv.org/abs/1308.3432 (straight-through gradient).
        XNOR-Net, https://arxiv.org/abs/1603.05279 (one bit).
    """
    x = as_floating(x, "fake_quant")
    values = tf.cast(x, tf.float32)
    minimum, maximum = (tf.convert_to_tensor(v, tf.float32) for v in (minimum, maximum))
    if bits == 1:
        quantized = _two_levels(values, maximum)
    elif per_axis and bounds is not None and x.shape[-1] == 1:
        ends = (tf.reshape(v, ()) for v in (minimum, maximum))
        quantized = _with_one_range(values, *ends, bits, narrow_range, None)
    elif per_axis:
        quantized = quantized_along_axis(
            values, minimum, maximum, bits, narrow_range, bounds is None
        )
    else:
        quantized = _with_one_range(
            values, minimum, maximum, bits, narrow_range, bounds
        )
    return tf.cast(quantized, x.dtype)


def _two_levels(x, scale) -> tf.Tensor:
    @custom_gradient
    def quantized(x):
        return tf.where(x < 0, -scale, tf.where(tf.math.is_nan(x), x, scale)), _same

    return quantized(x)


def _same(dy):
    return dy


def _with_one_range(x, minimum, maximum, bits, narrow_range, bounds) -> tf.Tensor:
    arguments = {"num_bits": bits, "narrow_range": narrow_range}
    mask = _gradients.kernel
    if bounds is not None and is_never_negative(x):
        mask = _gradients.up_to_largest

    def pull_back(dy):
        if bounds is None or _gradients.small(x):
            return mask(dy, x, minimum, maximum, arguments)
        return _gradients.if_outside(mask, dy, x, minimum, maximum, arguments, bounds)

    @custom_gradient
    def quantized(x):
        rounded = tf.quantization.fake_quant_with_min_max_vars(
            x, minimum, maximum, **arguments
        )
        return rounded, _gradients.linear(pull_back)

    return quantized(x)
