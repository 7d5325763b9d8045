"""The integer ReLU, with or without a largest value."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite.errors import UnsupportedLayerError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._config import OUTPUT, QuantizerSlot
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.layers._weight_quantizer import AlignedWeightQuantizer
from larqlite.integer.tensors import FixedPoint, QFloat

__all__ = ["QuantizedReLU"]


@quantizes(tf_keras.layers.ReLU)
class QuantizedReLU(QuantizedLayer, tf_keras.layers.ReLU):
    r"""A ReLU on quantized inputs.

    $$ y = \min(\max(x, 0), m) $$

    The largest value $m$ is an integer too: `max_value` as a mantissa of 8 bits, shifted
    left to the fractional bits of the input.

    Input: FixedPoint or QFloat of any shape; output: the same type, or FixedPoint with
    an output quantizer.

    Args:
        max_value: the largest value, a float >= 0; None for none.
        negative_slope: must be 0.
        threshold: must be 0.
        quant_config: dictionary with `output_quantizer`, the arguments of an
            OutputQuantizer; `max_value_quantizer`, those of an AlignedWeightQuantizer;
            and `buffer_bitwidth`, the value bits of the accumulator (32).
        **kwargs: those of a Keras layer.

    Raises:
        UnsupportedLayerError: (a `RuntimeError`) a slope or threshold other than 0.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-3, 5, 99], value_bits=7, frac_bits=3)
        >>> lq.integer.layers.QuantizedReLU(max_value=6)(x).values.numpy()
        array([ 0.,  5., 48.], dtype=float32)
    """

    quantizer_slots = {
        "max_value_quantizer": QuantizerSlot(
            AlignedWeightQuantizer, optional=True, forced={"signed": False}
        ),
        "output_quantizer": OUTPUT,
    }
    buffer_cap = 53
    requires_aligned_inputs = False
    keeps_per_axis = True

    def __init__(
        self,
        max_value: float | None = 6,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        quant_config: dict | None = None,
        **kwargs,
    ):
        if max_value is not None and isinstance(quant_config, (dict, type(None))):
            quant_config = {"max_value_quantizer": {}, **(quant_config or {})}
        super().__init__(
            max_value, negative_slope, threshold, quant_config=quant_config, **kwargs
        )
        # One pass over the values less: the output quantizer limits them anyway.
        self._in_quantizer = max_value is None and self.out_quantizer is not None
        if self._in_quantizer:
            self.out_quantizer.after_relu = True
        for name, value in (
            ("negative_slope", negative_slope),
            ("threshold", threshold),
        ):
            if value:
                raise UnsupportedLayerError(
                    f"{self.where}: {name}={float(value)} has no integer form.\n"
                    f"  Fix: {name}=0, or keep this layer and what follows in floats."
                )

    @staticmethod
    def refuses(layer) -> str | None:
        """Why a float layer has no integer form, or None."""
        for name in ("negative_slope", "threshold"):
            if getattr(layer, name):
                return f"its {name}={float(getattr(layer, name))} has no integer form"
        return None

    def compute(self, inputs):
        """The inputs between 0 and the largest value; the output quantizer sees to the 0
        where there is no largest one."""
        x = self.in_buffer(inputs, self.quant_config["buffer_bitwidth"])
        fp = getattr(x, "fp", x)
        values = fp.values if self._in_quantizer else tf.nn.relu(fp.values)
        if self.max_value is not None:
            largest = tf.constant(float(self.max_value))
            largest = self.max_value_quantizer(largest, x)
            largest = getattr(largest, "fp", largest).values
            values = tf.minimum(values, tf.cast(largest, values.dtype))
        y = FixedPoint(values, fp.value_bits, fp.frac_bits, limit=fp.limit)
        if isinstance(x, QFloat):
            return QFloat(y, x.scales)
        # The output quantizer multiplies scales by the rate that calibration chose.
        return y if self.out_quantizer is None else QFloat(y, 1.0)

    def get_config(self) -> dict:
        """The arguments of the constructor, as plain numbers."""
        numbers = {
            "max_value": None if self.max_value is None else float(self.max_value),
            "negative_slope": 0.0,
            "threshold": 0.0,
        }
        return {**super().get_config(), **numbers}
