"""Sums of products of a value and a kernel: on integers where that is exact, else on floats."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.deploy.converters._kernels import (
    StoredKernel,
    float_values,
    grid_attributes,
    stored_codes,
)
from larqlite.deploy.converters._quantized_dtype import QuantizedDtype
from larqlite.onnx_graph import DOMAIN

if TYPE_CHECKING:
    from larqlite.onnx_graph import Shape, Value, Writer

# Float32 holds every integer below.
EXACT = 2**24
NO_LEVELS = "its input is not quantized to few levels"


@dataclasses.dataclass(frozen=True)
class PackedOperation:
    """What is done with a kernel.

    Attributes:
        family: "Conv", "ConvTranspose" or "Dense".
        name: of the node.
        output_shape: as in Keras.
        attributes: of the node: strides, dilations, group, pads, output_padding.
        pad_value: what the pads of a convolution are filled with.
    """

    family: str
    name: str
    output_shape: Shape
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    pad_value: float = 0.0


@dataclasses.dataclass(frozen=True)
class Accumulators:
    """What comes out.

    Attributes:
        value: the tensor.
        scale: what it is still to be multiplied with, float64, `(channels,)`, one value,
            or None.
        largest: for each channel, the largest magnitude of an accumulator; None if the
            tensor holds floats.
        channel_axis: of the stored tensor.
        why_float: the reason, if it holds floats.
    """

    value: Value
    scale: np.ndarray | None
    largest: np.ndarray | None
    channel_axis: int
    why_float: str | None = None


def accumulated(
    graph: Writer,
    value: Value,
    dtype: QuantizedDtype | None,
    kernel: StoredKernel,
    operation: PackedOperation,
) -> Accumulators:
    """Writes an operation on a value, stored as the operation needs it."""
    axis = value.rank - 1 if operation.family == "Dense" else 1
    reason = why_float(dtype, kernel, operation)
    if reason is not None:
        outputs = _accumulated_in_float(graph, value, kernel, operation)
        return Accumulators(outputs, None, None, axis, reason)
    largest = _largest(dtype, kernel)
    kind, attributes = kernel.packed.kind, {}
    if dtype.kind == "steps" or kind == "Q":
        kind = "Q"
        attributes = {**grid_attributes(kernel), "input_steps": float(dtype.steps)}
    if operation.family == "Conv":
        attributes["pad_value"] = float(operation.pad_value)
    rank = value.rank - 2 if operation.family != "Dense" else 0
    name = graph.node(
        f"{kind}{operation.family}{f'{rank}D' if rank else ''}",
        [value.name, stored_codes(graph, kernel)],
        name=operation.name,
        domain=DOMAIN,
        weight_shape=list(kernel.shape),
        input=dtype.kind,
        **attributes,
        **operation.attributes,
    )
    accumulators = graph.value(name, operation.output_shape, like=value)
    return Accumulators(accumulators, _scale(kernel, dtype), largest, axis)


def why_float(
    dtype: QuantizedDtype | None, kernel: StoredKernel, operation: PackedOperation
) -> str | None:
    """Why sums are not computed on integers; None if they are."""
    pads = any(operation.attributes.get("pads", ())) and operation.family == "Conv"
    if kernel.packed is None:
        return "its kernel is not quantized"
    if dtype is None:
        return NO_LEVELS
    if not kernel.packed.is_integer:
        return "the levels of its kernel are no integers times a scale"
    if pads and operation.pad_value not in dtype.pad_values:
        return f"pad_values={operation.pad_value:g} is no level of its input"
    if _largest(dtype, kernel).max(initial=0) >= EXACT:
        return "its sums can be larger than the integers that float32 holds"
    return None


def _largest(dtype: QuantizedDtype, kernel: StoredKernel) -> np.ndarray:
    return kernel.largest_sums() * dtype.largest


def _scale(kernel: StoredKernel, dtype: QuantizedDtype) -> np.ndarray | None:
    scale = np.ones(1) if kernel.packed.scale is None else kernel.packed.scale
    scale = scale.astype(np.float64) / dtype.steps
    return None if (scale == 1).all() else scale


def _accumulated_in_float(
    graph: Writer, value: Value, kernel: StoredKernel, operation: PackedOperation
) -> Value:
    space = range(1, len(kernel.shape) - 1)
    last = len(kernel.shape) - 1
    if operation.family == "Dense":
        weights = float_values(graph, kernel, (1, 0))
        name = graph.node("MatMul", [value.name, weights], name=operation.name)
        return graph.value(name, operation.output_shape, like=value)
    attributes = {**operation.attributes, "kernel_shape": list(kernel.shape[1:-1])}
    order = (0, last, *space)
    if operation.family == "ConvTranspose":
        order = (last, 0, *space)
    elif operation.pad_value != 0 and any(attributes["pads"]):
        value = _padded(graph, value, attributes.pop("pads"), operation.pad_value)
    weights = float_values(graph, kernel, order)
    inputs = [value.name, weights]
    name = graph.node(operation.family, inputs, name=operation.name, **attributes)
    return graph.value(name, operation.output_shape, like=value)


def _padded(graph: Writer, value: Value, pads: list[int], pad_value: float) -> Value:
    rank = len(pads) // 2
    everywhere = [0, 0, *pads[:rank], 0, 0, *pads[rank:]]
    inputs = [
        value.name,
        graph.constant(everywhere),
        graph.constant(np.float32(pad_value)),
    ]
    stored = list(value.stored_shape)
    for axis in range(rank):
        stored[2 + axis] += pads[axis] + pads[rank + axis]
    shape = (stored[0], *stored[2:], stored[1]) if value.is_moved else tuple(stored)
    name = graph.node("Pad", inputs, mode="constant")
    return graph.value(name, shape, like=value)
