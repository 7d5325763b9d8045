"""Activation functions that Keras lacks."""

from __future__ import annotations

import tensorflow as tf

from larqlite._registration import named_function

__all__ = ["hard_sigmoid6", "hard_swish", "hard_tanh", "leaky_tanh"]


@named_function
def hard_sigmoid6(x) -> tf.Tensor:
    r"""The hard sigmoid of MobileNetV3, PyTorch and Keras 3, with a slope of 1/6.

    $$ f(x) = \mathrm{relu6}(x + 3) / 6 $$

    The `"hard_sigmoid"` of `tf_keras` is another function, with a slope of 0.2.

    Args:
        x: floating-point tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:
        >>> lq.activations.hard_sigmoid6(tf.constant([-4.0, 0.0, 1.5])).numpy().tolist()
        [0.0, 0.5, 0.75]

    References:
        Howard et al., Searching for MobileNetV3, https://arxiv.org/abs/1905.02244,
        section 5.2.
    """
    return tf.nn.relu6(x + 3) / 6


@named_function
def hard_swish(x) -> tf.Tensor:
    r"""The hard swish of MobileNetV3: $ f(x) = x \, \mathrm{relu6}(x + 3) / 6 $.

    TFLite has it as one operation of integers.

    Args:
        x: floating-point tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:
        >>> lq.activations.hard_swish(tf.constant([-1.5, 0.0, 6.0])).numpy().tolist()
        [-0.375, 0.0, 6.0]

    References:
        Howard et al., Searching for MobileNetV3, https://arxiv.org/abs/1905.02244,
        section 5.2.
    """
    return x * tf.nn.relu6(x + 3) / 6


@named_function
def hard_tanh(x) -> tf.Tensor:
    """Clips to the interval [-1, 1]: $ f(x) = max(-1, min(1, x)) $.

    Args:
        x: floating-point tensor of any shape.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:
        >>> lq.activations.hard_tanh(tf.constant([-2.0, 0.25, 5.0])).numpy().tolist()
        [-1.0, 0.25, 1.0]
    """
    return tf.clip_by_value(x, -1, 1)


@named_function
def leaky_tanh(x, alpha: float = 0.2) -> tf.Tensor:
    r"""The identity on [-1, 1], and slope `alpha` outside, continuous.

    $$ f(x) = \mathrm{clip}(x, -1, 1) + \alpha (\max(x, 1) - 1) + \alpha (\min(x, -1) + 1) $$

    Args:
        x: floating-point tensor of any shape.
        alpha: slope outside of [-1, 1].

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:
        >>> lq.activations.leaky_tanh(tf.constant([-2.0, 0.5, 6.0])).numpy()
        array([-1.2,  0.5,  2. ], dtype=float32)
    """
    clipped = tf.clip_by_value(x, -1, 1)
    return clipped + alpha * (tf.maximum(x, 1) - 1) + alpha * (tf.minimum(x, -1) + 1)
