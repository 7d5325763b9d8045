"""Activation functions of integers of few bits, each a table of the function's values."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
import tf_keras

from larqlite import activations as own
from larqlite.errors import QuantizedTensorError, UnsupportedLayerError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import OUTPUT
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._quantized_softmax import QuantizedSoftmax
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import (
    exp2,
    folded,
    is_only_signature_of,
    straight_through,
)
from larqlite.primitives import signed_codes

__all__ = [
    "QuantizedActivationFunction",
    "QuantizedELU",
    "QuantizedLeakyReLU",
    "TableLayer",
]

keras = tf_keras.activations

MOST_INPUT_BITS = 15
LEAST_TABLE_BITS = 15
# What an entry has more than the output quantizer keeps of it.
SPARE_BITS = 8


@dataclasses.dataclass(frozen=True)
class Reach:
    r"""How far a function reaches: \(|f(x)| \leq offset + slope \cdot |x|\)."""

    offset: float = 0.0
    slope: float = 1.0

    def of(self, largest):
        """The largest magnitude that comes out of magnitudes up to `largest`."""
        return self.offset + self.slope * largest


_BOUNDED = Reach(1.0, 0.0)
_REACHES = {
    **dict.fromkeys((keras.sigmoid, tf.sigmoid, keras.tanh, tf.tanh), _BOUNDED),
    **dict.fromkeys((keras.softsign, tf.nn.softsign), _BOUNDED),
    **dict.fromkeys((keras.hard_sigmoid, own.hard_sigmoid6, own.hard_tanh), _BOUNDED),
    **dict.fromkeys((keras.swish, tf.nn.silu, own.hard_swish), Reach()),
    **dict.fromkeys((keras.gelu, tf.nn.gelu, keras.mish, keras.elu), Reach()),
    **dict.fromkeys((tf.nn.elu, tf.nn.leaky_relu), Reach()),
    **dict.fromkeys((keras.selu, tf.nn.selu), Reach(slope=1.7581)),
    **dict.fromkeys((keras.softplus, tf.nn.softplus), Reach(offset=0.6932)),
    own.leaky_tanh: Reach(0.8, 0.2),
}


def _half_up(x: tf.Tensor) -> tf.Tensor:
    # A half goes up, whatever the last bit of a quotient that is one.
    return tf.floor(x + (0.5 + 2.0**-20))


_rounded = straight_through(_half_up)


class TableLayer(QuantizedLayer):
    r"""Base of layers that compute a function of each integer: a table of its values.

    $$ y = \mathrm{round}(f(v \cdot 2^{-f_{in}}) \cdot 2^{F}), \qquad
       F = b - \lceil \log_2 \max |f| \rceil $$

    for integers $v$ with $f_{in}$ fractional bits, of which there are so few that all of
    them can be listed; $\max |f|$ is what the function reaches over all of them. The
    entries have $b$ value bits: 15, or 8 more than the output quantizer keeps, if that is
    more.

    A concrete layer derives from this class and from the float layer.
    """

    quantizer_slots = {"output_quantizer": OUTPUT}
    accepts = (FixedPoint, tf.Tensor)
    computes_activation = True

    @property
    def reach(self) -> Reach:
        """How far the function reaches."""
        raise NotImplementedError

    def of_numbers(self, x: tf.Tensor) -> tf.Tensor:
        """The function of float64 numbers."""
        raise NotImplementedError

    @property
    def table_bits(self) -> int:
        """The value bits of the entries."""
        if self.out_quantizer is None:
            return LEAST_TABLE_BITS
        return max(LEAST_TABLE_BITS, self.out_quantizer.value_bits + SPARE_BITS)

    def compute(self, inputs: FixedPoint) -> QTensor:
        """The entries for the inputs."""
        if inputs.value_bits > MOST_INPUT_BITS:
            raise QuantizedTensorError(
                f"{self.where}: inputs of {inputs.value_bits} value bits are too many for "
                f"a table, which takes up to {MOST_INPUT_BITS}.\n"
                "  Fix: an output_quantizer in the layer before."
            )
        bits, dtype = self.table_bits, tf.float64
        with folded(inputs.frac_bits):
            largest = exp2(inputs.value_bits - inputs.frac_bits, dtype)
            ranges = self.reach.of(largest)
            frac_bits = FixedPoint.max_frac_bits(bits, ranges, clamp=False)
            unit, steps = exp2(-inputs.frac_bits, dtype), exp2(frac_bits, dtype)
        values = tf.cast(inputs.values, dtype)
        if not is_only_signature_of(inputs.values):
            codes = _rounded(self.of_numbers(values * unit) * steps)
            values = tf.clip_by_value(codes, *map(float, signed_codes(bits)))
        y = FixedPoint(tf.cast(values, tf.float32), bits, frac_bits, limit=2**bits)
        # The output quantizer multiplies scales by the rate that calibration chose.
        return y if self.out_quantizer is None else QFloat(y, 1.0)


@quantizes(tf_keras.layers.Activation)
class QuantizedActivationFunction(TableLayer, tf_keras.layers.Activation):
    r"""An activation function of integers, as a table of its values.

    $$ y = \mathrm{round}(f(v \cdot 2^{-f_{in}}) \cdot 2^{F}) $$

    for integers $v$ with $f_{in}$ fractional bits. Over all integers of the input's width
    these are as many entries, of 15 value bits or more, with the most fractional bits
    $F$ that hold the largest. For an input with fractional bits for each channel, there
    is a table for each number of them.

    The functions: `swish` (`silu`), `gelu`, `elu`, `selu`, `mish`, `softplus`,
    `softsign`, `sigmoid`, `tanh`, `hard_sigmoid`, those of TensorFlow with these names and
    `tf.nn.leaky_relu`, and those of `lq.activations`. For a softmax there is
    `QuantizedSoftmax`, for a ReLU `QuantizedReLU`.

    A sigmoid at the very end of a model stays float when the model is quantized.

    Input: FixedPoint of at most 15 value bits, of any shape. Output: FixedPoint of that
    shape.

    Args:
        activation: the function, or its name.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer.
        **kwargs: those of a Keras layer.

    Raises:
        UnsupportedLayerError: (a `RuntimeError`) another function.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-64, -24, 96], value_bits=7, frac_bits=4)
        >>> y = lq.integer.layers.QuantizedActivationFunction("hard_swish")(x)
        >>> y.values.numpy(), int(y.frac_bits)
        (array([    0., -1536., 24576.], dtype=float32), 12)
        >>> y.to_float().numpy()
        array([ 0.   , -0.375,  6.   ], dtype=float32)
    """

    def __init__(self, activation, quant_config: dict | None = None, **kwargs):
        super().__init__(activation, quant_config=quant_config, **kwargs)
        reason = self.refuses(self)
        if reason:
            raise UnsupportedLayerError(
                f"{self.where}: {reason}.\n"
                '  Fix: another function, such as "hard_swish"; QuantizedSoftmax and '
                "QuantizedReLU are layers of their own."
            )

    @classmethod
    def class_for(cls, layer) -> type:
        """The class for a float layer: a softmax has one of its own."""
        is_softmax = layer.activation in (keras.softmax, tf.nn.softmax)
        return QuantizedSoftmax if is_softmax else cls

    @staticmethod
    def refuses(layer) -> str | None:
        """Why a float layer has no integer form, or None."""
        if _reach_of(layer.activation) is not None:
            return None
        name = (
            getattr(layer.activation, "__name__", None)
            or type(layer.activation).__name__
        )
        return f'there is no integer form of the activation "{name}"'

    @staticmethod
    def float_at_the_end(layer) -> bool:
        """Whether a layer at the end of a model only makes probabilities."""
        return layer.activation in (keras.sigmoid, tf.sigmoid)

    @property
    def reach(self) -> Reach:
        """That of the function."""
        return _reach_of(self.activation)

    def of_numbers(self, x):
        """The function."""
        return self.activation(x)


def _reach_of(function) -> Reach | None:
    try:
        return _REACHES.get(function)
    except TypeError:  # an object that has no hash
        return None


class _OfTwoSides(TableLayer):
    """A function that is the identity above zero, and has a factor `alpha` below."""

    @property
    def reach(self) -> Reach:
        """That of the steeper side."""
        return Reach(slope=max(1.0, abs(float(self.alpha))))

    def get_config(self) -> dict:
        """The arguments of the constructor, as plain numbers."""
        return {**super().get_config(), "alpha": float(self.alpha)}


@quantizes(tf_keras.layers.ELU)
class QuantizedELU(_OfTwoSides, tf_keras.layers.ELU):
    r"""An ELU of integers, as a table: $x$ above zero, $\alpha (e^x - 1)$ below.

    Input: FixedPoint of at most 15 value bits, of any shape. Output: FixedPoint of that
    shape; the entries are those of `QuantizedActivationFunction`.

    Args:
        alpha: the factor.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer.
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-16, 0, 40], value_bits=7, frac_bits=4)
        >>> lq.integer.layers.QuantizedELU()(x).to_float().numpy().round(3)
        array([-0.632,  0.   ,  2.5  ], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, quant_config: dict | None = None, **kwargs):
        super().__init__(alpha, quant_config=quant_config, **kwargs)

    def of_numbers(self, x):
        """The function."""
        below = tf.math.expm1(tf.minimum(x, 0))
        return tf.maximum(x, 0) + float(self.alpha) * below


@quantizes(tf_keras.layers.LeakyReLU)
class QuantizedLeakyReLU(_OfTwoSides, tf_keras.layers.LeakyReLU):
    r"""A leaky ReLU of integers, as a table: $x$ above zero, $\alpha x$ below.

    Input: FixedPoint of at most 15 value bits, of any shape. Output: FixedPoint of that
    shape; the entries are those of `QuantizedActivationFunction`.

    Args:
        alpha: the slope below zero.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer.
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-16, 0, 40], value_bits=7, frac_bits=4)
        >>> lq.integer.layers.QuantizedLeakyReLU(0.25)(x).to_float().numpy()
        array([-0.25,  0.  ,  2.5 ], dtype=float32)
    """

    def __init__(self, alpha: float = 0.3, quant_config: dict | None = None, **kwargs):
        super().__init__(alpha, quant_config=quant_config, **kwargs)

    def of_numbers(self, x):
        """The function."""
        return tf.maximum(x, 0) + float(self.alpha) * tf.minimum(x, 0)
