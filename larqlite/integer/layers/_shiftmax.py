"""Shiftmax: a softmax to the base of two whose division is a shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import DtypeError, LarqliteError
from larqlite.graph import LayerFacts
from larqlite.integer.layers._layer_classes import known
from larqlite.integer.layers._quantized_shiftmax import shiftmax_of_integers
from larqlite.integer.tensors import FixedPoint
from larqlite.primitives import floor, round_half_even

__all__ = ["Shiftmax", "shiftmax"]


class InvalidLogitsError(LarqliteError, tf.errors.InvalidArgumentError):
    """Logits that no softmax is defined for: empty, or without the axis asked for."""

    def __init__(self, message: str):
        super().__init__(None, None, message)

    def __reduce__(self):
        return type(self), (self.message,)


def shiftmax(logits, axis: int | Sequence[int] = -1):
    r"""A softmax to the base of two, its sum rounded to a power of two.

    $$ p_i = \frac{2^{\lfloor x_i \rfloor}}
       {2^{\mathrm{round}(\log_2 \sum_k 2^{\lfloor x_k \rfloor})}} $$

    The largest logit is subtracted first, which changes nothing and keeps the powers
    finite. Gradients pass floor and round as if they were not there.

    Args:
        logits: floating-point tensor, not empty; or a FixedPoint.
        axis: the axis, or a list of axes, that the sum runs over.

    Returns:
        A tensor of the same shape and dtype: powers of two (or 0), whose sum along the
        axis is between $1/\sqrt 2$ and $\sqrt 2$.

    Raises:
        InvalidArgumentError: TensorFlow's, as an InvalidLogitsError: `logits` is empty, or
            has no such axis.
        DtypeError: `logits` are integers.

    Example:
        >>> lq.integer.layers.shiftmax(tf.constant([0.0, 1.2, 3.9])).numpy().tolist()
        [0.125, 0.25, 1.0]

    References:
        Cardarilli et al. 2021, https://doi.org/10.1038/s41598-021-94691-7.
    """
    if isinstance(logits, FixedPoint):
        require_logits(logits.shape, axis)
        return shiftmax_of_integers(logits, axis)
    logits = tf.convert_to_tensor(logits)
    require_logits(logits.shape, axis)
    if not logits.dtype.is_floating:
        raise DtypeError(
            f"shiftmax: logits are {logits.dtype.name}, and the result lies between 0 and "
            "1.\n  Fix: tf.cast(logits, tf.float32), or give a FixedPoint."
        )
    powers = floor(logits)
    powers -= tf.stop_gradient(tf.reduce_max(powers, axis, keepdims=True))
    total = tf.reduce_sum(_exp2(powers), axis, keepdims=True)
    log2 = tf.math.log(total) / tf.cast(tf.math.log(2.0), total.dtype)
    return _exp2(powers - round_half_even(log2))


def require_logits(shape: tf.TensorShape, axis: int | Sequence[int]) -> None:
    """Raises unless a softmax over these axes of a tensor of this shape means something.

    Raises:
        InvalidLogitsError: the tensor is empty, or has no such axis.
    """
    if shape.rank is None:
        return
    if 0 in shape.as_list():
        raise InvalidLogitsError(
            f"shiftmax: logits of shape {tuple(shape)} are empty.\n"
            "  Fix: pass at least one number."
        )
    for one in [axis] if isinstance(axis, int) else axis:
        if not -shape.rank <= one < shape.rank:
            raise InvalidLogitsError(
                f"shiftmax: axis={axis} is beyond logits of shape {tuple(shape)}.\n"
                f"  Fix: give an axis between {-shape.rank} and {shape.rank - 1}."
            )


@known(LayerFacts(activation="other"))
@register_object()
class Shiftmax(tf_keras.layers.Layer):
    """`shiftmax` over the last axis, as a layer.

    Input and output: floating-point tensors of the same shape.

    Example:
        >>> lq.integer.layers.Shiftmax()(tf.constant([[0.0, 2.0]])).numpy().tolist()
        [[0.25, 1.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return shiftmax(inputs)

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape)


def _exp2(x: tf.Tensor) -> tf.Tensor:
    return tf.pow(tf.cast(2.0, x.dtype), x)
