"""`QuantizeLayoutTransform`: the passes that a scheme runs over the graph of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["QuantizeLayoutTransform"]


class QuantizeLayoutTransform:
    """Passes in their order; a pass is a function that edits a `Graph`.

    Args:
        passes: functions of a graph; those of `larqlite.qat.passes` by default.

    Attributes:
        passes: the functions.

    Example:
        >>> lq.qat.QuantizeLayoutTransform().passes[0].__module__
        'larqlite.qat.passes.binary'
    """

    def __init__(self, passes: Sequence[Callable] | None = None):
        if passes is None:
            from larqlite.qat.passes import PASSES

            passes = PASSES
        self.passes = tuple(passes)

    def apply(self, graph) -> None:
        """Runs the passes over a graph and those of the models inside of it."""
        parts = list(graph.graphs())
        for run in self.passes:
            for part in parts:
                run(part)
