"""A file as one program of the kernels, with no segment of ONNX Runtime, for other back ends."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from larqlite_runtime._arguments import tensor_names
from larqlite_runtime._errors import ArgumentError
from larqlite_runtime._graph import Shape
from larqlite_runtime._program import Buffer, KernelStep
from larqlite_runtime.planner import ExecutionPlan, Numbers, PixelScale, plan
from larqlite_runtime.reader import DEFAULT_BUDGET, ModelSource

LISTED = 12  # nodes that a message names
Pixels = bool | tuple[float | Sequence[float], float | Sequence[float]]


@dataclass(frozen=True)
class ProgramTensor:
    """An input or an output of a program, and where one image of it lies.

    Attributes:
        name: of the tensor.
        shape: as the model has it; the first is None, the batch.
        dtype: of its values.
        buffer: number of the buffer that holds it.
        is_turned: whether axis 1 lies innermost in the buffer, else the order is that of
            `shape`.
        first, channels, pixel: where it is part of a wider tensor, the first of its
            channels, how many, and those of a pixel of the whole; `pixel` is None where
            the buffer holds nothing else.
    """

    name: str
    shape: Shape
    dtype: np.dtype
    buffer: int
    is_turned: bool = False
    first: int = 0
    channels: int = 0
    pixel: int | None = None


@dataclass(frozen=True)
class WholeProgram:
    """A file as steps over buffers.

    Attributes:
        buffers: constants, tensors (with their offsets in the arena), inputs.
        steps: in order.
        inputs, outputs: of the model.
        constants: outputs that are the same for every input, by name.
        arena: bytes of all buffers of one image that are no constants and no inputs.
        metadata: of the file, as text.
        exact_inputs: names of inputs of bytes whose first layer gives what float32 gives, bit
            for bit: weights and scaled pixels have so few bits that no sum is rounded.
        plan: all that the planner knows.
    """

    buffers: list[Buffer]
    steps: tuple[KernelStep, ...]
    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]
    arena: int
    plan: ExecutionPlan
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    exact_inputs: tuple[str, ...] = ()


def whole_program(
    path_or_bytes: str | os.PathLike | bytes,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    budget: int = DEFAULT_BUDGET,
    pixels: Pixels = False,
    small: bool = False,
    where: str = "whole_program",
) -> WholeProgram:
    """Reads and plans a file for machines without Python: kernels run all of it.

    Sums are in the form that is best for the portable kernels, and floats stay float32.

    Args:
        path_or_bytes, inputs, outputs, budget: as of `larqlite_runtime.load`.
        pixels: whether inputs are bytes, whole numbers p from 0 to 255, that the first layer
            multiplies with weights of int32: True where the model scales p itself, or
            `(scale, offset)` if it is fed with `scale * p + offset`, each a number or one for
            each channel. `WholeProgram.exact_inputs` says where that is bit for bit what
            float32 gives; elsewhere a sum of n products is off by at most `n * 255 / 2^31` of
            the largest that its channel can have, which float32 may be by half as much.
        small: whether the memory of a sample matters most: buffers lie at multiples of 4
            bytes, bits are pooled as they are made (`BitPool` of `_program.py`), and a buffer
            with borders is filled before the first step that uses it, at every call
            (`filled_before`). Neither is for the native kernels.
        where: the function that messages name.

    Returns:
        The program.

    Raises:
        NoNativeStepError: nodes that no step of the kernels computes; says which.
        ModelFileError: the file is missing, damaged, or no packed model.
        ArgumentError, InputError: as of `larqlite_runtime.load`; `pixels`, but no layer
            reads an input that is only scaled before it.
    """
    scale = _scale_of(pixels, where)
    numbers = Numbers.FLOAT32 if pixels is False else Numbers.BYTES
    graph = ModelSource(path_or_bytes, budget)()
    fed, asked = tensor_names("inputs", inputs), tensor_names("outputs", outputs)
    planned = plan(
        graph,
        fed,
        asked,
        True,
        numbers,
        isa="portable",
        pixels=scale,
        small=small,
        whole=True,
    )
    if planned.numbers is not numbers:
        raise ArgumentError(
            f"{where}: pixels={pixels!r}, but no layer of this file reads an input that "
            "is only scaled channel by channel before it, and by no other layer.\n"
            "  Fix: leave `pixels` (--pixels) out; the program then takes floats."
        )
    subgraph, program = planned.subgraph, planned.program
    made = []
    for name, output in planned.outputs.items():
        port, part = output.port, output.slice
        made.append(
            ProgramTensor(
                name,
                subgraph.shapes[name],
                np.dtype(subgraph.dtypes[name]),
                port.buffer,
                bool(port.key.layout),
                part.first,
                part.channels,
                None if part.is_contiguous else part.pixel,
            )
        )
    return WholeProgram(
        program.buffers,
        tuple(step for part in program.parts for step in part),
        tuple(
            ProgramTensor(
                port.tensor,
                subgraph.shapes[port.tensor],
                program.buffers[port.buffer].dtype,
                port.buffer,
            )
            for port in planned.inputs
        ),
        tuple(made),
        program.arena,
        planned,
        {
            name: subgraph.constants[name]
            for name in subgraph.outputs
            if name not in planned.outputs
        },
        dict(graph.metadata),
        planned.exact_inputs,
    )


def _scale_of(pixels: Pixels, where: str) -> PixelScale | None:
    """What is made of pixels before they are fed."""
    if isinstance(pixels, bool):
        return None
    try:
        both = [np.asarray(one, np.float64).reshape(-1) for one in pixels]
        factor, _ = both
        is_right = bool(np.isfinite(np.concatenate(both)).all() and factor.all())
    except (TypeError, ValueError):
        is_right = False
    if not is_right:
        raise ArgumentError(
            f"{where}: pixels={pixels!r} is no scale and offset.\n"
            "  Fix: two numbers, or two lists with one for each channel, for example "
            "pixels=(1 / 127.5, -1); the scale is not 0."
        )
    # As the model would be fed: in float32.
    return PixelScale(*(one.astype(np.float32).astype(np.float64) for one in both))
