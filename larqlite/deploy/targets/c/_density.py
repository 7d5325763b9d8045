"""Which steps of a program have more inputs that are -1 than +1, on a few samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from larqlite.deploy.targets.c._grid import grid_of
from larqlite.deploy.targets.c._layer import Layer, Memory
from larqlite.errors import ArgumentError
from larqlite_runtime.internal import StepKind, WholeProgram, run_program

Samples = np.ndarray | Mapping[str, np.ndarray]


def steps_of_zeros(whole: WholeProgram, samples: Samples, where: str) -> set[int]:
    """Runs samples through a program and counts the bits that sums of bits read.

    Args:
        whole: the program.
        samples: an array for each input by name, the samples on the first axis; the array alone
            if there is one input.
        where: the function that was called, for messages.

    Returns:
        Numbers of steps, from 1 on.

    Raises:
        ArgumentError: samples of another shape, or of inputs that there are not.
    """
    ones: dict[int, float] = {}
    memory = Memory(whole.buffers, {})

    def look(number: int, arrays: Sequence[np.ndarray]) -> None:
        step = whole.steps[number - 1]
        if step.kind == StepKind.CONV:
            layer = Layer(step, number, memory)
            share = _share_of_ones(layer, arrays[step.input.buffer])
            ones[number] = ones.get(number, 0.0) + share

    given = _arrays(whole, samples, where)
    count = len(next(iter(given.values())))
    for index in range(count):
        run_program(whole, {name: array[index] for name, array in given.items()}, look)
    return {number for number, share in ones.items() if share > 0.5 * count}


def _share_of_ones(layer: Layer, words: np.ndarray) -> float:
    """Of the inputs of a step, how many are -1."""
    step, grid = layer.step, grid_of(layer)
    each = step.input_planes * step.groups * step.words
    first = step.input.offset + grid.first
    places = first + sum(
        np.arange(count).reshape([-1 if axis == at else 1 for at in range(4)]) * pitch
        for axis, (count, pitch) in enumerate(
            zip((*grid.in_size, each), (*grid.pitch, 1), strict=True)
        )
    )
    bits = np.unpackbits(
        np.ascontiguousarray(words.view(np.uint32)[places]).view(np.uint8)
    )
    inputs = np.prod(grid.in_size) * step.input_planes * step.groups * grid.channels
    return float(bits.sum() / inputs)


def _arrays(whole: WholeProgram, samples: Samples, where: str) -> dict[str, np.ndarray]:
    names = [tensor.name for tensor in whole.inputs]
    if not isinstance(samples, Mapping):
        samples = {names[0]: samples}
    if set(samples) != set(names):
        raise ArgumentError(
            f"{where}: samples are of {', '.join(map(repr, samples))}, and the inputs are "
            f"{', '.join(map(repr, names))}.\n  Fix: an array for each of these, by name."
        )
    given, counts = {}, set()
    for tensor in whole.inputs:
        array = np.asarray(samples[tensor.name])
        shape = tensor.shape[1:]
        if array.shape[1:] != shape or not len(array):
            raise ArgumentError(
                f'{where}: samples of "{tensor.name}" have the shape {array.shape}.\n'
                f"  Fix: (samples, {', '.join(map(str, shape))})."
            )
        given[tensor.name] = array.astype(tensor.dtype)
        is_float = tensor.dtype == np.float32
        if not is_float and not np.array_equal(given[tensor.name], array):
            raise ArgumentError(
                f'{where}: "{tensor.name}" takes whole numbers from 0 to 255, and the samples '
                "have others.\n  Fix: pixels as they are before they are scaled."
            )
        counts.add(len(array))
    if len(counts) > 1:
        raise ArgumentError(
            f"{where}: inputs have {sorted(counts)} samples.\n  Fix: as many of each."
        )
    return given
