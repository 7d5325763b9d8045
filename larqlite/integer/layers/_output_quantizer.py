"""The quantizer that brings an accumulator back to few bits."""

from __future__ import annotations

import numbers

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError, QuantizedTypeError
from larqlite.integer.layers._layer_classes import known, register_layer
from larqlite.integer.layers._quantizer import IntegerQuantizer
from larqlite.integer.layers._recording import FixedPointRecorder, TensorRecorder
from larqlite.integer.layers._requantize import requantized
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import (
    MAX_VALUE_BITS,
    as_tensor,
    folded,
    is_only_signature_of,
    not_counting,
)
from larqlite.primitives import granularity

__all__ = ["OutputQuantizer", "output_frac_bits", "output_scales", "shape_of_ranges"]


def shape_of_ranges(axis: str, input_shape, where: str) -> tuple[int, ...]:
    """The shape of the ranges of a tensor: `()`, or `(channels,)` per-axis."""
    shape = tf.TensorShape(input_shape)
    if axis == "per-tensor":
        return ()
    if shape.rank is None or shape.rank < 3 or shape[-1] is None:
        raise ArgumentError(
            f'{where}: axis="per-axis" on a tensor of shape {shape}: ranges of each '
            "channel need a batch axis, at least one more, and a known last one.\n"
            '  Fix: axis="per-tensor".'
        )
    return (int(shape[-1]),)


def output_frac_bits(quantizer: OutputQuantizer) -> tf.Tensor:
    """The fractional bits of what an output quantizer gives out: the most that its range
    allows."""
    range_max = as_tensor(quantizer.range_max)
    return FixedPoint.max_frac_bits(quantizer.value_bits, range_max)


def output_scales(quantizer: OutputQuantizer, scales) -> FixedPoint:
    """The integers that an accumulator is multiplied by.

    Args:
        quantizer: the output quantizer.
        scales: of the accumulator, float32.
    """
    rate = as_tensor(quantizer.rescaling_rate)
    with folded(scales, rate), not_counting():
        return QFloat.quantize_scales(scales * rate, quantizer.scale_bits)


