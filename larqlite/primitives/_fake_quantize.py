"""Fake quantization: rounding to the levels of a range, and the range of a batch."""

from __future__ import annotations

import tensorflow as tf

from larqlite.math import as_floating
from larqlite.primitives import _fake_quantize_gradient as _gradients
from larqlite.primitives._fake_quantize_along_axis import quantized_along_axis
from larqlite.primitives._granularity import other_axes

__all__ = ["batch_range", "fake_quant"]

SMALLEST_RANGE = 1e-30


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
    @tf.custom_gradient
    def quantized(x):
        return tf.where(x < 0, -scale, tf.where(tf.math.is_nan(x), x, scale)), _same

    return quantized(x)


def _same(dy):
    return dy


def _with_one_range(x, minimum, maximum, bits, narrow_range, bounds) -> tf.Tensor:
    arguments = {"num_bits": bits, "narrow_range": narrow_range}
    mask = _gradients.kernel
    if bounds is not None and _is_never_negative(x):
        mask = _gradients.up_to_largest

    def pull_back(dy):
        if bounds is None or _gradients.small(x):
            return mask(dy, x, minimum, maximum, arguments)
        return _gradients.if_outside(mask, dy, x, minimum, maximum, arguments, bounds)

    @tf.custom_gradient
    def quantized(x):
        rounded = tf.quantization.fake_quant_with_min_max_vars(
            x, minimum, maximum, **arguments
        )
        return rounded, _gradients.linear(pull_back)

    return quantized(x)


def batch_range(
    x,
    symmetric: bool = False,
    narrow: bool = False,
    bits: int = 8,
    per_axis: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""The range of the values of a batch, which always includes 0.

    $$ [\min(x, 0), \max(x, 0)] $$

    and if `symmetric`, with $r = -1$ if `narrow`, else $-(2^{bits} - 2) / 2^{bits}$:

    $$ [\min(\min x, \max x / r), \max(\max x, r \min x)] $$

    With one bit $[-s, s]$, $s$ the mean of $|x|$, which makes the squared error of two
    levels the least. A range of less than 1e-30, whose steps float32 has not, is [0, 0].

    Args:
        x: floating-point tensor; an empty one has the range [0, 0].
        symmetric: whether the range has 0 in its middle.
        narrow: whether the lowest code is left out.
        bits: 1 to 16.
        per_axis: whether each index of the last axis has a range of its own.

    Returns:
        Minimum and maximum, float32: scalars, or vectors along the last axis. No
        gradient passes through them.

    Example:
        >>> from larqlite.primitives import batch_range
        >>> [float(end) for end in batch_range(tf.constant([-3.0, 2.0]), symmetric=True)]
        [-3.0, 2.9765625]

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279, eq. 6 (one bit).
    """
    x = as_floating(x, "batch_range")
    never_negative = _is_never_negative(x)
    x = tf.stop_gradient(x)
    axes = other_axes(x.shape.rank) if per_axis else None
    if bits == 1:
        total = tf.reduce_sum(tf.abs(tf.cast(x, tf.float32)), axes)
        values = tf.size(x) // (tf.shape(x)[-1] if per_axis else 1)
        scale = total / tf.maximum(tf.cast(values, tf.float32), 1.0)
        return -scale, scale
    if symmetric and narrow and per_axis:
        largest = tf.cast(tf.reduce_max(tf.abs(x), axes), tf.float32)
        # Steps below the smallest float32 would make NaN of filters that died out.
        largest = tf.maximum(largest, SMALLEST_RANGE)
        return -largest, largest
    largest = tf.cast(tf.reduce_max(x, axes), tf.float32)
    if never_negative and not symmetric:
        return _with_steps(tf.zeros_like(largest), tf.maximum(largest, 0.0))
    smallest = tf.cast(tf.reduce_min(x, axes), tf.float32)
    if not symmetric:
        return _with_steps(tf.minimum(smallest, 0.0), tf.maximum(largest, 0.0))
    if narrow:
        minimum = tf.minimum(tf.minimum(smallest, -largest), 0.0)
        return _with_steps(minimum, -minimum)
    ratio = -(2**bits - 2) / 2**bits
    return _with_steps(
        tf.minimum(tf.minimum(smallest, largest / ratio), 0.0),
        tf.maximum(tf.maximum(largest, smallest * ratio), 0.0),
    )


def _with_steps(minimum, maximum) -> tuple[tf.Tensor, tf.Tensor]:
    """The ends, or [0, 0] where float32 has no steps between them, which would be NaN."""
    has_none = maximum - minimum < SMALLEST_RANGE
    zero = tf.zeros_like(maximum)
    return tf.where(has_none, zero, minimum), tf.where(has_none, zero, maximum)


def ranges_of_samples(
    x, symmetric: bool, narrow: bool, bits: int, per_axis: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """`batch_range` of each entry of the first axis by itself.

    Args:
        x: floating-point tensor, samples first; one number is one sample.
        symmetric, narrow, bits, per_axis: as for `batch_range`.

    Returns:
        Minima and maxima, float32, `(samples,)` or `(samples, channels)`.

    Example:
        >>> from larqlite.primitives import ranges_of_samples
        >>> low, high = ranges_of_samples(
        ...     tf.constant([[-3.0, 2.0], [4.0, 5.0]]), False, False, 8, False)
        >>> abs(low).numpy().tolist(), high.numpy().tolist()
        ([3.0, 0.0], [2.0, 5.0])
    """
    x = tf.reshape(x, [1]) if x.shape.rank == 0 else x
    samples = tf.shape(x)[0]
    if per_axis:
        channels = x.shape[-1]
        if x.shape.rank == 1:  # no samples: all of it is one
            rows = tf.reshape(x, [1, 1, channels])
        else:
            rows = tf.reshape(x, [samples, -1, channels])
        rows = tf.transpose(rows, [1, 0, 2])
    else:
        rows = tf.transpose(tf.reshape(x, [samples, -1]))
    shape = tf.shape(rows)[1:]
    columns = tf.reshape(rows, [tf.shape(rows)[0], tf.reduce_prod(shape)])
    low, high = batch_range(columns, symmetric, narrow, bits, per_axis=True)
    return tf.reshape(low, shape), tf.reshape(high, shape)


def _is_never_negative(x) -> bool:
    """Whether a tensor of a graph comes from a ReLU, so that its minimum is 0."""
    operation = getattr(x, "op", None)  # eager tensors have none
    return operation is not None and operation.type in ("Relu", "Relu6")
