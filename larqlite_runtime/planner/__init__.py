"""From a `CheckedGraph` to an `ExecutionPlan`; what other packages need of it."""

from larqlite_runtime.planner._accesses import (
    live_ranges_of,
    lower_bound,
    points_of,
)
from larqlite_runtime.planner._check import BrokenPlanError, check
from larqlite_runtime.planner._execution_plan import (
    ExecutionPlan,
    ExecutionStage,
    PlanOutput,
    Port,
)
from larqlite_runtime.planner._layouts import NCHW, NHWC, memory_shape, per_channel
from larqlite_runtime.planner._partition import partition_nodes
from larqlite_runtime.planner._plan import plan
from larqlite_runtime.planner._subgraph import Subgraph

__all__ = [
    "NCHW",
    "NHWC",
    "BrokenPlanError",
    "ExecutionPlan",
    "ExecutionStage",
    "PlanOutput",
    "Port",
    "Subgraph",
    "check",
    "live_ranges_of",
    "lower_bound",
    "memory_shape",
    "partition_nodes",
    "per_channel",
    "plan",
    "points_of",
]
