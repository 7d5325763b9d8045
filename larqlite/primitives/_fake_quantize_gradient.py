"""The gradient of fake quantization: it passes between the ends of the range."""

from __future__ import annotations

import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.primitives._qparams import nudged

__all__ = [
    "kernel",
    "if_outside",
    "linear",
    "small",
    "up_to_largest",
]

# Elements of one example, from which on a branch costs less than what it may save.
WORTH_A_BRANCH = 2048


def linear(function):
    """`function`, linear in its argument and its own transpose, with its gradient.

    TensorFlow has no gradient of the gradient operations of fake quantization.
    """

    @custom_gradient
    def differentiable(dy):
        return function(dy), differentiable

    return differentiable


def small(x) -> bool:
    """Whether branches are not worth it for `x`."""
    elements = x.shape[1:].num_elements() if x.shape.rank else 1
    return elements is not None and elements < WORTH_A_BRANCH


def kernel(dy, x, minimum, maximum, arguments) -> tf.Tensor:
    """`dy` inside of the range by TensorFlow's operation."""
    return tf.quantization.fake_quant_with_min_max_vars_gradient(
        dy, x, minimum, maximum, **arguments
    )[0]


def up_to_largest(dy, x, minimum, maximum, arguments) -> tf.Tensor:
    """The same for `x` >= 0, which cannot be below a range that holds 0, in two passes."""
    highest = nudged(minimum, maximum, **arguments).highest
    # ReluGrad, dy where its second argument is positive, is one pass.
    distance = tf.math.nextafter(highest, float("inf")) - x
    return tf.raw_ops.ReluGrad(gradients=dy, features=distance)


def if_outside(mask, dy, x, minimum, maximum, arguments, bounds) -> tf.Tensor:
    """The same by `mask`, or `dy` without a look at `x` where no value can be outside.

    `kernel` goes through its inputs three times, as it sums what is outside too.
    """
    lowest, highest, *_ = nudged(minimum, maximum, **arguments)
    return tf.cond(
        (lowest <= bounds[0]) & (bounds[1] <= highest),
        lambda: tf.identity(dy),
        lambda: mask(dy, x, minimum, maximum, arguments),
    )
