"""Quantizers whose range is the last batch's, a moving average, or a running one."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.math import as_floating
from larqlite.primitives import (
    batch_range,
    centred_along_axis,
    fake_quant,
    ranges_of_samples,
)
from larqlite.qat.quantizers._calibration import (
    OF_HISTOGRAMS,
    calibration,
    is_unrounded,
    is_weight,
)
from larqlite.qat.quantizers._interface import Quantizer, bits, boolean

__all__ = [
    "AllValuesQuantizer",
    "LastValueQuantizer",
    "MovingAverageQuantizer",
]

MOMENTUM = 0.999


class _RangeQuantizer(Quantizer):
    """What quantizers share that keep the minimum and maximum of a tensor."""

    initial_range = 6.0
    # Whether a calibration may take the mean of the samples' ranges.
    follows_average = False

    def __init__(
        self,
        num_bits: int = 8,
        per_axis: bool = False,
        symmetric: bool = False,
        narrow_range: bool = False,
    ):
        where = type(self).__name__
        self.num_bits = bits(where, num_bits)
        self.per_axis = boolean(where, "per_axis", per_axis)
        self.symmetric = boolean(where, "symmetric", symmetric)
        self.narrow_range = boolean(where, "narrow_range", narrow_range)

    @property
    def precision(self) -> int:
        """Bits of a quantized value."""
        return self.num_bits

    def build(self, tensor_shape, name, layer):
        shape = (self._channels(tensor_shape, name, layer),) if self.per_axis else ()

        def variable(end: str, value: float):
            # Each replica follows its own part of the batch, and a save takes the
            # mean, as for the statistics of BatchNormalization.
            return layer.add_weight(
                name=f"{name}_{end}",
                shape=shape,
                dtype="float32",
                initializer=tf_keras.initializers.Constant(value),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.MEAN,
                experimental_autocast=False,
            )

        return {
            "min_var": variable("min", -self.initial_range),
            "max_var": variable("max", self.initial_range),
        }

    def _channels(self, tensor_shape, name, layer) -> int:
        shape = tf.TensorShape(tensor_shape)
        if not shape.rank or shape[-1] is None:
            raise ArgumentError(
                f'{type(self).__name__}, "{name}" of layer "{layer.name}": per_axis=True '
                f"needs to know the length of the last axis, but the shape is {shape}.\n"
                "  Fix: give the layer an input of known size, or use per_axis=False."
            )
        return shape[-1]

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs, training, weights, **kwargs):
        inputs = as_floating(inputs, type(self).__name__)
        if is_unrounded():
            return inputs
        batch = calibration()
        if batch is not None and not is_weight():
            self._observe(batch, inputs, weights)
            return inputs
        ends, bounds = self._ends(inputs, training, weights)
        return self._quantized(inputs, ends, bounds)

    def _quantized(self, inputs, ends, bounds) -> tf.Tensor:
        return fake_quant(
            *(inputs, *ends, self.num_bits, self.narrow_range, self.per_axis),
            bounds=bounds,
        )

    def _ends(self, inputs, training, weights) -> tuple:
        """The range to quantize to, and that of `inputs` or None."""
        calibrated = calibration()
        if calibrated is not None:
            known = calibrated.of_weights.get(id(weights["min_var"]))
            if known is not None:
                return tuple(tf.constant(end, tf.float32) for end in known), None
            batch = self._ends_of(inputs)
            return _stored(batch, weights), batch
        if tf.is_tensor(training):
            constant = tf.get_static_value(training)
            if constant is None:
                return self._ends_if(training, inputs, weights), None
            training = constant
        if not training:
            return _read(weights), None
        batch = self._ends_of(inputs)
        return self._update(batch, weights), batch

    def _observe(self, batch, inputs, weights) -> None:
        """Takes a batch of a calibration into the stored range."""
        if batch.method in OF_HISTOGRAMS and self.num_bits > 1:
            batch.count(self, inputs, weights)
            return
        ends = ranges_of_samples(
            inputs, self.symmetric, self.narrow_range, self.num_bits, self.per_axis
        )
        key = id(weights["min_var"])
        stored, ends = batch.with_earlier_calls(key, _read(weights), ends)
        method = batch.method if self.follows_average else "minmax"
        method = "moving_average" if self.num_bits == 1 else method
        _stored(batch.updated(stored, ends, method), weights)

    def _ends_if(self, training, inputs, weights) -> tuple:
        return tf.cond(
            tf.cast(training, tf.bool),
            lambda: self._update(self._ends_of(inputs), weights),
            lambda: _read(weights),
        )

    def _ends_of(self, inputs):
        return batch_range(
            inputs, self.symmetric, self.narrow_range, self.num_bits, self.per_axis
        )

    def _update(self, batch, weights) -> tuple:
        """Stores the range after `batch`'s, in training, and returns it."""
        raise NotImplementedError

    def get_config(self) -> dict:
        return {
            "num_bits": self.num_bits,
            "per_axis": self.per_axis,
            "symmetric": self.symmetric,
            "narrow_range": self.narrow_range,
        }


