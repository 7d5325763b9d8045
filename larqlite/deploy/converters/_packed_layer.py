"""What the layers with packed kernels share: input quantizer, scale, bias, activation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import tf_keras

from larqlite.deploy.converters._accumulators import (
    NO_LEVELS,
    Accumulators,
    PackedOperation,
    accumulated,
)
from larqlite.deploy.converters._dispatch import activation, quantize

if TYPE_CHECKING:
    from larqlite.deploy.converters._kernels import StoredKernel
    from larqlite.onnx_graph import Value, Writer
    from larqlite_runtime.format import ValueType


@dataclasses.dataclass
class PackedLayer:
    """One use of a layer with a packed kernel.

    Attributes:
        layer: the Keras layer.
        path: where it is.
        nodes: names of the nodes that read its kernels.
        input, quantized: tensors before and after its input quantizer.
        accumulator: tensor of integers; None if it computes on floats.
        kernel_scale: what an accumulator of 1 stands for, as stored; None stands for 1.
        scaled: the accumulators times it; None if that is not a tensor.
        biased: with the bias added; None if there is none.
        bias: its values as stored; None if there is none.
        output: what the layer gives out; None once a scale was folded further on, or where
            only the integers of its rounded output are read.
        gives_integers: whether the latter.
        row_steps: the largest integer of each row of its input, if each has a scale of its
            own, else 0.
        largest: for each channel the largest magnitude of an accumulator.
        weight_bits: of its kernels, the widest.
        levels: of the quantized input, if it computes on integers.
        is_moved: whether more than a scale lies between accumulators and scaled ones.
        why_float: why a packed kernel of it is used in float arithmetic, or None.
    """

    layer: Any
    path: str
    nodes: list[str]
    input: str
    quantized: str
    accumulator: str | None
    kernel_scale: np.ndarray | None
    scaled: str | None
    biased: str | None
    bias: np.ndarray | None
    output: str | None
    largest: np.ndarray | None
    weight_bits: int
    why_float: str | None = None
    levels: ValueType | None = None
    is_moved: bool = False
    gives_integers: bool = False
    row_steps: int = 0

    @property
    def is_linear(self) -> bool:
        """Whether it has no activation."""
        return _is_linear(self.layer)


def quantized_input(graph: Writer, layer: Any, value: Value) -> Value:
    """The input of a layer behind its input quantizer."""
    if layer.input_quantizer is None:
        return value
    return quantize(
        graph, value, layer.input_quantizer, f"{graph.path}/input_quantizer"
    )


def input_type(value: Value) -> ValueType | None:
    """What a packed node may count on."""
    return value.levels


def packed_layer(
    graph: Writer,
    layer: Any,
    source: Value,
    kernel: StoredKernel,
    operation: PackedOperation,
) -> Value:
    """A layer with one packed kernel: quantizer, sums, scale, bias, activation.

    Args:
        graph: the graph.
        layer: has `input_quantizer`, `use_bias`, `bias` and `activation`.
        source: its input, in the order that the operation needs.
        kernel: what `kernel_of` found.
        operation: that adds up its products.
    """
    quantized = quantized_input(graph, layer, source)
    result = accumulated(graph, quantized, input_type(quantized), kernel, operation)
    return finished(graph, layer, source, quantized, result, [kernel])


def finished(
    graph: Writer,
    layer: Any,
    source: Value,
    quantized: Value,
    accumulators: Accumulators,
    kernels: list[StoredKernel],
    inner: Accumulators | None = None,
) -> Value:
    """Scale, bias and activation behind the sums, and the record of the layer.

    Args:
        graph: the graph.
        layer: the layer.
        source, quantized: its input before and after the input quantizer.
        accumulators: sums of products with its kernel.
        kernels: all that it has.
        inner: the sums that these sums were made of, in a separable layer.
    """
    parts = [accumulators] if inner is None else [inner, accumulators]
    nodes = [graph.producer(part.value.name).name for part in parts]
    value = scaled = scaled_accumulators(
        graph, accumulators, "kernel_scale", f"{graph.path}/scaled"
    )
    biased = bias_values = None
    if layer.use_bias:
        bias_values = _beside_channels(
            np.asarray(layer.bias), value.rank, accumulators.channel_axis
        )
        bias = graph.weight(graph.path, "bias", bias_values, variable=layer.bias)
        name = graph.node("Add", [value.name, bias], name=f"{graph.path}/biased")
        value = biased = graph.value(name, value.shape, like=value)
    if not _is_linear(layer):
        value = activation(graph, value, layer.activation, f"{graph.path}/activation")
    if any(kernel.packed is not None for kernel in kernels):
        is_exact = accumulators.largest is not None
        quantized_name = quantized.name
        reads_integers = parts[0].largest is not None
        if reads_integers:
            quantized_name = graph.producer(parts[0].value.name).inputs[0]
        # A layer before may have quantized it, of which the integers are read.
        is_read_before = source.name == quantized.name
        graph.packed.append(
            PackedLayer(
                layer=layer,
                path=graph.path,
                nodes=nodes,
                input=quantized_name if is_read_before else source.name,
                quantized=quantized_name,
                levels=quantized.levels if reads_integers else None,
                accumulator=accumulators.value.name if is_exact else None,
                kernel_scale=_stored_scale(accumulators),
                scaled=scaled.name if scaled is not accumulators.value else None,
                is_moved=bool(accumulators.terms)
                or accumulators.offset is not None
                or accumulators.row_scale is not None,
                row_steps=0
                if parts[0].row_scale is None
                else graph.rows[quantized.name].levels.high,
                biased=biased and biased.name,
                bias=bias_values,
                output=value.name,
                largest=accumulators.largest,
                weight_bits=max(kernel.bits for kernel in kernels),
                why_float=_why_float(graph, quantized, kernels, parts),
            )
        )
        _note_of_rounded_levels(graph, kernels)
    return value


def _note_of_rounded_levels(graph: Writer, kernels: list[StoredKernel]) -> None:
    errors = [kernel.packed.error for kernel in kernels if kernel.packed]
    if max(errors):
        graph.notes.append(
            f"{graph.path}: the levels of its kernel are rounded by up to "
            f"{max(errors):.1e} of the largest, as float32 arithmetic leaves them uneven"
        )


def _why_float(
    graph: Writer,
    quantized: Value,
    kernels: list[StoredKernel],
    parts: list[Accumulators],
) -> str | None:
    """Why a packed kernel is used in float arithmetic, or None."""
    for part, kernel in zip(parts, kernels, strict=True):
        if kernel.packed is None or part.why_float is None:
            continue
        why = part.why_float
        if why == NO_LEVELS and part is parts[0]:
            quantizer = graph.quantizer_of(quantized.name)
            if quantizer is not None:
                why = (
                    f"its input comes from {quantizer}, whose converter does not say "
                    "which few levels it gives (graph.quantized says it)"
                )
        return f"the packed {kernel.name} is used in float arithmetic, since {why}"
    return None


def scaled_accumulators(
    graph: Writer, accumulators: Accumulators, weight: str, name: str
) -> Value:
    """Sums times their scale, if they have one.

    Args:
        graph: the graph.
        accumulators: what comes out of a packed node.
        weight: name of the scale in the layer.
        name: of the node.
    """
    value, shape = accumulators.value, accumulators.value.shape
    axis = accumulators.channel_axis

    def times(value: Value, scale: np.ndarray | None, number: str) -> Value:
        if scale is None:
            return value
        beside = _beside_channels(scale, value.rank, axis)
        stored = graph.scale(graph.path, weight + number, beside)
        result = graph.node("Mul", [value.name, stored], name=name + number)
        return graph.value(result, shape, like=value)

    value = times(value, accumulators.scale, "")
    for number, term in enumerate(accumulators.terms, 1):
        more = times(term.value, term.scale, f"_{number}")
        result = graph.node("Add", [value.name, more.name], name=f"{name}/sum_{number}")
        value = graph.value(result, shape, like=value)
    if accumulators.row_scale is not None:
        inputs = [value.name, accumulators.row_scale]
        result = graph.node("Mul", inputs, name=f"{name}/of_rows")
        value = graph.value(result, shape, like=value)
    if accumulators.offset is not None:
        offset = stored_by_position(graph, weight + "_offset", accumulators.offset)
        result = graph.node("Add", [value.name, offset], name=f"{name}/moved")
        value = graph.value(result, value.shape, like=value)
    return value


def stored_by_position(graph: Writer, name: str, image: np.ndarray) -> str:
    """A constant of the sizes of one image, stored as a table of its different positions.

    Away from borders all positions hold the same.

    Args:
        graph: the graph.
        name: of the weight in the layer.
        image: `(1, channels, *size)`, or a value for each channel.
    """
    table, numbers = image, {}
    for axis in range(2, image.ndim):
        rows = np.moveaxis(table, axis, 0).reshape(table.shape[axis], -1)
        _, first, number = np.unique(
            rows, axis=0, return_index=True, return_inverse=True
        )
        if len(first) < len(rows):
            table = np.take(table, first, axis)
            numbers[axis] = number.reshape(-1).astype(np.int64)
    tensor = graph.scale(graph.path, name, table)
    for axis, number in numbers.items():
        if table.shape[axis] == 1:
            continue
        tensor = graph.node("Gather", [tensor, graph.constant(number)], axis=axis)
        shape = (*table.shape[:axis], len(number), *table.shape[axis + 1 :])
        graph.shapes[tensor] = shape
        table = np.take(table, number, axis)
    return tensor


def _stored_scale(accumulators: Accumulators) -> np.ndarray | None:
    """The scale of sums as it is stored."""
    if accumulators.scale is None:
        return None
    return _beside_channels(
        accumulators.scale, accumulators.value.rank, accumulators.channel_axis
    )


def _beside_channels(array: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """One number, or one for each entry of an axis, to be combined with a tensor."""
    return array.reshape((-1, *[1] * (rank - 1 - axis))).astype(np.float32)


def _is_linear(layer: Any) -> bool:
    return layer.activation in (None, tf_keras.activations.linear)
