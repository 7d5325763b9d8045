"""Which int8 tensor of a file holds the output of which layer of the model.

Names are of no help, since the converter joins them; the range and the number of values
are, and where several tensors have the same, the values themselves.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tf_keras

from larqlite.graph import LayerGraph, LayerUse
from larqlite.primitives import nudged
from larqlite.qat.lowerings import STORED_BITS, has_range, range_of
from larqlite.qat.tflite._file_graph import TFLiteGraph, TFLiteOperation, TFLiteTensor
from larqlite.qat.tflite._interpreter import real_values
from larqlite.qat.tflite._layer_names import layer_of
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2

__all__ = ["Candidates", "Match", "candidates_of", "matched"]

LOWEST = -(2 ** (STORED_BITS - 1))
TOLERANCE = 1e-5
RESHAPING = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")


@dataclasses.dataclass(frozen=True)
class Match:
    """A layer's output in both.

    Attributes:
        layer: its name.
        index: the number of the tensor in the file.
        step: between levels of the model.
        scale: the step in the file: the same, but for ranges that have changed since.
        zero_point: the code of 0 in the file.
    """

    layer: str
    index: int
    step: float
    scale: float
    zero_point: int


@dataclasses.dataclass(frozen=True)
class Candidates:
    """A layer's output, and the tensors of the file that it may be.

    Attributes:
        layer: its name.
        tensor: the Keras tensor.
        step: between levels of the model.
        tensors: with this range and as many values, in order of computation.
    """

    layer: str
    tensor: Any
    step: float
    tensors: tuple[TFLiteTensor, ...]


def candidates_of(
    model: tf_keras.Model, file: TFLiteGraph
) -> tuple[list[Candidates], list[str]]:
    """The outputs that may be found in the file, and names of layers that cannot."""
    graph, tensors = LayerGraph.of(model), _activations(file)
    names = [use.layer.name for use in graph.uses]
    calls = Counter(id(use.entry) for use in graph.uses)
    found, missing = [], []
    quantizations = [(use, _quantization(use)) for use in graph.uses]
    quantizations = [(use, found) for use, found in quantizations if found is not None]
    own = [
        (operation, tensor)
        for operation, tensor in tensors
        if not any(_is_of(tensor, *found[:2]) for _, found in quantizations)
    ]
    for use, quantization in quantizations:
        fitting = _fitting(use, *quantization, tensors) or _named(use, names, file, own)
        # A layer that is called twice on one tensor is computed once.
        if not fitting or len(fitting) < calls[id(use.entry)]:
            missing.append(use.layer.name)
            continue
        found.append(
            Candidates(
                use.layer.name,
                use.outputs[0].tensor,
                quantization[0],
                tuple(fitting),
            )
        )
    return found, missing


def matched(
    candidates: Sequence[Candidates],
    values: Sequence[np.ndarray],
    codes_of: Callable[[int], np.ndarray],
) -> list[Match | None]:
    """Gives each layer a tensor of its own, by what both hold after the same batch.

    Several tensors may have one range and size, as two images that go in; the order in
    which a file computes them says nothing. Of all pairs the nearest is taken first.

    Args:
        candidates: of the layers.
        values: what each layer gives.
        codes_of: the codes of a tensor by its number.

    Returns:
        For each layer its tensor; None where others took all.
    """
    pairs = []
    for row, (layer, value) in enumerate(zip(candidates, values, strict=True)):
        for place, tensor in enumerate(layer.tensors):
            codes = codes_of(tensor.index)
            real = real_values(codes, tensor.scales[0], tensor.zero_point)
            distance = float(np.abs(value.ravel() - real.ravel()).mean())
            pairs.append((distance / layer.step, row, place))
    found: list[Match | None] = [None] * len(candidates)
    taken = set()
    for _, row, place in sorted(pairs):
        layer, tensor = candidates[row], candidates[row].tensors[place]
        if found[row] is None and tensor.index not in taken:
            taken.add(tensor.index)
            found[row] = Match(
                layer.layer,
                tensor.index,
                layer.step,
                tensor.scales[0],
                tensor.zero_point,
            )
    return found


def _fitting(
    use: LayerUse, step: float, zero_point: int, bits: int, tensors
) -> list[TFLiteTensor]:
    """The tensors with this range and as many values, in order."""
    near = [
        (operation, tensor)
        for operation, tensor in tensors
        if _is_as_large(use, tensor) and _is_of(tensor, step, zero_point)
    ]
    # Values that are only arranged in another way count where nothing else does.
    near = [entry for entry in near if entry[0].name not in RESHAPING] or near
    # The converter may round half a code the other way, as in a range from -1 to 1.
    near = [entry for entry in near if entry[1].zero_point == zero_point] or near
    if bits < STORED_BITS:
        # What lies above a narrow range is cut off by an operation of its own.
        near = [entry for entry in near if entry[0].name == "MINIMUM"] or near
    return [tensor for _, tensor in near]


def _is_of(tensor: TFLiteTensor, step: float, zero_point: int) -> bool:
    """Whether a tensor has a range."""
    is_near = abs(tensor.scales[0] - step) <= TOLERANCE * step
    return is_near and abs(tensor.zero_point - zero_point) <= 1


def _named(
    use: LayerUse, names: list[str], file: TFLiteGraph, tensors
) -> list[TFLiteTensor]:
    """The last tensor that bears the layer's name: its range is that of no layer."""
    return [
        tensor
        for operation, tensor in tensors
        if _is_as_large(use, tensor)
        and operation.name not in RESHAPING
        and operation.outputs
        and layer_of(file, operation, names) == use.layer.name
    ][-1:]


def _activations(file: TFLiteGraph) -> list[tuple[TFLiteOperation, TFLiteTensor]]:
    """`(operation, int8 tensor)` in order of computation, the inputs first."""
    inputs = TFLiteOperation("INPUT", (), ())
    found = [(inputs, file.tensors[index]) for index in file.inputs]
    for operation in file.operations:
        found += [(operation, file.tensors[index]) for index in operation.outputs]
    return [
        (operation, tensor)
        for operation, tensor in found
        if tensor.dtype == "int8" and len(tensor.scales) == 1
    ]


def _is_as_large(use: LayerUse, tensor: TFLiteTensor) -> bool:
    size = use.outputs[0].tensor.shape[1:].num_elements()
    return size is None or _size(tensor) == size


def _size(tensor: TFLiteTensor) -> int:
    size = 1
    for length in tensor.shape[1:]:
        size *= length
    return size


def _quantization(use: LayerUse) -> tuple[float, int, int] | None:
    """Step, zero point and bits of what comes out of a use, if a range quantizes it."""
    layer = use.layer
    if use.entry.graph is not None or len(use.outputs) != 1:
        return None
    if isinstance(layer, QuantizeLayer):
        quantizer, variables = layer.quantizer, layer.quantizer_vars
    elif isinstance(layer, QuantizeWrapperV2):
        last = [entry for entry in layer.value_quantizers if entry[0] in ENDS]
        if not last:
            return None
        _, quantizer, variables = last[-1]
    else:
        return None
    if not has_range(quantizer):
        return None
    minimum, maximum = range_of(quantizer, variables)
    bits, narrow = quantizer.num_bits, quantizer.narrow_range
    if minimum.shape.rank != 0 or not 1 < bits <= STORED_BITS:
        return None
    levels = nudged(minimum, maximum, bits, narrow)
    if levels.step == 0:
        return None
    first = LOWEST + (narrow if bits == STORED_BITS else 0)
    return float(levels.step), first + int(levels.zero), bits


ENDS = ("activation", "output")
