"""What the layers with packed kernels share: input quantizer, scale, bias, activation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import tf_keras

from larqlite.deploy.converters._accumulators import NO_LEVELS, Accumulators
from larqlite.deploy.converters._dispatch import activation, quantize
from larqlite.deploy.converters._quantized_dtype import QuantizedDtype, dtype_of

if TYPE_CHECKING:
    from larqlite.deploy.converters._kernels import StoredKernel
    from larqlite.onnx_graph import Value, Writer


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
        output: what the layer gives out; None once a scale was folded further on.
        largest: for each channel the largest magnitude of an accumulator.
        weight_bits: of its kernels, the widest.
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


def input_dtype(value: Value) -> QuantizedDtype | None:
    """What a packed node may count on."""
    return dtype_of(value.levels)


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
        graph.packed.append(
            PackedLayer(
                layer=layer,
                path=graph.path,
                nodes=nodes,
                input=source.name,
                quantized=quantized.name,
                accumulator=accumulators.value.name if is_exact else None,
                kernel_scale=_stored_scale(accumulators),
                scaled=scaled.name if scaled is not accumulators.value else None,
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
                    f"its input comes from {quantizer}, whose values are none of the "
                    "levels that packed layers count with (sign, heaviside, ternary, "
                    "steps of 0 to 1)"
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
    value = accumulators.value
    if accumulators.scale is None:
        return value
    stored = graph.scale(graph.path, weight, _stored_scale(accumulators))
    result = graph.node("Mul", [value.name, stored], name=name)
    return graph.value(result, value.shape, like=value)


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
