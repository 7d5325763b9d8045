"""The quantizer whose range is given and does not change."""

from __future__ import annotations

import tensorflow as tf

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.primitives import fake_quant
from larqlite.qat.quantizers._calibration import is_unrounded
from larqlite.qat.quantizers._interface import Quantizer, bits, boolean, number

__all__ = ["FixedQuantizer"]


@register_object(bare=False)
class FixedQuantizer(Quantizer):
    r"""Quantizes to a range that is given and does not change.

    Rounding and gradient are those of `LastValueQuantizer`. The range is moved by up to
    half a step, so that 0 is a level.

    Args:
        num_bits: bits of a value, 1 to 16; one bit has the levels ± `init_max`.
        init_min: lower end of the range, <= 0.
        init_max: upper end of the range, >= 0 and above `init_min`.
        narrow_range: whether the lowest code is left out.

    Raises:
        ArgumentError: an argument is not allowed, or not with the others.

    Example:
        >>> quantizer = lq.qat.quantizers.FixedQuantizer(2, 0.0, 3.0)
        >>> quantizer(tf.constant([-1.0, 1.2, 9.0]), False, {}).numpy().tolist()
        [0.0, 1.0, 3.0]

    References:
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
    """

    def __init__(
        self,
        num_bits: int = 8,
        init_min: float = -6.0,
        init_max: float = 6.0,
        narrow_range: bool = False,
    ):
        where = type(self).__name__
        self.num_bits = bits(where, num_bits)
        self.init_min = number(where, "init_min", init_min)
        self.init_max = number(where, "init_max", init_max)
        self.narrow_range = boolean(where, "narrow_range", narrow_range)
        if not self.init_min <= 0 <= self.init_max or self.init_min == self.init_max:
            raise ArgumentError(
                f"{where}: the range from init_min={init_min!r} to init_max={init_max!r} "
                "must contain 0 and more than one value, since 0 has to be a level.\n"
                "  Fix: init_min <= 0 <= init_max, e.g. init_min=0.0, init_max=6.0."
            )
        if self.num_bits == 1 and self.init_min != -self.init_max:
            raise ArgumentError(
                f"{where}: with num_bits=1 the levels are minus and plus init_max, but "
                f"init_min={init_min!r} is not minus init_max={init_max!r}.\n"
                f"  Fix: init_min={-self.init_max!r}, or num_bits=2."
            )

    @property
    def precision(self) -> int:
        """Bits of a quantized value."""
        return self.num_bits

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs, training, weights, **kwargs):
        if is_unrounded():
            return inputs
        return fake_quant(
            inputs,
            tf.constant(self.init_min),
            tf.constant(self.init_max),
            self.num_bits,
            self.narrow_range,
        )

    def get_config(self) -> dict:
        return {
            "num_bits": self.num_bits,
            "init_min": self.init_min,
            "init_max": self.init_max,
            "narrow_range": self.narrow_range,
        }
