"""What a quantized tensor is: the type that integer layers exchange."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTensorError, QuantizedTypeError


class QTensor(tf.experimental.ExtensionType):
    """A tensor of integers, and what they stand for.

    The common base of `FixedPoint` and `QFloat`. It is a TensorFlow extension type: it
    goes through Keras layers, functional models, `tf.function` and TensorFlow's own
    operations (`tf.add`, `tf.matmul`, `tf.reshape` ...).

    Attributes:
        shape: static shape of the values.

    References:
        TensorFlow extension types, https://www.tensorflow.org/guide/extension_type
    """

    shape: tf.TensorShape

    # NumPy leaves an operator to the quantized tensor, instead of an array of objects.
    __array_ufunc__ = None

    @property
    def name(self) -> str:
        """The name of the tensor of values in its graph; the type's name in eager mode,
        where tensors have none."""
        values = self._values
        if tf.is_symbolic_tensor(values):
            return values.name
        return type(self).__name__

    @property
    def dtype(self) -> tf.DType:
        """The float type that holds the integers exactly."""
        return self._values.dtype

    @property
    def per_tensor(self) -> bool:
        """Whether one scale and one number of fractional bits hold for all values."""
        raise _is_abstract(self)

    @property
    def _values(self) -> tf.Tensor:
        raise _is_abstract(self)

    def assert_per_tensor(self) -> None:
        """Asserts that the tensor is quantized per-tensor.

        Raises:
            QuantizedTensorError: (a `ValueError`) when it is quantized per-axis.
        """
        if not self.per_tensor:
            raise QuantizedTensorError(
                f"{self.name}: this operation mixes the channels of the last axis, so "
                "they must share one scale, but the tensor is quantized per-axis.\n"
                "  Fix: align them with `expand(value_bits)`, or quantize the output of "
                "the layer before with axis='per-tensor'."
            )

    def clone(self) -> QTensor:
        """A copy of the tensor, with the same values and type."""
        return tf.nest.map_structure(tf.identity, self, expand_composites=True)

    def to_float(self) -> tf.Tensor:
        """The numbers that the tensor stands for, float32."""
        raise _is_abstract(self)


def _is_abstract(tensor: QTensor) -> QuantizedTypeError:
    return QuantizedTypeError(
        f"{type(tensor).__name__} holds no values of its own.\n"
        "  Fix: use FixedPoint or QFloat."
    )
