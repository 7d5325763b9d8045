"""The passes in their order, and `QuantizeLayoutTransform`, which runs them over a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from larqlite.qat.passes import (
    batch_norm,
    binary,
    concatenate,
    configs,
    inputs,
    merges,
    operators,
    own_inputs,
    relu,
    separable,
)

__all__ = ["PASSES", "QuantizeLayoutTransform"]

PASSES = (
    binary.run,
    separable.run,
    merges.run,
    configs.run,
    batch_norm.run,
    concatenate.run,
    relu.run,
    own_inputs.run,
    operators.run,
    inputs.run,
)


class QuantizeLayoutTransform:
    """Passes in their order; a pass is a function that edits a `LayerGraph`.

    Args:
        passes: functions of a graph; those of `larqlite.qat.passes` by default.

    Attributes:
        passes: the functions.

    Example:
        >>> lq.qat.QuantizeLayoutTransform().passes[0].__module__
        'larqlite.qat.passes.binary'
    """

    def __init__(self, passes: Sequence[Callable] | None = None):
        self.passes = tuple(PASSES if passes is None else passes)

    def apply(self, graph) -> None:
        """Runs the passes over a graph and those of the models inside of it."""
        parts = list(graph.graphs())
        for run in self.passes:
            for part in parts:
                run(part)
