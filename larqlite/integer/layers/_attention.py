"""Dot-product attention, and the functions that may be its softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError, near_matches
from larqlite.integer.layers._layer_classes import known
from larqlite.integer.layers._shiftmax import shiftmax
from larqlite.models.internal import Call, Product, dot_product_attention

__all__ = ["Attention", "string_to_softmax"]

_SOFTMAX = {"softmax": tf.nn.softmax, "shiftmax": shiftmax}


def string_to_softmax(s: str) -> Callable:
    """The softmax function of a name.

    Args:
        s: "softmax", or "shiftmax" for `shiftmax`.

    Returns:
        A function `(logits, axis=-1)` from tensor to tensor.

    Raises:
        ArgumentError: another name.

    Example:
        >>> lq.integer.layers.string_to_softmax("softmax")([0.0, 0.0]).numpy().tolist()
        [0.5, 0.5]
    """
    if s not in _SOFTMAX:
        raise ArgumentError(
            f"string_to_softmax: unknown softmax {s!r}.{near_matches(str(s), _SOFTMAX)}\n"
            '  Fix: give "softmax" or "shiftmax".'
        )
    return _SOFTMAX[s]


def _products(call: Call) -> Iterator[Product]:
    query, key, value = call.inputs
    return dot_product_attention(query, key, value, *call.outputs[1:2])


@known(formula=_products)
@register_object("IntegerAttention")
class Attention(tf_keras.layers.Layer):
    r"""Dot-product attention with several heads and a softmax of choice.

    For each head of `dim = hidden / num_heads` channels:

    $$ M = \mathrm{softmax}(Q K^T / \sqrt{dim}), \qquad Y = M V $$

    Args:
        num_heads: number of heads; divides `hidden`.
        softmax: "softmax" or "shiftmax".
        **kwargs: those of a Keras layer.

    Inputs `(query, key, value)`, floating-point tensors `(batch, tokens, hidden)`.
    Returns `(output, mask)`: output `(batch, tokens, hidden)`, mask
    `(batch, num_heads, tokens of query, tokens of key)`.

    Raises:
        ArgumentError: an unknown softmax, other than three inputs of rank 3, or
            `num_heads` does not divide `hidden`.

    Example:
        >>> tokens = tf.ones((1, 2, 4))
        >>> output, mask = lq.integer.layers.Attention(num_heads=2)((tokens,) * 3)
        >>> output.shape, mask[0, 0].numpy().tolist()
        (TensorShape([1, 2, 4]), [[0.5, 0.5], [0.5, 0.5]])

    References:
        https://arxiv.org/abs/1706.03762, section 3.2.
    """

    def __init__(self, num_heads: int, softmax: str = "softmax", **kwargs):
        super().__init__(**kwargs)
        if not isinstance(num_heads, int) or num_heads < 1:
            raise ArgumentError(
                f'Attention "{self.name}": num_heads={num_heads!r} is no positive '
                "integer.\n  Fix: give a number of heads such as 4."
            )
        self.num_heads = num_heads
        self.softmax = softmax
        self.softmax_op = string_to_softmax(softmax)

    def build(self, input_shape):
        self.dim = dim_of_heads(input_shape, self.num_heads, f'Attention "{self.name}"')
        super().build(input_shape)

    def call(self, inputs):
        query, key, value = (split_heads(x, self.num_heads) for x in inputs)
        scores = tf.matmul(query, key, transpose_b=True) / self.dim**0.5
        mask = self.softmax_op(scores, axis=-1)
        return merge_heads(tf.matmul(mask, value)), mask

    def get_config(self) -> dict:
        own = {"num_heads": self.num_heads, "softmax": self.softmax}
        return {**super().get_config(), **own}


def dim_of_heads(shapes, num_heads: int, where: str) -> int:
    """The channels of each head.

    Raises:
        ArgumentError: the shapes are not those of a query, a key and a value.
    """
    shapes = [tuple(tf.TensorShape(shape)) for shape in shapes]
    if len(shapes) != 3 or any(len(shape) != 3 for shape in shapes):
        raise ArgumentError(
            f"{where}: inputs of shapes {shapes}.\n"
            "  Fix: call it with (query, key, value), each (batch, tokens, hidden)."
        )
    hidden = {shape[-1] for shape in shapes}
    if len(hidden) > 1 or None in hidden or next(iter(hidden)) % num_heads:
        raise ArgumentError(
            f"{where}: num_heads={num_heads} heads cannot share inputs of shapes "
            f"{shapes}.\n  Fix: give all three the same number of channels, a multiple "
            f"of {num_heads}."
        )
    return hidden.pop() // num_heads


def split_heads(x, num_heads: int):
    """`(batch, tokens, hidden)` -> `(batch, num_heads, tokens, dim)`."""
    shape = tf.shape(x)
    dim = x.shape[-1] // num_heads
    x = tf.reshape(x, (shape[0], shape[1], num_heads, dim))
    return tf.transpose(x, (0, 2, 1, 3))


def merge_heads(x):
    """`(batch, num_heads, tokens, dim)` -> `(batch, tokens, hidden)`."""
    hidden = x.shape[1] * x.shape[3]
    x = tf.transpose(x, (0, 2, 1, 3))
    shape = tf.shape(x)
    return tf.reshape(x, (shape[0], shape[1], hidden))
