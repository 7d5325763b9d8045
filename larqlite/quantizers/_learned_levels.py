"""What quantizers with evenly spaced levels share, if their distance is learned."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from larqlite._channels import channels_shape
from larqlite.errors import ArgumentError, near_matches
from larqlite.math import as_floating, ops_of
from larqlite.primitives import other_axes, shape_along
from larqlite.quantizers._base import without_autograph
from larqlite.quantizers._multibit import MODES, require_bits
from larqlite.quantizers._own_weights import OwnWeight, WithWeights

__all__ = ["LearnedLevels"]


class LearnedLevels(WithWeights):
    r"""Base class: levels $s i + \beta$ of the integers $i$ from `low` to `high`.

    $$ q(x) = s \, \bar{v} + \beta \qquad
       \bar{v} = \mathrm{round}(\mathrm{clip}(v, low, high)) \qquad
       v = \frac{x - \beta}{s} $$

    with rounding half to even. Subclasses differ in what is learned, where that begins, and
    its gradient. What has not begun is 0; the first call in training sets it from the
    tensor of that call, after which it is trained.

    Args:
        bits: number of bits.
        mode: "weights" or "activations"; None is "weights" where a layer has it for one of
            its weights, else "activations".
        signed: whether there are levels below zero; None for weights only.
        axis: None for one of all that is learned, or the axis of the channels that have
            one each.
        **kwargs: `metrics`, and those of a Keras layer.

    Attributes:
        low, high: the integers of the lowest and the highest level.
    """

    def __init__(
        self,
        bits: int = 4,
        mode: str | None = None,
        signed: bool | None = None,
        axis: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_bits(self._where(), "bits", bits)
        if mode not in (None, *MODES):
            raise ArgumentError(
                f"{self._where()}: mode must be one of {MODES}, or None, got {mode!r}."
                f"{near_matches(str(mode), MODES)}"
            )
        if bits == 1 and (signed or (signed is None and mode == "weights")):
            raise ArgumentError(
                f"{self._where()}: bits=1 with levels below zero leaves none above it.\n"
                '  Fix: bits=2, or a sign, e.g. "ste_sign".'
            )
        self.bits, self.mode, self.signed, self.axis = bits, mode, signed, axis

    # What the levels are.

    @property
    def precision(self) -> int:
        return self.bits

    @property
    def codes_dtype(self) -> str:
        return "int8" if self.bits < 8 else "int16" if self.bits < 16 else "int32"

    @property
    def of_weights(self) -> bool:
        """Whether its inputs are weights, all of which are there in every call."""
        return self.quantizes_weights if self.mode is None else self.mode == "weights"

    @property
    def is_signed(self) -> bool:
        """Whether there are levels below zero."""
        return self.of_weights if self.signed is None else self.signed

    @property
    def low(self) -> int:
        return -(2 ** (self.bits - 1)) if self.is_signed else 0

    @property
    def high(self) -> int:
        return 2 ** (self.bits - 1) - 1 if self.is_signed else 2**self.bits - 1

    # What is learned.

    def own_weights(self, input_shape):
        return {"step": self.learned(input_shape)}

    def learned(
        self, input_shape, start: str | float = "zeros", **more: Any
    ) -> OwnWeight:
        """A weight of which there is one, or one for each channel; the first of them is
        above zero once it has begun."""
        shape = ()
        if self.axis is not None:
            shape = channels_shape(input_shape, self.axis, self._where())
        return OwnWeight(shape, start, set_by_calls=True, **more)

    @property
    def training_state(self) -> list:
        return []  # a file has levels that are not trained too

    def start_of(self, x) -> list:
        """Where the variables begin, of the first tensor in training; in `ops_of(x)`."""
        raise NotImplementedError

    def defaults(self) -> tuple[float, ...]:
        """What activations are quantized with in inference, until training has begun."""
        raise NotImplementedError

    def call(self, inputs, training=None):
        return without_autograph(self._call, inputs, training)

    def quantize(self, x):
        return without_autograph(self._call, x, None)

    def _call(self, x, training):
        x = as_floating(x, self._where())
        return self.levels(x, *self._values(x, training))

    def levels(self, x, *weights):
        return ops_of(x).with_gradient(self.rounded, self.pulled_back, x, *weights)

    def _values(self, x, training=None) -> list[tf.Tensor]:
        """What is learned, as a call uses it; one in training stores where it begins."""
        stored = [tf.convert_to_tensor(getattr(self, n)) for n in self._weight_names]
        if training is None or (not tf.is_tensor(training) and not training):
            return self._usable(self._begun(stored, x) if self.of_weights else stored)
        has_begun = tf.reduce_all(stored[0] > 0)
        begun = tf.cond(has_begun, lambda: stored, lambda: self._begun(stored, x))
        if tf.is_tensor(training):
            pairs, training = zip(begun, stored, strict=True), tf.cast(training, "bool")
            begun = [tf.where(training, *pair) for pair in pairs]
        for name, value in zip(self._weight_names, begun, strict=True):
            getattr(self, name).assign(value)
        # Gradients are those of the variables, in the call that sets them too.
        return [
            old + tf.stop_gradient(new - old)
            for old, new in zip(stored, self._usable(begun), strict=True)
        ]

    def _begun(self, stored: list[tf.Tensor], x) -> list[tf.Tensor]:
        """What is stored, where it has begun or x has nothing but zeros; else its start."""
        start = [
            tf.stop_gradient(tf.reshape(tf.cast(value, old.dtype), old.shape))
            for value, old in zip(self.start_of(x), stored, strict=True)
        ]
        stays = (stored[0] > 0) | ~(start[0] > 0)
        pairs = zip(stored, start, strict=True)
        return [tf.where(stays, old, new) for old, new in pairs]

    def _usable(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        has_begun = values[0] > 0
        pairs = zip(values, self.defaults(), strict=True)
        return [
            tf.where(has_begun, value, tf.constant(default, value.dtype))
            for value, default in pairs
        ]

    # The arithmetic, for both kinds of Keras.

    def rounded(self, x, *learned):
        """q(x) with what is learned."""
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # levels are not exact in 16 bits
            return ops.like(self.rounded(ops.float32(x), *learned), x)
        v, step, offset = self._standardized(x, *learned)
        levels = ops.round(ops.clip(v, self.low, self.high)) * step
        return levels if offset is None else levels + offset

    def pulled_back(self, x, *learned_and_gradient):
        """The gradients of x and of what is learned, from that of q(x), the last argument."""
        *learned, dy = learned_and_gradient
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # sums over many rows leave the range of 16 bits
            of_x, *rest = self.pulled_back(ops.float32(x), *learned, ops.float32(dy))
            return ops.like(of_x, x), *rest
        v, *_ = self._standardized(x, *learned)
        inside = self.passes(v)
        whole = ops.round(ops.clip(v, self.low, self.high))
        scale, axes = self.gradient_scale(x), self._shared_axes(x)
        of_learned = [
            ops.reshape(ops.sum(dy * slope, axes), tuple(old.shape)) * scale
            for slope, old in zip(self.slopes(v, whole, inside), learned, strict=True)
        ]
        pairs = zip(of_learned, learned, strict=True)
        return ops.where(inside, dy, 0), *(ops.like(g, old) for g, old in pairs)

    def step_and_offset(self, *learned) -> tuple:
        """The step between levels, and their offset if they have one."""
        return learned

    def passes(self, v):
        """Where the gradient of x passes."""
        return (v > self.low) & (v < self.high)

    def slopes(self, v, whole, inside) -> list:
        """The derivative of q by each that is learned, at each x."""
        raise NotImplementedError

    def gradient_scale(self, x) -> Any:
        """What gradients of what is learned are multiplied by."""
        return 1.0

    def _standardized(self, x, *learned):
        """v, and the step and the offset that it comes from, shaped to meet x."""
        ops = ops_of(x)
        parts = [ops.like(part, x) for part in self.step_and_offset(*learned)]
        if self.axis is not None and len(x.shape) > 1:
            shape = shape_along(len(x.shape), self.axis)
            parts = [ops.reshape(part, shape) for part in parts]
        if len(parts) == 1:
            return x / parts[0], parts[0], None
        return (x - parts[1]) / parts[0], *parts

    def forward(self, x):
        return self.rounded(x, *self._values(x))

    def derivative(self, x):
        ops = ops_of(x)
        wide = ops.float32(x) if ops.bytes_of(x) < 4 else x
        return self.passes(self._standardized(wide, *self._values(x))[0])

    def codes(self, quantized):
        return tf.round(self._standardized(quantized, *self._values(quantized))[0])

    def step_between(self, x):
        return self.step_and_offset(*self._values(x))[0]

    def _shared_axes(self, x) -> list[int] | None:
        """The axes of values with the same step; None for all."""
        return None if self.axis is None else other_axes(len(x.shape), self.axis)

    def mean_of(self, x):
        """The mean over what has the same step, in float32 at least."""
        ops = ops_of(x)
        wide = ops.float32(x) if ops.bytes_of(x) < 4 else x
        return ops.mean(wide, self._shared_axes(x))

    def max_of(self, x):
        """The largest value of what has the same step, in float32 at least."""
        ops = ops_of(x)
        wide = ops.float32(x) if ops.bytes_of(x) < 4 else x
        return ops.max(wide, self._shared_axes(x))

    def count_of(self, x) -> Any:
        """How many weights, or features of one example, have the same step; at least 1."""
        first = 0 if self.of_weights else 1
        if tf.is_tensor(x) and x.shape.rank is None:
            return tf.cast(tf.maximum(tf.size(x[:1] if first else x), 1), tf.float32)
        axes = self._shared_axes(x)
        axes = range(len(x.shape)) if axes is None else axes
        sizes = [x.shape[axis] for axis in axes if axis >= first]
        if None in sizes:
            sizes = tf.gather(tf.shape(x), [axis for axis in axes if axis >= first])
            return tf.cast(tf.maximum(tf.reduce_prod(sizes), 1), tf.float32)
        return max(math.prod(sizes), 1)

    def get_config(self) -> dict:
        own = {name: getattr(self, name) for name in ("bits", "mode", "signed", "axis")}
        return {**super().get_config(), **own}
