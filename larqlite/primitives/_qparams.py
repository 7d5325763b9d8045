"""The levels of a range for fake quantization, and the range of a batch, in TensorFlow.

Ranges are float32: scalars, or vectors along the last axis.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from larqlite.math import as_floating
from larqlite.primitives._granularity import other_axes
from larqlite.primitives._rounding import half_up

__all__ = [
    "Levels",
    "batch_range",
    "is_never_negative",
    "levels_of",
    "nudged",
    "ranges_of_samples",
    "step_of",
    "steps_of",
]

SMALLEST_RANGE = 1e-30


def steps_of(bits: int, narrow_range: bool) -> float:
    """The number of steps between the first and the last level of a range."""
    return 2.0**bits - 1 - narrow_range


def step_of(width, bits: int, narrow_range: bool) -> tf.Tensor:
    """The step between levels of a range that is so wide; 0 where float32 has none."""
    # A plain division graphs would turn into a product with the reciprocal.
    return tf.math.divide_no_nan(width, steps_of(bits, narrow_range))


class Nudged(NamedTuple):
    """A range that was moved by up to half a step, so that 0 is a level.

    Attributes:
        lowest, highest: its ends; no numbers where the step is 0.
        step: between levels.
        zero: how many steps 0 lies above `lowest`, a whole number.
    """

    lowest: tf.Tensor
    highest: tf.Tensor
    step: tf.Tensor
    zero: tf.Tensor


def nudged(minimum, maximum, num_bits: int, narrow_range: bool) -> Nudged:
    r"""A range, moved so that 0 is a level: with the codes $q_0$ (1 if narrow, else 0) to
    $q_1 = 2^{bits} - 1$,

    $$ s = \frac{max - min}{q_1 - q_0} \qquad
       z = \mathrm{clip}(\lfloor q_0 - min / s + 1/2 \rfloor, q_0, q_1) \qquad
       [a, b] = [(q_0 - z) s, (q_1 - z) s] $$

    Where the step is 0, or not a number that float32 holds, so are the ends.

    Args:
        minimum: float32 tensor, <= 0.
        maximum: float32 tensor, >= 0, in the same shape.
        num_bits: 2 to 16.
        narrow_range: whether the lowest code is left out.

    Example:
        >>> from larqlite.primitives import nudged
        >>> [float(x) for x in nudged(tf.constant(-1.0), tf.constant(2.1), 2, True)]
        [-1.5499999523162842, 1.5499999523162842, 1.5499999523162842, 1.0]

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
    """
    first, last = float(narrow_range), float(2**num_bits - 1)
    step = step_of(maximum - minimum, num_bits, narrow_range)
    zero = tf.clip_by_value(half_up(first - minimum / step), first, last)
    return Nudged((first - zero) * step, (last - zero) * step, step, zero - first)


class Levels(NamedTuple):
    r"""What fake quantization with a range for each channel computes with.

    $$ q(x) = \lfloor (\mathrm{clip}(x, a, b) - a) u - z + 1/2 \rfloor s $$

    Attributes:
        lowest, highest: $a$ and $b$.
        zero: $z$, a whole number.
        step: $s$.
        per_unit: $u$, the number of steps per unit. Not always $1 / s$ to the last bit.
        is_nothing: whether the range is [0, 0], whose one level is 0, with a step of 1.
    """

    lowest: tf.Tensor
    highest: tf.Tensor
    zero: tf.Tensor
    step: tf.Tensor
    per_unit: tf.Tensor
    is_nothing: tf.Tensor


def levels_of(minimum, maximum, bits: int, narrow_range: bool) -> Levels:
    """The levels of a range.

    Args:
        minimum: float32 tensor, <= 0.
        maximum: float32 tensor, >= 0, in the same shape.
        bits: 2 to 16.
        narrow_range: whether the lowest code is left out.
    """
    nothing = (minimum == 0) & (maximum == 0)
    lowest, highest, step, zero = nudged(minimum, maximum, bits, narrow_range)
    # Where the ends are no numbers, float32 has no such levels, and none of them is 0.
    zero = tf.where(tf.math.is_nan(lowest), -lowest, zero)
    lowest, highest, zero = (
        tf.where(nothing, 0.0, part) for part in (lowest, highest, zero)
    )
    per_unit = steps_of(bits, narrow_range) / (maximum - minimum)
    step, per_unit = (tf.where(nothing, 1.0, part) for part in (step, per_unit))
    return Levels(lowest, highest, zero, step, per_unit, nothing)


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
    never_negative = is_never_negative(x)
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


def is_never_negative(x) -> bool:
    """Whether a tensor of a graph comes from a ReLU, so that its minimum is 0."""
    operation = getattr(x, "op", None)  # eager tensors have none
    return operation is not None and operation.type in ("Relu", "Relu6")
