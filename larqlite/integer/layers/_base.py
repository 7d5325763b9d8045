"""What all quantized layers share: configuration, input gate, buffer, output quantizer."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from larqlite._two_kerases import OfTfKeras
from larqlite.errors import (
    ArgumentError,
    QuantizedTensorError,
    QuantizedTypeError,
    require_tf_keras,
)
from larqlite.integer.layers._config import QuantizerSlot, build_quantizers, completed
from larqlite.integer.layers._layer_classes import NamedWeights, ToldTypes
from larqlite.integer.layers._quantizer import IntegerQuantizer
from larqlite.integer.layers._recording import TensorRecorder
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import moved
from larqlite.primitives import signed_codes

__all__ = ["QuantizedLayer"]


class QuantizedLayer(OfTfKeras, NamedWeights, ToldTypes, tf_keras.layers.Layer):
    """Mixin for a Keras layer that computes on quantized tensors.

    A concrete layer derives from this class and from the float layer, says in a few
    attributes what it has, and computes in `compute`:

        @quantizes(tf_keras.layers.Dense)
        class QuantizedDense(QuantizedLayer, tf_keras.layers.Dense):
            quantizer_slots = {
                "weight_quantizer": WEIGHTS,
                "bias_quantizer": ALIGNED,
                "output_quantizer": OUTPUT,
            }
            slots_of_weights = {"kernel": "weight_quantizer", "bias": "bias_quantizer"}
            buffer_cap = 28

            def compute(self, inputs):
                kernel = self.weight_quantizer(self.kernel)
                return self.with_bias(matmul(self.in_buffer(inputs), kernel))

    Every slot becomes an attribute with the quantizer, or None; `output_quantizer` is
    called `out_quantizer`, and is applied to what `compute` returns.

    Attributes:
        quantizer_slots: the quantizers of the layer, by key of `quant_config`.
        slots_of_weights: the slot whose quantizer stores a weight, by attribute.
        extra_config: further keys of `quant_config`, with their defaults.
        buffer_cap: most bits of its accumulator, sign included; None for no buffer.
        accepts: classes of inputs; plain tensors become FixedPoint.
        requires_aligned_inputs: whether values of several channels are added, so that
            inputs must be of few bits.
        gives_few_bits: whether its outputs are of few bits by themselves.
        keeps_per_axis: whether the buffer takes per-axis inputs as they are.
        computes_activation: whether it computes the function of its `activation`.
        holds_output_quantizer: whether there is a slot "output_quantizer".
        weight_quantizers: the slots whose bitwidth defaults to the weight bits.
    """

    quantizer_slots: Mapping[str, QuantizerSlot] = {}
    slots_of_weights: Mapping[str, str] = {}
    extra_config: Mapping = {}
    buffer_cap: int | None = None
    accepts: tuple[type, ...] = (FixedPoint, QFloat, tf.Tensor)
    requires_aligned_inputs = True
    gives_few_bits = False
    keeps_per_axis = False
    computes_activation = False
    holds_output_quantizer = False
    weight_quantizers: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        slots = cls.quantizer_slots
        cls.holds_output_quantizer = "output_quantizer" in slots
        cls.weight_quantizers = tuple(k for k, slot in slots.items() if slot.of_weights)

    def __init__(
        self,
        *args,
        quant_config: dict | None = None,
        calibrated_inputs: dict | None = None,
        **kwargs,
    ):
        kwargs.setdefault("dtype", "float32")
        super().__init__(*args, **kwargs)
        self.calibrated_inputs = calibrated_inputs
        self._autocast = False
        self._refuse_what_integers_lack()
        # Past Keras, which would wrap the dictionary into one that json cannot write.
        self.__dict__["_quant_config"] = completed(
            quant_config,
            self.quantizer_slots,
            self.extra_config,
            self.buffer_cap,
            self.where,
        )
        quantizers = build_quantizers(self.quant_config, self.quantizer_slots)
        self.out_quantizer = None
        for key, quantizer in quantizers.items():
            name = "out_quantizer" if key == "output_quantizer" else key
            setattr(self, name, quantizer)
        self.input_shift = TensorRecorder(f"{self.name}/input_shift")

    def _refuse_what_integers_lack(self) -> None:
        activation = getattr(self, "activation", None)
        is_linear = activation in (None, tf_keras.activations.linear)
        if not is_linear and not self.computes_activation:
            name = getattr(activation, "__name__", None) or type(activation).__name__
            raise ArgumentError(
                f'{self.where}: activation="{name}" is not computed inside of a '
                "quantized layer.\n"
                "  Fix: leave `activation` out and put a layer after it, e.g. "
                "QuantizedReLU()."
            )
        if getattr(self, "data_format", None) == "channels_first":
            raise ArgumentError(
                f'{self.where}: data_format="channels_first" is not supported.\n'
                '  Fix: data_format="channels_last", with the channels as last axis.'
            )
        if self.compute_dtype != "float32" or self.dtype != "float32":
            raise ArgumentError(
                f"{self.where}: dtype={self.compute_dtype!r}, but the weights that are "
                "quantized are float32.\n  Fix: leave `dtype` out."
            )

    @property
    def where(self) -> str:
        """The layer's class and name, for messages."""
        return f'{type(self).__name__} "{self.name}"'

    @property
    def quant_config(self) -> dict:
        """The quantization configuration, a plain dictionary, completed by the layer."""
        return self._quant_config

    @property
    def calibrated_inputs(self) -> dict | None:
        """Of a layer that reads an input of the model: the smallest and largest number
        that it was calibrated with, and the share of those that integers do not hold
        ("low", "high", "cut"); None if it is not known."""
        return self.__dict__["_calibrated_inputs"]

    @calibrated_inputs.setter
    def calibrated_inputs(self, value: dict | None) -> None:
        self.__dict__["_calibrated_inputs"] = None if value is None else dict(value)

    @property
    def buffer_bits(self) -> int:
        """The value bits of the accumulator: those of its bits that are not the sign."""
        return self.quant_config["buffer_bitwidth"] - 1

    # What the cost model asks.

    def weight_precision(self, variable) -> int | None:
        """The bits of the integers that are stored of a weight; None for another one."""
        for name, slot in self.slots_of_weights.items():
            if getattr(self, name, None) is variable:
                return getattr(self, slot).bitwidth
        return None

    @property
    def output_precision(self) -> int | tuple[int | None, ...] | None:
        """The bits of what comes out, or those of each output; None for an accumulator,
        and for values that are only moved."""
        return self.out_quantizer and self.out_quantizer.bitwidth

    @property
    def training_state(self) -> list:
        """The ranges of its quantizers, which are shifts and scales in the end."""
        parts = (part for part in self.submodules if isinstance(part, IntegerQuantizer))
        return [variable for part in parts for variable in part.weights]

    # Calls.

    def __call__(self, inputs, *args, **kwargs):
        for tensor in tf.nest.flatten(inputs):
            require_tf_keras(tensor, self.where)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs):
        """The layer's outputs for quantized, or plain integer, inputs."""
        return self._computed(inputs)

    # AutoGraph has nothing to convert here, and takes seconds for finding that out.
    @tf.autograph.experimental.do_not_convert
    def _computed(self, inputs):
        inputs = tf.nest.map_structure(self.gated, inputs)
        outputs = self._sized(self.compute(inputs), inputs)
        if self.out_quantizer is not None:
            outputs = self.out_quantizer(outputs)
        return outputs

    def _sized(self, outputs, inputs):
        """Outputs with all sizes that the float layer knows when a graph is made."""
        cls = type(self)
        is_told = (
            cls.compute_output_shape is not tf_keras.layers.Layer.compute_output_shape
        )
        if not isinstance(outputs, QTensor) or not is_told:
            return outputs
        if None not in tuple(outputs.shape)[1:]:
            return outputs
        known = self.compute_output_shape(tf.nest.map_structure(_shape_of, inputs))
        if not outputs.shape.is_compatible_with(known):
            return outputs
        return moved(outputs, lambda values: tf.ensure_shape(values, known))

    def compute(self, inputs):
        """The computation on quantized inputs; every concrete layer has its own."""
        raise NotImplementedError

    def gated(self, x):
        """An input as one of the accepted classes.

        Plain tensors hold integers: 8 value bits (15 for int16), no fractional bits;
        floats are truncated to int32 first.

        Raises:
            QuantizedTypeError: (a `TypeError`) the layer does not accept such inputs.
        """
        if isinstance(x, self.accepts) and isinstance(x, QTensor):
            return x
        if isinstance(x, QTensor) or not issubclass(tf.Tensor, self.accepts):
            accepted = [cls.__name__ for cls in self.accepts]
            raise QuantizedTypeError(
                f"{self.where} got a {type(x).__name__}; it accepts {accepted}.\n"
                f"  Fix: {_way_out(x)}"
            )
        x, zero = tf.convert_to_tensor(x), tf.constant(0, tf.int32)
        low, high = held_inputs(x.dtype)
        if not x.dtype.is_floating:
            return FixedPoint(x, high.bit_length(), zero)
        integers = tf.cast(tf.cast(x, tf.int32), tf.float32)
        values = tf.clip_by_value(integers, float(low), float(high))
        return FixedPoint(values, 8, zero, limit=256)

    def in_buffer(self, x: QTensor, bits: int | None = None) -> QTensor:
        """`x` with the value bits of the buffer; a per-axis FixedPoint becomes per-tensor.

        Args:
            x: FixedPoint or QFloat.
            bits: value bits, `buffer_bits` by default.
        """
        bits = self.buffer_bits if bits is None else bits
        fp = getattr(x, "fp", x)
        if fp.value_bits > bits:
            raise QuantizedTensorError(
                f"{self.where}: inputs of {fp.value_bits} value bits do not fit into a "
                f"buffer of {bits}.\n  Fix: an output_quantizer in the layer before, or "
                f'"buffer_bitwidth": {fp.value_bits + 1} in the quant_config of this one.'
            )
        if isinstance(x, FixedPoint) and not (x.per_tensor or self.keeps_per_axis):
            x, shift = x.expand(bits)
            self.input_shift(shift)
            return x
        return x.promote(bits)

    def with_bias(self, outputs: QTensor) -> QTensor:
        """An accumulator plus the quantized bias, if the layer has one."""
        if not self.use_bias:
            return outputs
        return outputs + self.bias_quantizer(self.bias, outputs)

    # Files.

    def get_config(self) -> dict:
        """The Keras layer's configuration, and `quant_config`."""
        config = {
            **super().get_config(),
            "quant_config": copy.deepcopy(self.quant_config),
        }
        if self.calibrated_inputs is not None:
            config["calibrated_inputs"] = dict(self.calibrated_inputs)
        return config


def held_inputs(dtype: tf.DType) -> tuple[int, int]:
    """The integers that a layer takes from a plain tensor of a dtype."""
    return signed_codes(15 if dtype == tf.int16 else 8)


def _shape_of(x) -> tf.TensorShape:
    return x.shape


def _way_out(x) -> str:
    if isinstance(x, QFloat):
        return (
            "give the layer before an output_quantizer, which turns its accumulator "
            "into a FixedPoint."
        )
    if isinstance(x, QTensor):
        return "put it where its inputs are of an accepted class."
    return "put it after a quantized layer, not after the model's input."
