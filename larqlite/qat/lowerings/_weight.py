"""A quantized weight in the arrangement of axes, and the width, that TFLite stores."""

from __future__ import annotations

import tensorflow as tf

from larqlite.graph import facts_of
from larqlite.primitives import fake_quant, nudged, quantized_along_axis
from larqlite.qat.quantizers import (
    AllValuesQuantizer,
    FixedQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)

__all__ = [
    "STORED_BITS",
    "Weight",
    "has_range",
    "is_symmetric",
    "range_of",
    "values_to_round",
]

STORED_BITS = 8
LARGEST_CODE = 127  # of an int8 weight, whose zero point is 0

# The most spatial axes of kernels that the converter follows.
_MOST_SPATIAL = 2

_BY_VARIABLES = (LastValueQuantizer, MovingAverageQuantizer, AllValuesQuantizer)


def has_range(quantizer) -> bool:
    """Whether a quantizer is one of larqlite's that round to a range."""
    if isinstance(quantizer, LastValueQuantizer) and hasattr(quantizer, "preserved"):
        return True
    return type(quantizer) in (*_BY_VARIABLES, FixedQuantizer)


def values_to_round(quantizer, inputs, variables) -> tf.Tensor:
    """What such a quantizer rounds: `inputs`, or what it keeps of a pruned or clustered weight."""
    if hasattr(quantizer, "preserved"):
        inputs = quantizer.preserved(inputs, variables)
    return tf.cast(inputs, tf.float32)


def range_of(quantizer, variables) -> tuple[tf.Tensor, tf.Tensor]:
    """Minimum and maximum of such a quantizer as it is now."""
    if type(quantizer) is FixedQuantizer:
        return tf.constant(quantizer.init_min), tf.constant(quantizer.init_max)
    return tuple(tf.convert_to_tensor(variables[end]) for end in ("min_var", "max_var"))


def is_symmetric(quantizer) -> bool:
    """Whether the range of such a quantizer has 0 in its middle."""
    if type(quantizer) is FixedQuantizer:
        return quantizer.init_min == -quantizer.init_max
    return quantizer.symmetric


class Weight:
    """A weight of a layer and the range that its values are rounded to.

    Args:
        view: the variable that the layer holds.
        quantizer: a quantizer that `has_range`.
        ranges: its variables.
        hook: what the view reads through.
        use: how often the layer was called before in an export. The converter takes
            equal operations together and rounds a weight that several share once more;
            ranges that differ in the last digit keep them apart.

    Attributes:
        shape: of the weight.
        dtype: of the variable.
        bits: of the quantized values.
        is_per_tensor: whether one range serves all values.
    """

    def __init__(self, view, quantizer, ranges, hook, use: int = 0):
        latent = tf.convert_to_tensor(view.latent_variable)
        self.latent = values_to_round(quantizer, latent, ranges)
        self.shape = view.shape.as_list()
        self.dtype = view.latent_variable.dtype
        self.bits = quantizer.num_bits
        self.hook = hook
        self._quantizer = quantizer
        self._ends = range_of(quantizer, ranges)
        if use:
            self._ends = tuple(end * (1 + use * 2.0**-22) for end in self._ends)

    @property
    def is_per_tensor(self) -> bool:
        return self._ends[0].shape.rank == 0

    def per_channel(self, shape, repeats: int = 1) -> tf.Tensor:
        """Quantized values of another shape, by one operation along its last axis.

        Args:
            shape: of rank 4.
            repeats: how many times the vector of ranges lies along the new last axis.
        """
        values = tf.reshape(self.latent, shape)
        if self.bits >= STORED_BITS and not is_symmetric(self._quantizer):
            # TFLite has no codes for these: their zero point would have to be 0.
            return self._by_arithmetic(values, self._along(shape[-1], repeats))
        return self._rounded(values, self._along(shape[-1], repeats), per_axis=True)

    def per_tensor(self) -> tf.Tensor:
        """Quantized values with one range, in the shape of the weight."""
        return self._rounded(self.latent, self._ends, per_axis=False)

    def stored(self, layer) -> tf.Tensor:
        """Quantized values in the shape of the weight, for an export without a lowering.

        Args:
            layer: that computes with them, in Keras' own way.
        """
        if self.is_per_tensor:
            return self.per_tensor()
        kernel = facts_of(layer).kernel
        is_followed = kernel is not None and kernel.spatial <= _MOST_SPATIAL
        if is_followed and kernel.channels_out == (-1,):
            return self._rounded(self.latent, self._ends, per_axis=True)
        return self.as_constant()

    def as_constant(self) -> tf.Tensor:
        """Quantized values by arithmetic, whose range the converter finds by itself.

        For weights whose channels do not lie on the last axis.
        """
        return self._by_arithmetic(self.latent, self._along(self.latent.shape[-1], 1))

    def _by_arithmetic(self, values, ends) -> tf.Tensor:
        if self.bits == 1:
            return fake_quant(values, *ends, 1, per_axis=True)
        narrow = self._quantizer.narrow_range
        return quantized_along_axis(
            values, *ends, self.bits, narrow, by_operation=False
        )

    def _along(self, length: int, repeats: int) -> tuple:
        """The ends of the range as vectors along the last axis."""
        if self.is_per_tensor:
            return tuple(tf.fill([length], end) for end in self._ends)
        return tuple(tf.tile(end, [repeats]) for end in self._ends)

    def _rounded(self, values, ends, per_axis: bool) -> tf.Tensor:
        narrow = self._quantizer.narrow_range
        if per_axis and 1 < self.bits < STORED_BITS:
            # By arithmetic, since the converter follows one operation, not two.
            rounded = self._by_arithmetic(values, ends)
        else:
            rounded = fake_quant(values, *ends, self.bits, narrow, per_axis=per_axis)
        if self.bits >= STORED_BITS:
            return rounded
        # The same values by the operation for 8 bits: its step is the largest fraction
        # of theirs with which they all have codes up to 127.
        step = ends[1] if self.bits == 1 else nudged(*ends, self.bits, narrow).step
        end = step / (LARGEST_CODE // self._largest_code()) * LARGEST_CODE
        return fake_quant(rounded, -end, end, STORED_BITS, True, per_axis=per_axis)

    def _largest_code(self) -> int:
        if self.bits == 1:
            return 1
        if is_symmetric(self._quantizer):
            return 2 ** (self.bits - 1) - (1 if self._quantizer.narrow_range else 0)
        return 2**self.bits - 1