@register_object(bare=False)
class LastValueQuantizer(_RangeQuantizer):
    r"""Quantizes to the range of the tensor itself, and keeps the last one.

    In training the stored range becomes that of `inputs`:

    $$ [min, max] \leftarrow R(x) $$

    otherwise the stored one (at first [-6, 6]) is used. $R$ is [min(x, 0), max(x, 0)],
    or, if symmetric, the smallest range around 0 that holds x; one bit has the levels
    $\pm \mathrm{mean} |x|$. The rounding to $2^{bits}$ levels and its gradient, 1 inside
    the range and 0 outside, are those of TensorFlow's fake quantization.

    Args:
        num_bits: bits of a value, 1 to 16.
        per_axis: whether each index of the last axis has its own range.
        symmetric: whether the range has 0 in its middle.
        narrow_range: whether the lowest code is left out (8 bits: -127 to 127).

    Raises:
        ArgumentError: an argument is not allowed, or `per_axis` with an unknown length.

    Example:
        >>> quantizer = lq.qat.quantizers.LastValueQuantizer(2, narrow_range=True)
        >>> weights = quantizer.build(None, "kernel", tf_keras.layers.Layer())
        >>> quantizer(tf.constant([-0.5, 0.2, 0.3]), True, weights).numpy().tolist()
        [-0.5, 0.0, 0.5]
        >>> float(weights["max_var"])
        0.5

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
        Bengio et al. 2013, https://arxiv.org/abs/1308.3432 (straight-through gradient).
        XNOR-Net, https://arxiv.org/abs/1603.05279, eq. 6 (one bit).
    """

    def __init__(
        self,
        num_bits: int = 8,
        per_axis: bool = False,
        symmetric: bool = True,
        narrow_range: bool = False,
    ):
        super().__init__(num_bits, per_axis, symmetric, narrow_range)

    def _quantized(self, inputs, ends, bounds):
        if (
            bounds is None
            or not (self.per_axis and self.symmetric and self.narrow_range)
            or self.num_bits == 1
        ):
            return super()._quantized(inputs, ends, bounds)
        values = tf.cast(inputs, tf.float32)
        return tf.cast(centred_along_axis(values, ends[1], self.num_bits), inputs.dtype)

    def _update(self, batch, weights):
        return _stored(batch, weights)


@register_object(bare=False)
class MovingAverageQuantizer(_RangeQuantizer):
    r"""Quantizes to a moving average of the ranges of the batches.

    In training, with $R(x)$ as in `LastValueQuantizer`:

    $$ [min, max] \leftarrow [min, max] - 0.001 \, ([min, max] - R(x)) $$

    and the result is used, otherwise the stored range; it starts at [-6, 6].

    Args:
        num_bits: bits of a value, 1 to 16.
        per_axis: whether each index of the last axis has its own range.
        symmetric: whether the range has 0 in its middle.
        narrow_range: whether the lowest code is left out.

    Raises:
        ArgumentError: an argument is not allowed, or `per_axis` with an unknown length.

    Example:
        >>> quantizer = lq.qat.quantizers.MovingAverageQuantizer()
        >>> weights = quantizer.build(None, "output", tf_keras.layers.Layer())
        >>> _ = quantizer(tf.constant([0.0, 2.0]), True, weights)
        >>> round(float(weights["max_var"]), 4)
        5.996

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.1.
        Bengio et al. 2013, https://arxiv.org/abs/1308.3432 (straight-through gradient).
    """

    follows_average = True

    def _update(self, batch, weights):
        return _stored(
            [
                value - (value - end) * (1 - MOMENTUM)
                for value, end in zip(_read(weights), batch, strict=True)
            ],
            weights,
        )


@register_object(bare=False)
class AllValuesQuantizer(_RangeQuantizer):
    r"""Quantizes to the range of all values that were seen in training.

    In training, with $[a, b] = R(x)$ as in `LastValueQuantizer`:

    $$ [min, max] \leftarrow [\min(min, a, 0), \max(max, b, 0)] $$

    and the result is used, otherwise the stored range; it starts at [0, 0].

    Args:
        num_bits: bits of a value, 1 to 16.
        per_axis: whether each index of the last axis has its own range.
        symmetric: whether the range has 0 in its middle.
        narrow_range: whether the lowest code is left out.

    Raises:
        ArgumentError: an argument is not allowed, or `per_axis` with an unknown length.

    Example:
        >>> quantizer = lq.qat.quantizers.AllValuesQuantizer()
        >>> weights = quantizer.build(None, "input", tf_keras.layers.Layer())
        >>> for batch in ([0.0, 2.0], [-1.0, 1.0]):
        ...     _ = quantizer(tf.constant(batch), True, weights)
        >>> [float(weights["min_var"]), float(weights["max_var"])]
        [-1.0, 2.0]

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
        Bengio et al. 2013, https://arxiv.org/abs/1308.3432 (straight-through gradient).
    """

    initial_range = 0.0

    def _update(self, batch, weights):
        return _stored(self._with_stored(batch, _read(weights)), weights)

    def _with_stored(self, batch, stored) -> list:
        smallest, largest = stored
        return [tf.minimum(smallest, batch[0]), tf.maximum(largest, batch[1])]


def _variables(weights) -> tuple:
    return weights["min_var"], weights["max_var"]


def _read(weights) -> tuple:
    return tuple(tf.convert_to_tensor(v) for v in _variables(weights))


def _stored(ends, weights) -> tuple:
    for variable, end in zip(_variables(weights), ends, strict=True):
        variable.assign(end, read_value=False)
    return tuple(ends)
