"""What makes the rows of a fusion group: packed layers, float convolutions, poolings."""

from larqlite_runtime.planner.producers._any_conv import any_conv_of
from larqlite_runtime.planner.producers._float_conv import (
    FloatConv,
    Numbers,
    float_conv_of,
)
from larqlite_runtime.planner.producers._half_conv import (
    PixelScale,
    byte_sums,
    pixel_sums,
)
from larqlite_runtime.planner.producers._packed import Packed, packed_or_why
from larqlite_runtime.planner.producers._pooling import Pool, pool_of
from larqlite_runtime.planner.producers._sum_forms import SumForm

__all__ = [
    "FloatConv",
    "Numbers",
    "Packed",
    "PixelScale",
    "Pool",
    "SumForm",
    "any_conv_of",
    "byte_sums",
    "float_conv_of",
    "packed_or_why",
    "pixel_sums",
    "pool_of",
]
