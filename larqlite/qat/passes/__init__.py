"""Passes: each edits the graph of a model before its layers are wrapped.

A pass is a module with one function, `run(graph)`. It looks at the entries that a scheme
quantizes (`passes.is_ours`) and changes their configs, or uses of layers. A user's own
`QuantizeConfig` is never changed. They run in the order of `PASSES`: `configs` has no rule
for a separable convolution that `separable` has not made two of, and says so; those that
follow `configs` do nothing without it.
"""

from __future__ import annotations

from larqlite.qat.passes import (
    batch_norm,
    binary,
    concatenate,
    configs,
    inputs,
    operators,
    own_inputs,
    relu,
    separable,
)

PASSES = (
    binary.run,
    separable.run,
    configs.run,
    batch_norm.run,
    concatenate.run,
    relu.run,
    own_inputs.run,
    operators.run,
    inputs.run,
)
