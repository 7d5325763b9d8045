"""An integer model as steps on real numbers, which QDQ and TFLite files are written from."""

from larqlite.integer.export.plan._build import plan_of
from larqlite.integer.export.plan._steps import (
    ExportPlan,
    ExportStep,
    ExportTensor,
    StepForms,
    StepOp,
    kernel_scales,
)

__all__ = [
    "ExportPlan",
    "ExportStep",
    "ExportTensor",
    "StepForms",
    "StepOp",
    "kernel_scales",
    "plan_of",
]
