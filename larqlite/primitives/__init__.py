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
from larqlite.primitives._fake_quantize import fake_quant
from larqlite.primitives._fake_quantize_along_axis import (
    centred_along_axis,
    quantized_along_axis,
)
from larqlite.primitives._granularity import granularity, other_axes, shape_along
from larqlite.primitives._histogram import GrowingHistogram
from larqlite.primitives._learned_rounding import LearnedRounding, learned_rounding
from larqlite.primitives._qparams import (
    Levels,
    batch_range,
    levels_of,
    nudged,
    ranges_of_samples,
    steps_of,
)
from larqlite.primitives._range_search import (
    Codes,
    best_scale,
    codes_of,
    entropy_range,
    mse_range,
    percentile_range,
    range_of_histogram,
    squared_errors,
)
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
    # Fake quantization, and the ranges of batches.
    "Levels",
    "batch_range",
    "centred_along_axis",
    "fake_quant",
    "levels_of",
    "nudged",
    "quantized_along_axis",
    "ranges_of_samples",
    "steps_of",
    # Ranges by what rounding to them costs, and rounding by what a layer gives out.
    "Codes",
    "GrowingHistogram",
    "LearnedRounding",
    "best_scale",
    "codes_of",
    "entropy_range",
    "learned_rounding",
    "mse_range",
    "percentile_range",
    "range_of_histogram",
    "squared_errors",
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
