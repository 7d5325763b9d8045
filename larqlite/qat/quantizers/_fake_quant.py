"""Fake quantization: rounding to the levels of a range, and the range of a batch."""

from __future__ import annotations

import tensorflow as tf

from larqlite.math import as_floating

__all__ = ["batch_range", "fake_quant"]


def fake_quant(
    x, minimum, maximum, bits: int = 8, narrow_range: bool = False, per_axis=False
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

    Returns:
        Tensor of the shape and dtype of `x`.

    Raises:
        DtypeError: `x` is not floating-point.

    Example:
        >>> from larqlite.qat.quantizers._fake_quant import fake_quant
        >>> fake_quant(tf.constant([-2.0, 0.3, 0.9]), -1.0, 1.0, 2, True).numpy().tolist()
        [-1.0, 0.0, 1.0]

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
        Bengio et al. 2013, https://arxiv.org/abs/1308.3432 (straight-through gradient).
        XNOR-Net, https://arxiv.org/abs/1603.05279 (one bit).
    """
    x = as_floating(x, "fake_quant")
    values = tf.cast(x, tf.float32)
    if bits == 1:
        quantized = _two_levels(values, maximum)
    elif per_axis:
        quantized = _along_last_axis(values, minimum, maximum, bits, narrow_range)
    else:
        quantized = _with_one_range(values, minimum, maximum, bits, narrow_range)
    return tf.cast(quantized, x.dtype)


def _two_levels(x, scale) -> tf.Tensor:
    @tf.custom_gradient
    def quantized(x):
        return tf.where(x >= 0, scale, -scale), lambda dy: dy

    return quantized(x)


def _with_one_range(x, minimum, maximum, bits, narrow_range) -> tf.Tensor:
    arguments = {"num_bits": bits, "narrow_range": narrow_range}

    @tf.custom_gradient
    def quantized(x):
        def pull_back(dy):
            return tf.quantization.fake_quant_with_min_max_vars_gradient(
                dy, x, minimum, maximum, **arguments
            )[0]

        return (
            tf.quantization.fake_quant_with_min_max_vars(
                x, minimum, maximum, **arguments
            ),
            _linear(pull_back),
        )

    return quantized(x)


def _along_last_axis(x, minimum, maximum, bits, narrow_range) -> tf.Tensor:
    arguments = {"num_bits": bits, "narrow_range": narrow_range}

    @tf.custom_gradient
    def quantized(x):
        def pull_back(dy):
            op = tf.quantization.fake_quant_with_min_max_vars_per_channel_gradient
            return op(dy, x, minimum, maximum, **arguments)[0]

        return (
            tf.quantization.fake_quant_with_min_max_vars_per_channel(
                x, minimum, maximum, **arguments
            ),
            _linear(pull_back),
        )

    # The operation knows ranks 1, 2 and 4; the gradient of a reshape is a reshape.
    if x.shape.rank in (1, 2, 4):
        return quantized(x)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.reshape(quantized(rows), tf.shape(x))


def _linear(function):
    """`function`, which is linear in its argument and its own transpose, as its gradient.

    TensorFlow has no gradient of the gradient operations of fake quantization.
    """

    @tf.custom_gradient
    def differentiable(dy):
        return function(dy), differentiable

    return differentiable


def batch_range(
    x, symmetric: bool = False, narrow: bool = False, bits: int = 8, per_axis=False
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""The range of the values of a batch, which always includes 0.

    $$ [\min(x, 0), \max(x, 0)] $$

    and if `symmetric`, with $r = -1$ if `narrow`, else $-(2^{bits} - 2) / 2^{bits}$:

    $$ [\min(\min x, \max x / r), \max(\max x, r \min x)] $$

    With one bit $[-s, s]$, $s$ the mean of $|x|$, which makes the squared error of two
    levels the least.

    Args:
        x: floating-point tensor.
        symmetric: whether the range has 0 in its middle.
        narrow: whether the lowest code is left out.
        bits: 1 to 16.
        per_axis: whether each index of the last axis has a range of its own.

    Returns:
        Minimum and maximum, float32: scalars, or vectors along the last axis. No
        gradient passes through them.

    Example:
        >>> from larqlite.qat.quantizers._fake_quant import batch_range
        >>> [float(end) for end in batch_range(tf.constant([-3.0, 2.0]), symmetric=True)]
        [-3.0, 2.9765625]

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279, eq. 6 (one bit).
    """
    x = tf.stop_gradient(as_floating(x, "batch_range"))
    axes = list(range(x.shape.rank - 1)) if per_axis else None
    if bits == 1:
        scale = tf.reduce_mean(tf.abs(tf.cast(x, tf.float32)), axes)
        return -scale, scale
    smallest = tf.cast(tf.reduce_min(x, axes), tf.float32)
    largest = tf.cast(tf.reduce_max(x, axes), tf.float32)
    if not symmetric:
        return tf.minimum(smallest, 0.0), tf.maximum(largest, 0.0)
    if narrow:
        minimum = tf.minimum(smallest, -largest)
        return minimum, -minimum
    ratio = -(2**bits - 2) / 2**bits
    return (
        tf.minimum(smallest, largest / ratio),
        tf.maximum(largest, smallest * ratio),
    )
