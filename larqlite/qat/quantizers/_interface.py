"""The interface of quantizers in quantization-aware training, and checks of arguments."""

from __future__ import annotations

import math
import numbers

import tensorflow as tf

from larqlite.errors import ArgumentError, QuantizerError

__all__ = ["Quantizer", "bits", "boolean", "number"]

MAX_BITS = 16


class Quantizer:
    """Base class: how one tensor of a layer is quantized, and with which variables.

    `lq.quantizers.Quantizer` is a layer, by itself a function of a tensor with a
    pseudo-gradient; `NamedQuantizer` makes one of these of it.

    Write `__call__`; `build` if variables are needed, `get_config` if `__init__` takes
    arguments. Two quantizers are equal if their class and configuration are.

    Attributes:
        precision: bits of a quantized value, or None if not known.

    Example:
        >>> class FixedRange(lq.qat.quantizers.Quantizer):
        ...     def build(self, tensor_shape, name, layer):
        ...         return {"end": layer.add_weight(
        ...             name + "_end", initializer="ones", trainable=False)}
        ...     def __call__(self, inputs, training, weights, **kwargs):
        ...         return tf.clip_by_value(inputs, 0.25, weights["end"])
        >>> layer, quantizer = tf_keras.layers.Layer(), FixedRange()
        >>> weights = quantizer.build(None, "output", layer)
        >>> quantizer(tf.constant([-1.0, 0.5, 2.0]), False, weights).numpy().tolist()
        [0.25, 0.5, 1.0]

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877.
    """

    precision: int | None = None

    def build(self, tensor_shape, name: str, layer) -> dict | None:
        """Makes the variables of this quantizer for one tensor.

        Args:
            tensor_shape: `tf.TensorShape` of the tensor.
            name: prefix of the variables' names.
            layer: the Keras layer that owns them; make them with `layer.add_weight`.

        Returns:
            What `__call__` receives as `weights`, by names; None if the variables are
            kept on the quantizer. By default there are none.
        """
        return {}

    def __call__(self, inputs, training, weights, **kwargs) -> tf.Tensor:
        """The quantized tensor. To be overridden.

        A class may leave out arguments that it does not need, and ask for `step`.

        Args:
            inputs: floating-point tensor.
            training: whether the layer is called in training: bool, tensor or None.
            weights: what `build` returned.
            **kwargs: `step`, the optimizer's iteration, and what comes in the future.

        Returns:
            Tensor of the shape and dtype of `inputs`.
        """
        raise QuantizerError(
            f"{type(self).__name__}: a quantizer defines "
            "`__call__(self, inputs, training, weights, **kwargs)`.\n"
            "  Fix: return the quantized tensor from it."
        )

    def get_config(self) -> dict:
        """The arguments of `__init__`; none by default."""
        return {}

    @classmethod
    def from_config(cls, config: dict) -> Quantizer:
        """The quantizer that `get_config` described."""
        return cls(**config)

    def __eq__(self, other) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), repr(sorted(self.get_config().items()))))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def bits(where: str, value) -> int:
    """A whole number of bits from 1 to 16, or an ArgumentError."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 1 <= value <= MAX_BITS:
        raise ArgumentError(
            f"{where}: num_bits must be a whole number from 1 to {MAX_BITS}, got "
            f"{value!r}.\n  Fix: num_bits=8, or fewer."
        )
    return int(value)


def boolean(where: str, argument: str, value) -> bool:
    """True or False, or an ArgumentError."""
    if not isinstance(value, bool) and value not in (0, 1):
        raise ArgumentError(
            f"{where}: {argument} must be True or False, got {value!r}.\n"
            f"  Fix: {argument}=True, or {argument}=False."
        )
    return bool(value)


def number(where: str, argument: str, value) -> float:
    """A finite number, or an ArgumentError."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value):
        raise ArgumentError(
            f"{where}: {argument} must be a finite number, got {value!r}.\n"
            f"  Fix: {argument}=6.0, or another float."
        )
    return float(value)
