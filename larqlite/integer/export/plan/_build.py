"""The plan of a model, with max pooling behind the quantization that follows it."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.integer.export._check import one_of
from larqlite.integer.export._input_kinds import input_kinds, require_sizes
from larqlite.integer.export.plan._layers import Planner, with_input
from larqlite.integer.export.plan._steps import (
    ExportPlan,
    ExportStep,
    ExportTensor,
    StepOp,
)

INPUT_DTYPES = ("uint8", "int8")


def plan_of(model: tf_keras.Model, input_dtype: str | None, known=None) -> ExportPlan:
    """The steps of a model.

    Args:
        model: a calibrated integer model.
        input_dtype: which integers its inputs are, "uint8" or "int8"; None for those that
            hold what each was calibrated with.
        known: smallest and largest number of each input, where calibration has not kept
            them.
    """
    if input_dtype is not None:
        one_of(input_dtype, INPUT_DTYPES, "input_dtype")
    plan = ExportPlan(model.name)
    values = []
    kinds = input_kinds(model, input_dtype, INPUT_DTYPES, known)
    for name, tensor, kind in zip(model.input_names, model.inputs, kinds, strict=True):
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        plan.ends.append((int(low), int(high)))
        shape = (None, *tensor.shape.as_list()[1:])
        require_sizes(name, shape)
        values.append(with_input(plan, name, shape, low, high))
    planner = Planner(plan, model)
    results = planner.follow(model, values)
    for name, tensor in zip(model.output_names, results, strict=True):
        tensor = planner.as_real(None, tensor)
        tensor.uses += 1
        plan.outputs[name] = tensor
    _drop_same(plan)
    _quantize_before_max_pool(plan)
    return plan


def _drop_same(plan: ExportPlan) -> None:
    """Lets what reads a step that does nothing read what goes into it."""
    stands_for: dict[int, ExportTensor] = {}

    def real(tensor: ExportTensor) -> ExportTensor:
        return stands_for.get(id(tensor), tensor)

    for step in list(plan.steps):
        step.inputs = [real(x) for x in step.inputs]
        if step.op == StepOp.SAME:
            (x,) = step.inputs
            x.uses += step.output.uses - 1
            stands_for[id(step.output)] = x
            plan.steps.remove(step)
        if step.op == StepOp.FLOAT:
            for key in ("args", "kwargs"):
                step.data[key] = tf.nest.map_structure(real, step.data[key])
    plan.outputs = {name: real(tensor) for name, tensor in plan.outputs.items()}


def _quantize_before_max_pool(plan: ExportPlan) -> None:
    """Puts max pooling last of those that a kernel, a ReLU and a quantization follow.

    Rounding and clipping keep the order of numbers, so nothing changes; but a kernel, its
    ReLU and the quantization are one operation in integer runtimes.
    """
    is_moved = True
    while is_moved:
        is_moved = False
        for i, step in enumerate(plan.steps):
            source = step.inputs[0].step if len(step.inputs) == 1 else None
            if (
                step.op in (StepOp.RELU, StepOp.QUANTIZE)
                and source is not None
                and source.op == StepOp.MAX_POOL
                and step.inputs[0].uses == 1
            ):
                _exchange(plan.steps, source, step, i)
                is_moved = True


def _exchange(
    steps: list[ExportStep], pool: ExportStep, step: ExportStep, place: int
) -> None:
    """`pool` then `step` as `step` then `pool`; the tensor after both stays the same."""
    before, between, after = pool.inputs[0], pool.output, step.output
    between.shape = before.shape
    between.scale = after.scale if step.op == StepOp.QUANTIZE else between.scale
    step.inputs, step.output = [before], between
    pool.inputs, pool.output = [between], after
    between.step, after.step = step, pool
    if step.op == StepOp.RELU or step.data.get("is_positive"):
        pool.data["is_positive"] = True
    steps.remove(pool)
    steps.insert(steps.index(step) + 1, pool)


__all__ = ["INPUT_DTYPES", "plan_of"]
