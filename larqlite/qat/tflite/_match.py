"""Which int8 tensor of a file holds the output of which layer of the model.

Names are of no help, since the converter joins them; the range, the number of values and
the order are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tf_keras

from larqlite.qat._graph import Graph, Use
from larqlite.qat._layer import QuantizeLayer
from larqlite.qat._wrapper import QuantizeWrapperV2
from larqlite.qat.forms._weight import STORED_BITS, has_range, range_of
from larqlite.qat.quantizers._gradients import nudged
from larqlite.qat.tflite._file import File, Tensor

__all__ = ["Match", "matches"]

LOWEST = -(2 ** (STORED_BITS - 1))
TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True)
class Match:
    """A layer's output in both.

    Attributes:
        layer: its name.
        tensor: the Keras tensor.
        index: the number of the tensor in the file.
        step: between levels.
        zero_point: the code of 0 in the file.
    """

    layer: str
    tensor: Any
    index: int
    step: float
    zero_point: int


def matches(model: tf_keras.Model, file: File) -> tuple[list[Match], list[str]]:
    """The outputs that could be found in the file, and names of layers that could not."""
    free = list(_activations(file))
    found, missing = [], []
    for use in Graph.of(model).uses:
        quantization = _quantization(use)
        if quantization is None:
            continue
        step, zero_point, bits = quantization
        keras_tensor = use.outputs[0].tensor
        size = keras_tensor.shape[1:].num_elements()
        fitting = [
            (producer, tensor)
            for producer, tensor in free
            if (size is None or _size(tensor) == size)
            and abs(tensor.zero_point - zero_point) <= 1
            and abs(tensor.scales[0] - step) <= TOLERANCE * step
        ]
        if not fitting:
            missing.append(use.layer.name)
            continue
        # The converter may round half a code the other way, as in a range from -1 to 1.
        exact = [entry for entry in fitting if entry[1].zero_point == zero_point]
        fitting = exact or fitting
        # What lies above a narrow range is cut off by an operation of its own.
        cut = [entry for entry in fitting if entry[0] == "MINIMUM"]
        chosen = (cut if cut and bits < STORED_BITS else fitting)[0]
        # Those before it are of earlier operations.
        free = free[free.index(chosen) + 1 :] if len(fitting) > 1 else free
        tensor = chosen[1]
        found.append(
            Match(use.layer.name, keras_tensor, tensor.index, step, tensor.zero_point)
        )
    return found, missing


def _activations(file: File) -> Iterator[tuple[str, Tensor]]:
    """`(operation, int8 tensor)` in order of computation, the inputs first."""
    for index in file.inputs:
        if file.tensors[index].dtype == "int8":
            yield "", file.tensors[index]
    for operation in file.operations:
        for index in operation.outputs:
            tensor = file.tensors[index]
            if tensor.dtype == "int8" and len(tensor.scales) == 1:
                yield operation.name, tensor


def _size(tensor: Tensor) -> int:
    size = 1
    for length in tensor.shape[1:]:
        size *= length
    return size


def _quantization(use: Use) -> tuple[float, int, int] | None:
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
    lowest, _, step = (float(v) for v in nudged(minimum, maximum, bits, narrow))
    if step == 0:
        return None
    first = LOWEST + (narrow if bits == STORED_BITS else 0)
    return step, first - round(lowest / step), bits


ENDS = ("activation", "output")
