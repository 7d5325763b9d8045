"""Runs a whole program for one image, without an engine: what other back ends should give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from larqlite_runtime._errors import InputError
from larqlite_runtime._program import KernelStep, TensorView, strides
from larqlite_runtime._whole_program import ProgramTensor, WholeProgram
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.backends.numpy import Run, run as run_in_numpy


def run_program(
    whole: WholeProgram,
    inputs: Mapping[str, np.ndarray],
    look: Callable[[int, list[np.ndarray]], None] | None = None,
) -> dict[str, np.ndarray]:
    """What a program makes of one image, by the portable kernels, or NumPy where there are none.

    Args:
        whole: the program.
        inputs: an array for each of its inputs by name, without the batch, of its type.
        look: is called behind each step with its number, from 1 on, and the flat arrays of
            all buffers.

    Returns:
        The outputs by name, without the batch.

    Raises:
        InputError: an input is missing, or of another size or type.
    """
    arrays = []
    for buffer in whole.buffers:
        if buffer.constant is not None:
            arrays.append(buffer.constant.reshape(-1))
            continue
        array = np.zeros(buffer.count, buffer.dtype)
        if buffer.initial is not None:
            array[...] = np.reshape(buffer.initial, -1)
        arrays.append(array)
    for tensor in whole.inputs:
        arrays[tensor.buffer] = _given(tensor, inputs)
    for number, step in enumerate(whole.steps, 1):
        if _native.library() is None:
            run_in_numpy([step], arrays, 1)
        else:
            _run_natively(step, arrays)
        if look is not None:
            look(number, arrays)
    made = {tensor.name: _made(tensor, arrays) for tensor in whole.outputs}
    return made | {name: array[0] for name, array in whole.constants.items()}


def _run_natively(step: KernelStep, arrays: list[np.ndarray]) -> None:
    """A step in the portable kernels; bits that it pools are pooled behind it."""
    memory, ops, pooled = list(arrays), [], []
    for op in step.ops:
        if op.pool is None:
            ops.append(op)
            continue
        shape = *step.size, op.words
        view = TensorView(len(memory), 0, *strides((1, *shape))[:-1])
        words = np.zeros(shape, np.uint32)
        memory.append(words.reshape(-1))
        ops.append(replace(op, view=view, pool=None))
        pooled.append((op, words))
    buffers = (CBuffer * len(memory))(
        *(CBuffer(array.ctypes.data, array.nbytes) for array in memory)
    )
    part = _native.Part([replace(step, ops=tuple(ops))])
    part.bind(buffers, 1, 1, "portable")()
    for op, words in pooled:
        Run(step, arrays, 1).store_words(op, words[None])


def _given(tensor: ProgramTensor, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    array = inputs.get(tensor.name)
    shape = tensor.shape[1:]
    if array is None or array.shape != shape or array.dtype != tensor.dtype:
        said = "missing" if array is None else f"{array.dtype} {array.shape}"
        raise InputError(
            f'The input "{tensor.name}" is {said}.\n'
            f"  Fix: an array of {tensor.dtype} {shape}."
        )
    return np.ascontiguousarray(array).reshape(-1)


def _made(tensor: ProgramTensor, arrays: list[np.ndarray]) -> np.ndarray:
    """An output, where steps leave it."""
    sizes = tensor.shape[1:]
    turned = (*sizes[1:], sizes[0]) if tensor.is_turned else sizes
    memory = arrays[tensor.buffer]
    if tensor.pixel is not None:
        last = tensor.first + tensor.channels
        memory = memory.reshape(-1, tensor.pixel)[:, tensor.first : last].reshape(-1)
    array = memory[: math.prod(sizes)].reshape(turned)
    return (np.moveaxis(array, -1, 0) if tensor.is_turned else array).copy()
