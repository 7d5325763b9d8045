"""From a `CheckedGraph` to an `ExecutionPlan`; what other packages need of it."""

from larqlite_runtime.planner._execution_plan import (
    ExecutionPlan,
    ExecutionStage,
    PlanOutput,
    Port,
)
from larqlite_runtime.planner._layouts import NCHW, NHWC, memory_shape, per_channel
from larqlite_runtime.planner._partition import partition_nodes
from larqlite_runtime.planner._plan import plan
from larqlite_runtime.planner._subgraph import ADD_SCALED, Subgraph
from larqlite_runtime.planner.producers import Numbers, PixelScale, pixel_sums

__all__ = [
    "ADD_SCALED",
    "Access",
    "NCHW",
    "NHWC",
    "BrokenPlanError",
    "ExecutionPlan",
    "ExecutionStage",
    "Numbers",
    "PixelScale",
    "PlanOutput",
    "Port",
    "Subgraph",
    "accesses_of",
    "check",
    "live_ranges_of",
    "lower_bound",
    "memory_shape",
    "partition_nodes",
    "per_channel",
    "pixel_sums",
    "plan",
    "points_of",
]

# Looking at a plan is for tests and for `Model.explain`: loading a model needs none of it.
_ACCESSES = ("Access", "accesses_of", "live_ranges_of", "lower_bound", "points_of")


def __getattr__(name: str):
    if name == "check":
        from larqlite_runtime.planner._check import check

        return check
    if name == "BrokenPlanError":
        from larqlite_runtime.planner._check_sums import BrokenPlanError

        return BrokenPlanError
    if name in _ACCESSES:
        from larqlite_runtime.planner import _accesses

        return getattr(_accesses, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
