"""The arithmetic of quantization that several packages share, each fact of it once."""

from larqlite.primitives._exact import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    INT32_LIMIT,
    float_type,
    float_type_with_halves,
    half_step,
    int_type,
    signed_codes,
)
from larqlite.primitives._granularity import granularity, other_axes, shape_along
from larqlite.primitives._rounding import (
    ceil_log2,
    exp2,
    floor,
    half_up,
    round_half_even,
    round_half_up,
    round_log2,
    sign,
    straight_through,
    truncate,
)

__all__ = [
    # Which integers a type holds, which a width has.
    "FLOAT32_LIMIT",
    "FLOAT64_LIMIT",
    "INT32_LIMIT",
    "float_type",
    "float_type_with_halves",
    "half_step",
    "int_type",
    "signed_codes",
    # Per tensor or per axis.
    "granularity",
    "other_axes",
    "shape_along",
    # Rounding, and powers of two.
    "ceil_log2",
    "exp2",
    "floor",
    "half_up",
    "round_half_even",
    "round_half_up",
    "round_log2",
    "sign",
    "straight_through",
    "truncate",
]