@known()
@register_layer
class OutputQuantizer(IntegerQuantizer):
    r"""An accumulator as few bits, with the most fractional bits its range allows.

    $f = \min(v - \lceil \log_2 r \rceil, v)$ for $v$ value bits and the calibrated range
    $r$. A FixedPoint is rescaled, $\lfloor x \cdot 2^{f - f_{in}} + 0.5 \rfloor$. The
    scales of a QFloat times `rescaling_rate` are quantized to $q \cdot 2^{-g}$ with
    `scale_bits` bits first: $\lfloor x \cdot q \cdot 2^{f - f_{in} - g} + 0.5 \rfloor$,
    where $x \cdot q$ saturates at `buffer_bitwidth` bits and the result at its own.

    Its weights are `range_max`, `rescaling_rate` (floats, a scalar or one per channel, 1
    at first) and `calibrated` (whether somebody set `range_max`).

    Args:
        bitwidth: bits of the result, the sign included if signed.
        signed: whether the result has a sign.
        axis: "per-tensor", or "per-axis" for a range of each channel of the last axis.
        scale_bits: bits of a quantized scale.
        buffer_bitwidth: value bits of the product with the scales.

    Raises:
        ArgumentError: a value that is not allowed, by name.

    >>> quantizer = lq.integer.layers.OutputQuantizer(bitwidth=8)
    >>> x = lq.integer.tensors.FixedPoint([[1000, -3001]], value_bits=27, frac_bits=10)
    >>> quantizer.build(x.shape)
    >>> quantizer.calibrate(range_max=4.0)
    >>> y = quantizer(x)
    >>> y.values.numpy(), int(y.frac_bits)
    (array([[ 31., -94.]], dtype=float32), 5)

    References:
        Jacob et al., https://arxiv.org/abs/1712.05877, section 2.2
    """

    config_keys = ("bitwidth", "signed", "axis", "scale_bits", "buffer_bitwidth")

    def __init__(
        self,
        bitwidth: int = 8,
        signed: bool = True,
        axis: str = "per-tensor",
        scale_bits: int = 8,
        buffer_bitwidth: int = 32,
        **kwargs,
    ):
        super().__init__(bitwidth, signed, **kwargs)
        self._where = f'OutputQuantizer "{self.name}"'
        self.axis = granularity(axis, self._where)
        self.scale_bits = self._whole("scale_bits", scale_bits, 1, 23)
        self.buffer_bitwidth = self._whole(
            "buffer_bitwidth", buffer_bitwidth, 2, MAX_VALUE_BITS
        )
        self.applies_rate = True
        self.after_relu = False
        self.shift = TensorRecorder(f"{self.name}/shift")
        self.qscales = FixedPointRecorder(f"{self.name}/qscales")

    def _whole(self, name: str, value, low: int, high: int) -> int:
        if not isinstance(value, numbers.Integral) or not low <= value <= high:
            raise ArgumentError(
                f"{self._where}: {name}={value!r} is not a whole number from {low} to "
                f"{high}.\n  Fix: leave it out, or {name}={max(low, 8)}."
            )
        return int(value)

    def build(self, input_shape):
        """Creates the ranges.

        Args:
            input_shape: shape of the tensor to quantize.

        Raises:
            ArgumentError: per-axis for a tensor of rank below 3.
        """
        shape = shape_of_ranges(self.axis, input_shape, self._where)
        for name in ("range_max", "rescaling_rate"):
            weight = self.add_weight(
                name=name, shape=shape, initializer="ones", trainable=False
            )
            setattr(self, name, weight)
        self.calibrated = self.add_weight(
            name="calibrated",
            shape=(),
            dtype="uint8",
            initializer="zeros",
            trainable=False,
        )
        super().build(input_shape)

    @property
    def is_calibrated(self) -> bool:
        """Whether the range was set: by `calibrate`, or to anything but 1."""
        return self.built and bool(
            self.calibrated.numpy() or np.any(self.range_max.numpy() != 1)
        )

    def calibrate(self, range_max, rescaling_rate=1.0) -> None:
        """Sets the range, and says that it was set.

        Args:
            range_max: float, or one for each channel: the largest magnitude.
            rescaling_rate: float, or one for each channel, to multiply scales by.
        """
        for weight, value in (
            (self.range_max, range_max),
            (self.rescaling_rate, rescaling_rate),
        ):
            weight.assign(tf.broadcast_to(tf.cast(value, tf.float32), weight.shape))
        self.calibrated.assign(1)

    def reset(self) -> None:
        """Makes the quantizer as it was before any calibration."""
        self.calibrate(1.0)
        self.calibrated.assign(0)

    def set_weights(self, weights) -> None:
        """As in Keras; the flag `calibrated` may be left out."""
        weights = list(weights)
        if len(weights) == 2:
            weights.append(np.uint8(np.any(np.asarray(weights[0]) != 1)))
        super().set_weights(weights)

    def call(self, inputs):
        """The inputs with `bitwidth` bits.

        Args:
            inputs: QFloat or FixedPoint with more value bits than the result has.

        Returns:
            FixedPoint in the shape of `inputs`.

        Raises:
            QuantizedTypeError: (a `TypeError`) `inputs` are no QTensor.
            ArgumentError: (a `ValueError`) `inputs` have too few value bits already, or
                more than the buffer.
        """
        return self._quantized(inputs)

    @tf.autograph.experimental.do_not_convert
    def _quantized(self, inputs):
        if not isinstance(inputs, QTensor):
            raise QuantizedTypeError(
                f"{self._where} quantizes a QFloat or a FixedPoint, but got a "
                f"{type(inputs).__name__}.\n  Fix: put it after a quantized layer."
            )
        fp = getattr(inputs, "fp", inputs)
        self._check_bits(fp.value_bits, isinstance(inputs, QFloat))
        # Before anything is folded: variables are read by the graph, at each call.
        frac_bits = output_frac_bits(self)
        scales = buffer_bits = None
        self.applies_rate = isinstance(inputs, QFloat)
        if self.applies_rate and not is_only_signature_of(fp.values):
            scales = output_scales(self, inputs.scales)
            self.qscales(scales)
            buffer_bits = self.buffer_bitwidth
        outputs, shift = requantized(
            fp, frac_bits, self.value_bits, scales, buffer_bits, self.after_relu
        )
        self.shift(shift)
        return outputs

    def _check_bits(self, value_bits: int, has_scales: bool) -> None:
        if value_bits <= self.value_bits:
            raise ArgumentError(
                f"{self._where}: the inputs have {value_bits} value bits, the result "
                f"would have {self.value_bits}: there is nothing to reduce.\n"
                f"  Fix: a bitwidth below {self.bitwidth}, or no output quantizer here."
            )
        if has_scales and value_bits > self.buffer_bitwidth:
            raise ArgumentError(
                f"{self._where}: the inputs have {value_bits} value bits, more than the "
                f"buffer's {self.buffer_bitwidth}.\n"
                f"  Fix: buffer_bitwidth={value_bits}, or more."
            )
