"""Passes: each edits the graph of a model before its layers are wrapped.

A pass is a module with one function, `run(graph)`. It looks at the entries that a scheme
quantizes (`passes.is_ours`) and changes their configs, or uses of layers. A user's own
`QuantizeConfig` is never changed. They run in the order of `PASSES`: `configs` has no rule
for a separable convolution that `separable` has not made two of, and says so; those that
follow `configs` do nothing without it.
"""

from larqlite.graph import classes_where
from larqlite.qat.passes._layout_transform import PASSES, QuantizeLayoutTransform
from larqlite.qat.passes._operator_configs import follow_configs
from larqlite.qat.passes._predicates import (
    computes_with_kernel,
    is_batch_normalization,
    is_linear,
    is_made_of_kernel,
    is_matchable,
    is_ours,
    is_relu,
    leave_to,
)
from larqlite.qat.passes.binary import (
    QUANT_CLASS,
    QuantLayerScheme,
    is_never_negative,
)

__all__ = [
    "BATCH_NORMALIZATIONS",
    "PASSES",
    "QUANT_CLASS",
    "QuantLayerScheme",
    "WITH_KERNEL",
    "QuantizeLayoutTransform",
    "computes_with_kernel",
    "follow_configs",
    "is_batch_normalization",
    "is_linear",
    "is_made_of_kernel",
    "is_matchable",
    "is_never_negative",
    "is_ours",
    "is_relu",
    "leave_to",
]

# The classes of Keras by name; the functions above know those of users too.
BATCH_NORMALIZATIONS = classes_where(lambda facts: facts.is_batch_normalization)
WITH_KERNEL = classes_where(lambda facts: facts.kernel is not None)
