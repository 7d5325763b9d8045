"""Rounding functions of binarized networks, as plain tensor functions, and the operations
that quantizers are written in."""

from __future__ import annotations

import tensorflow as tf

from larqlite._ops import TENSORFLOW, ops_of
from larqlite.errors import DtypeError

__all__ = ["heaviside", "ops_of", "sign"]


def as_floating(x, where: str) -> tf.Tensor:
    """`x` as a floating-point tensor, or a DtypeError that says who asked.

    Args:
        x: tensor, variable, array or number.
        where: the function or layer that received it, for the message.
    """
    if ops_of(x) is not TENSORFLOW:
        return x  # Keras 3 has seen to it
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise DtypeError(
            f"{where}: got a tensor of dtype {x.dtype.name} and shape {x.shape}, "
            "but quantization starts from floating-point values.\n"
            '  Fix: cast it first, e.g. tf.cast(x, "float32").'
        )
    return x


def sign(x) -> tf.Tensor:
    r"""The sign of `x`, never zero.

    $$ q(x) = \begin{cases} -1 & x < 0 \\ +1 & x \geq 0 \end{cases} $$

    Args:
        x: floating-point tensor of any shape. NaN stays NaN; -0.0 gives +1.

    Returns:
        Tensor of the shape and dtype of `x`, values -1 or +1.

    Raises:
        DtypeError: `x` is not floating-point.

    Example:
        >>> lq.math.sign(tf.constant([-0.5, 0.0, 2.0])).numpy().tolist()
        [-1.0, 1.0, 1.0]
    """
    x = as_floating(x, "lq.math.sign")
    # This form, rather than a select, keeps NaN, and converters for mobile
    # engines recognise it as a binarization.
    ops = ops_of(x)
    return ops.sign(ops.sign(x) + 0.1)


def heaviside(x) -> tf.Tensor:
    r"""One for positive values, zero for the rest.

    $$ q(x) = \begin{cases} 1 & x > 0 \\ 0 & x \leq 0 \end{cases} $$

    Args:
        x: floating-point tensor of any shape. NaN stays NaN.

    Returns:
        Tensor of the shape and dtype of `x`, values 0 or 1.

    Raises:
        DtypeError: `x` is not floating-point.

    Example:
        >>> lq.math.heaviside(tf.constant([-0.5, 0.0, 2.0])).numpy().tolist()
        [0.0, 0.0, 1.0]
    """
    x = as_floating(x, "lq.math.heaviside")
    ops = ops_of(x)
    return ops.sign(ops.relu(x))
