"""Integer layers that change no value: flatten, permute, reshape, zero padding, dropout."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite.errors import QuantizedTensorError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import moved

__all__ = [
    "QuantizedDropout",
    "QuantizedFlatten",
    "QuantizedPermute",
    "QuantizedReshape",
    "QuantizedZeroPadding2D",
]


@quantizes(tf_keras.layers.Flatten)
class QuantizedFlatten(QuantizedLayer, tf_keras.layers.Flatten):
    """A Flatten layer on quantized inputs: the same integers, in one row per sample.

    Channels keep their own fractional bits and scales: those of a per-axis input are
    repeated for every position, so nothing saturates.

    Input: FixedPoint or QFloat `(batch, ..., channels)`; output: the same type,
    `(batch, positions * channels)`.

    Args:
        **kwargs: those of a Keras layer.

    Example:
        >>> fp = lq.integer.tensors.FixedPoint(np.ones((1, 2, 2)), 7, [0, 3])
        >>> flat = lq.integer.layers.QuantizedFlatten()(fp)
        >>> flat.shape, flat.frac_bits.numpy()
        (TensorShape([1, 4]), array([0, 3, 0, 3], dtype=int32))
    """

    def compute(self, inputs):
        """The flattened tensor."""
        size = inputs.shape[1:].num_elements()
        return _reshaped(inputs, (-1, -1 if size is None else size), self)


@quantizes(tf_keras.layers.Permute)
class QuantizedPermute(QuantizedLayer, tf_keras.layers.Permute):
    """A Permute layer on quantized inputs: `tf.transpose` of the integers.

    Args:
        dims: tuple of the axes in their new order, counted from 1; the batch is not one.
        **kwargs: those of a Keras layer.

    Raises:
        QuantizedTensorError: (a `ValueError`) when called with a per-axis tensor whose
            last axis moves.

    Example:
        >>> fp = lq.integer.tensors.FixedPoint([[[1, 2], [3, 4]]], 7, 0)
        >>> lq.integer.layers.QuantizedPermute((2, 1))(fp).values.numpy().tolist()
        [[[1.0, 3.0], [2.0, 4.0]]]
    """

    def compute(self, inputs):
        """The permuted tensor."""
        if self.dims[-1] != len(self.dims) and not inputs.per_tensor:
            raise QuantizedTensorError(
                f"{self.where}: dims={tuple(self.dims)} moves the last axis, but the "
                "input is quantized per-axis along it.\n"
                '  Fix: give the layer before an output_quantizer with axis="per-tensor", '
                f"or keep {len(self.dims)} last in dims."
            )
        return moved(inputs, lambda v: tf.transpose(v, (0, *self.dims)))


@quantizes(tf_keras.layers.Reshape)
class QuantizedReshape(QuantizedLayer, tf_keras.layers.Reshape):
    """A Reshape layer on quantized inputs: the same integers in another shape.

    A per-axis input may keep its last dimension or have it multiplied; its fractional
    bits and scales are then repeated.

    Args:
        target_shape: tuple of integers without the batch; one may be -1.
        **kwargs: those of a Keras layer.

    Raises:
        QuantizedTensorError: (a `ValueError`) when called with a per-axis tensor whose
            channels are torn apart.

    Example:
        >>> fp = lq.integer.tensors.FixedPoint([[1, 2, 3, 4]], 7, 0)
        >>> lq.integer.layers.QuantizedReshape((2, 2))(fp).values.numpy().tolist()
        [[[1.0, 2.0], [3.0, 4.0]]]
    """

    requires_aligned_inputs = False

    def compute(self, inputs):
        """The reshaped tensor."""
        shape = self.compute_output_shape(inputs.shape)[1:]
        if None in shape:
            shape = self.target_shape
        return _reshaped(inputs, (-1, *shape), self)


@quantizes(tf_keras.layers.ZeroPadding2D)
class QuantizedZeroPadding2D(QuantizedLayer, tf_keras.layers.ZeroPadding2D):
    """Rows and columns of zeros around quantized inputs: 0 is 0 in every scale.

    Input: FixedPoint or QFloat `(batch, height, width, channels)`; output: the same type,
    `(batch, height + top + bottom, width + left + right, channels)`.

    Args:
        padding: an integer, two (rows, columns), or `((top, bottom), (left, right))`.
        data_format: "channels_last", or None.
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[[[3]]]], value_bits=7, frac_bits=0)
        >>> y = lq.integer.layers.QuantizedZeroPadding2D(((0, 0), (1, 0)))(x)
        >>> y.values.numpy().ravel()
        array([0., 3.], dtype=float32)
    """

    requires_aligned_inputs = False

    def compute(self, inputs):
        """The integers between zeros."""
        rows, columns = self.padding
        return tf.pad(inputs, [[0, 0], list(rows), list(columns), [0, 0]])


@quantizes(tf_keras.layers.Dropout)
class QuantizedDropout(QuantizedLayer, tf_keras.layers.Dropout):
    """A dropout layer that lets quantized inputs pass, in training too.

    Args:
        rate: the rate of the float layer, kept for its configuration.
        **kwargs: those of the Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([[3, -4]], value_bits=7, frac_bits=1)
        >>> lq.integer.layers.QuantizedDropout(0.5)(x, training=True).values.numpy()
        array([[ 3., -4.]], dtype=float32)
    """

    requires_aligned_inputs = False

    def call(self, inputs, training=None):
        """The inputs, whether `training` or not."""
        return super().call(inputs)

    def compute(self, inputs):
        """The inputs."""
        return inputs


def _reshaped(x: QTensor, shape: tuple, layer) -> QTensor:
    """`tf.reshape`; what belongs to the last axis is repeated where that axis grows."""
    if isinstance(x, QFloat):
        scales = _repeated(x.scales, x, shape, layer)
        return QFloat(_reshaped(x.fp, shape, layer), scales)
    batch = -1 if shape.count(-1) < 2 else tf.shape(x.values)[0]
    values = tf.reshape(x.values, (batch, *shape[1:]))
    frac_bits = _repeated(x.frac_bits, x, shape, layer)
    return FixedPoint(values, x.value_bits, frac_bits, limit=x.limit)


def _repeated(vector: tf.Tensor, x: QTensor, shape: tuple, layer) -> tf.Tensor:
    """The vector of the last axis of `x` for the last axis of `shape`."""
    if vector.shape.num_elements() == 1:
        return vector
    channels, last = x.shape[-1], shape[-1]
    if last == channels:
        return vector
    if last == -1 or last % channels:
        raise QuantizedTensorError(
            f"{layer.where}: the input of shape {x.shape} is quantized per-axis, and "
            f"the shape {shape} tears its {channels} channels apart.\n"
            '  Fix: give the layer before an output_quantizer with axis="per-tensor".'
        )
    return tf.tile(vector, [last // channels])
