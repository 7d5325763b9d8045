"""Padding with a value other than zero: `pad_values` of the convolution layers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.layers._base import QuantLayer

__all__ = ["PaddedConv", "as_2d", "same_padding"]


def _is_finite_number(value) -> bool:
    number = np.asarray(value)
    return number.ndim == 0 and number.dtype.kind in "iuf" and bool(np.isfinite(number))


class PaddedConv(QuantLayer):
    """A convolution whose "same" padding is filled with `pad_values`.

    Zeros are not binary: with `pad_values=1.0` or `-1.0` the padded input of a
    binary convolution stays binary. The input is quantized first, then padded.
    """

    def __init__(self, *args, pad_values=0.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if not tf.is_tensor(pad_values) and not _is_finite_number(pad_values):
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}": pad_values={pad_values!r} is no '
                "number.\n  Fix: pad_values=1.0 or -1.0, which stay binary, or leave it "
                "out for zeros."
            )
        self.pad_values = pad_values
        if self.padding == "causal" and self._pads_with_other_values():
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}": padding="causal" pads with zeros '
                f"only, but pad_values={pad_values!r}.\n"
                '  Fix: use padding="same", or leave pad_values at 0.'
            )

    def _pads_with_other_values(self) -> bool:
        return tf.is_tensor(self.pad_values) or self.pad_values != 0.0

    def pads_explicitly(self) -> bool:
        """Whether the layer pads its input itself and then convolves it "valid"."""
        return self.padding == "same" and self._pads_with_other_values()

    def padded(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs with `pad_values` around their spatial axes.

        The amount is that of TensorFlow's "SAME": for input length $i$, stride
        $s$ and dilated kernel $k$: $p = max((ceil(i/s) - 1) s + k - i, 0)$, floor
        of the half before, the rest after.
        """
        first = inputs.shape.rank - self.rank
        if self.data_format == "channels_last":
            first -= 1
        paddings = [(0, 0)] * inputs.shape.rank
        dynamic = tf.shape(inputs)
        for i in range(self.rank):
            axis = first + i
            length = inputs.shape[axis]
            if length is None:
                length = dynamic[axis]
            paddings[axis] = same_padding(
                length, self.kernel_size[i], self.strides[i], self.dilation_rate[i]
            )
        return tf.pad(
            inputs, paddings, constant_values=tf.cast(self.pad_values, inputs.dtype)
        )

    def finished(self, outputs: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        """Adds what follows a convolution: static shape, bias and activation."""
        outputs = tf.ensure_shape(outputs, self.compute_output_shape(inputs.shape))
        if self.use_bias:
            outputs = tf_keras.backend.bias_add(
                outputs, self.bias, data_format=self.data_format
            )
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "pad_values": float(tf_keras.backend.get_value(self.pad_values)),
        }


def same_padding(length, kernel_size: int, stride: int, dilation: int):
    """How much TensorFlow's "SAME" pads an axis: `(before, after)`."""
    extent = (kernel_size - 1) * dilation + 1
    needed = (-(-length // stride) - 1) * stride + extent - length
    total = max(needed, 0) if isinstance(needed, int) else tf.maximum(needed, 0)
    return total // 2, total - total // 2


def as_2d(layer: PaddedConv, inputs: tf.Tensor, *kernels):
    """A "valid" convolution of `layer` in the terms of Keras' 2D backend functions.

    Returns:
        The 4D inputs, the 4D kernels, the keyword arguments of the backend function,
        and a function that takes the result back to the rank of `inputs`.
    """
    geometry = {"padding": "valid", "data_format": layer.data_format}
    if layer.rank == 2:
        geometry.update(strides=layer.strides, dilation_rate=layer.dilation_rate)
        return inputs, kernels, geometry, tf.identity
    axis = 1 if layer.data_format == "channels_last" else 2
    # The backend wants equal strides; over a single row they change nothing.
    geometry.update(strides=layer.strides * 2, dilation_rate=(1, *layer.dilation_rate))
    kernels = [tf.expand_dims(kernel, 0) for kernel in kernels]
    return (
        tf.expand_dims(inputs, axis),
        kernels,
        geometry,
        lambda outputs: tf.squeeze(outputs, axis),
    )
