"""Runs a new file once, since TFLite's converter also writes files that stop."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import tf_keras

from larqlite.errors import UnsupportedModelError
from larqlite.graph import LayerGraph
from larqlite.qat.lowerings import has_range, range_of
from larqlite.qat.tflite._file_graph import read_file
from larqlite.qat.tflite._interpreter import TFLiteInterpreter
from larqlite.qat.tflite._layer_names import layer_of
from larqlite.qat.wrapper import QuantizeLayer

__all__ = ["require_runs"]

ROWS = 2
LENGTH = 32  # of an axis whose length is not known


def require_runs(
    content: bytes,
    model: tf_keras.Model,
    layers: Sequence[str],
    outputs: Sequence[str],
    where: str,
) -> None:
    """Raises if TFLite's interpreter stops in a file.

    It gets zeros and ones, and values from all of the inputs' ranges where they are known.

    Args:
        content: the file.
        model: what it was made from.
        layers: names of its layers.
        outputs: names of the layers that the outputs come from.
        where: the public function, for messages.
    """
    try:
        runner = TFLiteInterpreter(content)
        order = [
            model.input_names.index(name) if name in model.input_names else position
            for position, name in enumerate(runner.input_names)
        ]
        for arrays in _batches(model):
            runner([arrays[position] for position in order])
    except (RuntimeError, ValueError) as error:
        if not _takes_such_data(model):
            return
        raise UnsupportedModelError(
            f'{where}: TFLite\'s interpreter stops in the file of "{model.name}"'
            f"{_place(content, str(error), layers, outputs, where)}: "
            f"{str(error).strip().splitlines()[-1][:200]}\n"
            "  Fix: compute that without TFLite, or with other layers; a float layer "
            "stops in the same way."
        ) from error


def _batches(model: tf_keras.Model) -> Iterator[list[np.ndarray]]:
    shapes = [
        [
            tensor.shape[0] or ROWS,
            *(LENGTH if n is None else n for n in tensor.shape[1:]),
        ]
        for tensor in model.inputs
    ]
    dtypes = [tensor.dtype.as_numpy_dtype for tensor in model.inputs]
    for value in (0, 1):
        yield [np.full(s, value, d) for s, d in zip(shapes, dtypes, strict=True)]
    ranges = _ranges(model)
    if not all(ranges):
        return
    rng = np.random.default_rng(0)
    yield [
        rng.uniform(*ends, shape).astype(dtype)
        for ends, shape, dtype in zip(ranges, shapes, dtypes, strict=True)
    ]


def _ranges(model: tf_keras.Model) -> list[tuple[float, float] | None]:
    """The range that the model rounds each input to, or None."""
    graph, found = LayerGraph.of(model), []
    for _, edge in graph.inputs:
        quantizers = [
            (use.layer.quantizer, use.layer.quantizer_vars)
            for use in graph.consumers(edge)
            if use is not None and isinstance(use.layer, QuantizeLayer)
        ]
        ends = None
        if quantizers and has_range(quantizers[0][0]):
            ends = tuple(float(np.min(end)) for end in range_of(*quantizers[0]))
        found.append(ends)
    return found


def _takes_such_data(model: tf_keras.Model) -> bool:
    """Whether Keras computes with what stands in for axes of unknown length."""
    if all(tensor.shape[1:].is_fully_defined() for tensor in model.inputs):
        return True
    arrays = next(_batches(model))
    try:
        model(arrays if len(arrays) > 1 else arrays[0], training=False)
    except Exception:  # whatever a layer raises of such lengths
        return False
    return True


def _place(content, message: str, layers, outputs, where: str) -> str:
    """The operation that stops, and its layer."""
    found = re.search(r"Node number (\d+) \((\w+)\)", message)
    file = read_file(content, where)
    if not found or int(found[1]) >= len(file.operations):
        return ""
    operation = file.operations[int(found[1])]
    if operation.name != found[2]:
        return f" in the operation {found[2]}"
    return f' in "{layer_of(file, operation, layers, outputs)}" ({operation.name})'
