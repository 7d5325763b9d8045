"""The transpose of a depthwise convolution: each channel is enlarged on its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.graph import FACTS, KernelAxes, LayerFacts
from larqlite.integer.layers._layer_classes import NamedWeights

__all__ = ["DepthwiseConv2DTranspose", "depthwise_transpose"]


@register_object()
class DepthwiseConv2DTranspose(NamedWeights, tf_keras.layers.DepthwiseConv2D):
    r"""A transposed convolution of each channel with kernels of its own.

    Channel $c$ of the input gives the channels $c M \ldots c M + M - 1$ of the output:
    a `Conv2DTranspose` of that one channel with `M = depth_multiplier` filters.

    Input `(batch, height, width, channels)`, output
    `(batch, new_height, new_width, channels * M)`, floating-point. "same" padding
    enlarges by the stride; "valid" by $\max(k - s, 0)$ more. The weight
    `depthwise_kernel` has the shape `(height, width, channels, M)`.

    Args:
        *args: those of `tf_keras.layers.DepthwiseConv2D`.
        **kwargs: likewise.

    Raises:
        ArgumentError: channels first, a dilation, or two different strides.

    Example:
        >>> layer = lq.integer.layers.DepthwiseConv2DTranspose(
        ...     2, strides=2, padding="same", depthwise_initializer="ones")
        >>> layer(tf.constant([[[[1.0], [2.0]]]]))[0, ..., 0].numpy().tolist()
        [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        where = f'{type(self).__name__} "{self.name}"'
        for is_wrong, what, fix in (
            (
                self.data_format != "channels_last",
                f"data_format={self.data_format!r}",
                'data_format="channels_last"',
            ),
            (
                set(self.dilation_rate) != {1},
                f"dilation_rate={self.dilation_rate}",
                "dilation_rate=1, and zeros between the kernel's elements",
            ),
            (len(set(self.strides)) > 1, f"strides={self.strides}", "equal strides"),
        ):
            if is_wrong:
                raise ArgumentError(
                    f"{where}: {what} is not supported.\n  Fix: use {fix}."
                )

    def call(self, inputs):
        outputs = depthwise_transpose(
            inputs, self.depthwise_kernel, self.strides[0], self.padding
        )
        outputs = tf.ensure_shape(outputs, self.compute_output_shape(inputs.shape))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        batch, *sizes, channels = input_shape
        sizes = [
            size and enlarged(size, kernel, self.strides[0], self.padding)
            for size, kernel in zip(sizes, self.kernel_size, strict=True)
        ]
        return tf.TensorShape((batch, *sizes, channels * self.depth_multiplier))


FACTS[DepthwiseConv2DTranspose] = LayerFacts(
    (KernelAxes("depthwise_kernel", (-2, -1), (-2,), spatial=2, is_transposed=True),)
)


def enlarged(size, kernel: int, stride: int, padding: str):
    """The length that a transposed convolution gives to a length."""
    extra = max(kernel - stride, 0) if padding.lower() == "valid" else 0
    return size * stride + extra


def depthwise_transpose(
    inputs: tf.Tensor, kernel: tf.Tensor, stride: int, padding: str
) -> tf.Tensor:
    """A transposed depthwise convolution of floating-point tensors.

    Args:
        inputs: `(batch, height, width, channels)`.
        kernel: `(kernel_height, kernel_width, channels, multiplier)`.
        stride: of both axes.
        padding: "same" or "valid".
    """
    height, width, channels, multiplier = kernel.shape
    shape = tf.shape(inputs)
    sizes = [
        enlarged(shape[axis], extent, stride, padding)
        for axis, extent in ((1, height), (2, width))
    ]
    if multiplier > 1:
        inputs = tf.repeat(inputs, multiplier, axis=-1)
        kernel = tf.reshape(kernel, (height, width, channels * multiplier, 1))
    # What a depthwise convolution hands back to its input in training is its transpose.
    return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=[shape[0], *sizes, channels * multiplier],
        filter=tf.cast(kernel, inputs.dtype),
        out_backprop=inputs,
        strides=[1, stride, stride, 1],
        padding=padding.upper(),
    )
