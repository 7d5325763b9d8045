"""What of a plan fits into the 8 bits of TFLite, and which tensors need ranges."""

from __future__ import annotations

import numpy as np

from larqlite.integer.export.plan import (
    ExportPlan,
    ExportStep,
    ExportTensor,
    StepOp,
)
from larqlite.onnx_graph import refuse


def open_tensors(plan: ExportPlan) -> list[ExportTensor]:
    """Accumulators that TFLite has to hold in 8 bits, which the model does not round.

    One that only a ReLU or a quantization takes is part of the kernel's operation.
    """
    takers = _takers(plan)
    found = []
    for step in plan.steps:
        if step.op in (StepOp.QUANTIZE, StepOp.FLOAT, StepOp.RESHAPE, StepOp.MAX_POOL):
            continue
        if _is_for_floats(step, takers):
            continue
        followers = takers.get(id(step.output), [])
        is_inner = (
            len(followers) == 1
            and followers[0].op in (StepOp.RELU, StepOp.QUANTIZE)
            and step.output.uses == 1
        )
        if not is_inner and not _is_on_grid(step):
            found.append(step.output)
    return found


def _takers(plan: ExportPlan) -> dict[int, list[ExportStep]]:
    takers: dict[int, list[ExportStep]] = {}
    for step in plan.steps:
        for x in step.inputs:
            takers.setdefault(id(x), []).append(step)
    return takers


def _is_for_floats(step: ExportStep, takers: dict[int, list[ExportStep]]) -> bool:
    """Whether a step scales what only float layers and outputs take: it is float too."""
    readers = takers.get(id(step.output), [])
    return step.op == StepOp.SCALE and all(
        reader.op == StepOp.FLOAT for reader in readers
    )


def _is_on_grid(step: ExportStep) -> bool:
    """Whether a step only moves codes of 8 bits."""
    return step.op in (
        StepOp.PERMUTE,
        StepOp.UPSAMPLE,
        StepOp.RESHAPE,
        StepOp.MAX_POOL,
    ) and all(
        x.step is not None and (x.step.op == StepOp.QUANTIZE or _is_on_grid(x.step))
        for x in step.inputs
    )


def require_8_bits(plan: ExportPlan) -> None:
    """Refuses what int8 does not hold.

    Raises:
        UnsupportedLayerError: more bits, or channels with scales of their own.
    """
    takers = _takers(plan)
    for step in plan.steps:
        if step.op == StepOp.SCALE and not _is_for_floats(step, takers):
            raise refuse(
                step.layer,
                step.path,
                "the channels or tensors that meet in it have units of their own, which "
                "TFLite has not, and no kernel has room for them in 8 bits",
                "quantize with QuantizationParams(per_tensor_activations=True) or fewer "
                "weight_bits, or lq.integer.export.to_qdq(model)",
            )
        kernel = step.data.get("kernel")
        if kernel is not None and np.abs(kernel).max() > 127:
            raise refuse(
                step.layer,
                step.path,
                "its kernel has more than 8 bits",
                "weight_bits of 8 or fewer",
            )
        if step.op == StepOp.TRANSPOSED or getattr(step.layer, "groups", 1) > 1:
            raise refuse(
                step.layer,
                step.path,
                "it is a transposed or grouped convolution",
                "lq.integer.export.to_qdq(model), which writes these",
            )
        low, high = step.data.get("low", 0), step.data.get("high", 0)
        if high - low > 255 or high > 255 or (low < 0 and high > 127):
            raise refuse(
                step.layer,
                step.path,
                f"its codes from {low} to {high} take more than 8 bits",
                "activation_bits and output_bits of 8 or fewer",
            )
