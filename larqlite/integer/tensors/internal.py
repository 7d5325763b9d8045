"""What integer layers and exports need of quantized tensors; may change without notice.

Operations as functions, without TensorFlow's dispatch; what is computed once, when a graph
is made; exact rounding; counting of what saturates; and the limits of float types.
"""

from larqlite.integer.tensors._arithmetic import reduce_sum
from larqlite.integer.tensors._constants import (
    are_known,
    as_tensor,
    folded,
    frozen,
    is_frozen,
    is_only_signature_of,
    known,
    only_signature,
)
from larqlite.integer.tensors._products import (
    convolution,
    convolution_transpose,
    convolved,
    depthwise_convolution,
    matmul,
)
from larqlite.integer.tensors._rounding import (
    ceil_log2,
    exp2,
    round_half_even,
    round_half_up,
    straight_through,
    truncate,
)
from larqlite.integer.tensors._saturation import (
    count_saturated,
    counting,
    is_counting,
    not_counting,
)
from larqlite.integer.tensors._scaling import limited, shifted_left
from larqlite.integer.tensors._shapes import concat, gather, max_pool, moved
from larqlite.integer.tensors._storage import (
    MAX_VALUE_BITS,
    dtype_for,
    rounding_dtype_for,
)

__all__ = [
    # Operations.
    "concat",
    "convolution",
    "convolution_transpose",
    "convolved",
    "depthwise_convolution",
    "gather",
    "limited",
    "matmul",
    "max_pool",
    "moved",
    "reduce_sum",
    "shifted_left",
    # Exact rounding.
    "ceil_log2",
    "exp2",
    "round_half_even",
    "round_half_up",
    "straight_through",
    "truncate",
    # Constants of graphs.
    "are_known",
    "as_tensor",
    "folded",
    "frozen",
    "is_frozen",
    "is_only_signature_of",
    "known",
    "only_signature",
    # Reports of saturation.
    "count_saturated",
    "counting",
    "is_counting",
    "not_counting",
    # Float types that hold integers.
    "MAX_VALUE_BITS",
    "dtype_for",
    "rounding_dtype_for",
]
