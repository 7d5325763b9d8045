"""Sums of products of a value and a kernel: on integers where that is exact, else on floats."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from larqlite.deploy.converters._kernels import (
    StoredKernel,
    float_values,
    grid_attributes,
    stored_codes,
)
from larqlite.onnx_graph import DOMAIN, PackedKernel
from larqlite_runtime.format import (
    BINARY,
    EXACT,
    NAMED_INPUTS,
    PACKED_LAYERS,
    TableType,
    ValueType,
    heaviside,
)

if TYPE_CHECKING:
    from larqlite.onnx_graph import Shape, Value, Writer

NO_LEVELS = "its input is not quantized to few levels"
ROWS = (
    "each token of its input has a scale of its own, which leaves sums over one token only, "
    "those of a QuantDense"
)


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


class Term(NamedTuple):
    """Sums, and what they are to be multiplied with: see `Accumulators`."""

    value: Value
    scale: np.ndarray | None


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
        terms: sums that are to be scaled and added to it.
        offset: what is added behind the scale: what the offset of the input sums up to, and
            what borders hold; float32, of the sizes of one stored image, or None.
        why_float: the reason, if it holds floats.
        row_scale: the tensor of what each row is still to be multiplied with, or None.
    """

    value: Value
    scale: np.ndarray | None
    largest: np.ndarray | None
    channel_axis: int
    why_float: str | None = None
    terms: tuple[Term, ...] = ()
    offset: np.ndarray | None = None
    row_scale: str | None = None


def accumulated(
    graph: Writer,
    value: Value,
    value_type: ValueType | TableType | None,
    kernel: StoredKernel,
    operation: PackedOperation,
) -> Accumulators:
    """Writes an operation on a value, stored as the operation needs it."""
    axis = value.rank - 1 if operation.family == "Dense" else 1
    rows = graph.rows.get(value.name)
    reason = why_float(rows.levels if rows else value_type, kernel, operation)
    if rows is not None and reason is None:
        if operation.family == "Dense":
            value = dataclasses.replace(value, name=rows.integers, levels=rows.levels)
            made = accumulated(graph, value, rows.levels, kernel, operation)
            return dataclasses.replace(made, row_scale=rows.scale)
        reason = ROWS
    if reason == NO_LEVELS:
        reason = graph.uneven.get(value.name, reason)
    if reason is not None:
        outputs = _accumulated_in_float(graph, value, kernel, operation)
        return Accumulators(outputs, None, None, axis, reason)
    pad_value, offset = operation.pad_value, None
    if value_type is not value.levels:
        value = value.with_levels(value_type)
    if value_type.is_scaled:
        offset = _offset(value, value_type, kernel, operation)
        pad_value = 0.0
    terms: list[Term] = []
    for source, unit in _integers(graph, value):
        writer = _PackedSums(graph, source, unit, kernel, operation, pad_value)
        terms += writer.terms(is_first=not terms)
    first = next(iter(kernel.packed.parts.values()))
    largest = _largest(value_type, kernel, first)
    (sums, scale), *more = terms
    return Accumulators(sums, scale, largest, axis, offset=offset, terms=tuple(more))


@dataclasses.dataclass(frozen=True)
class _PackedSums:
    """Writes the packed nodes of a kernel on integers.

    Attributes:
        source: the integers.
        unit: what an integer of 1 stands for.
    """

    graph: Writer
    source: Value
    unit: float
    kernel: StoredKernel
    operation: PackedOperation
    pad_value: float

    def terms(self, is_first: bool) -> list[Term]:
        """A term for each part of the kernel, and one for its center.

        Args:
            is_first: whether the first node gets the name of the operation alone.
        """
        kernel, name = self.kernel, self.operation.name
        name = name if is_first else f"{name}/of_{self.source.name.rpartition('/')[2]}"
        terms = []
        for streams, part in kernel.packed.parts.items():
            stored = stored_codes(self.graph, kernel, streams)
            more = f"/bits_{'_'.join(map(str, streams))}" if terms else ""
            made = self._node(part, stored, name + more, kernel.shape[0])
            terms.append(Term(made, _scale(part.scale, self.unit)))
        if kernel.packed.center is not None:
            # The input alone: sums with +1, the same in all channels of a group.
            has_groups = self.operation.attributes.get("group", 1) != 1
            channels = kernel.shape[0] if has_groups else 1
            codes = np.zeros((channels, *kernel.shape[1:]), np.uint8)
            ones = PackedKernel(codes, *BINARY)
            stored = self.graph.scale(
                self.graph.path, f"{kernel.name}/ones", ones.packed()
            )
            made = self._node(ones, stored, f"{name}/input", channels)
            center = np.broadcast_to(kernel.packed.center, (kernel.shape[0],))
            terms.append(Term(made, _scale(center, self.unit)))
        return terms

    def _node(self, part: PackedKernel, stored: str, name: str, channels: int) -> Value:
        source, operation = self.source, self.operation
        kind, attributes = part.kind, {}
        if source.levels.word not in NAMED_INPUTS or kind == "Q":
            kind = "Q"
            steps = {"input_steps": float(source.levels.steps)}
            attributes = {**grid_attributes(part), **steps}
        if operation.family == "Conv":
            attributes["pad_value"] = float(self.pad_value)
        rank = source.rank - 2 if operation.family != "Dense" else 0
        name = self.graph.node(
            f"{kind}{operation.family}{f'{rank}D' if rank else ''}",
            [source.name, stored],
            name=name,
            domain=DOMAIN,
            weight_shape=[channels, *self.kernel.shape[1:]],
            input=source.levels.word,
            **attributes,
            **operation.attributes,
        )
        shape = list(operation.output_shape)
        is_last = source.is_moved or operation.family == "Dense"
        shape[-1 if is_last else 1] = channels
        return self.graph.value(name, tuple(shape), like=source)


def why_float(
    value_type: ValueType | TableType | None,
    kernel: StoredKernel,
    operation: PackedOperation,
) -> str | None:
    """Why sums are not computed on integers; None if they are."""
    pads = any(operation.attributes.get("pads", ())) and operation.family == "Conv"
    if kernel.packed is None:
        return "its kernel is not quantized"
    if value_type is None:
        return NO_LEVELS
    if not kernel.packed.is_integer:
        return "the levels of its kernel are no integers times a scale"
    is_level = value_type.is_scaled or operation.pad_value in value_type.pad_values
    if pads and not is_level:
        return f"pad_values={operation.pad_value:g} is no level of its input"
    largest = (
        _largest(value_type, kernel, part) for part in kernel.packed.parts.values()
    )
    if max(sums.max(initial=0) for sums in largest) >= EXACT:
        return "its sums can be larger than the integers that float32 holds"
    return None


def _largest(
    value_type: ValueType | TableType, kernel: StoredKernel, part: PackedKernel
) -> np.ndarray:
    return kernel.largest_sums(part) * value_type.largest


def _scale(scale: np.ndarray | None, unit: float) -> np.ndarray | None:
    scale = (np.ones(1) if scale is None else scale).astype(np.float64) * unit
    return None if (scale == 1).all() else scale


def _integers(graph: Writer, value: Value) -> list[tuple[Value, float]]:
    """The integers that a tensor of few levels is a sum of, and the scale of each."""
    levels = value.levels

    def integers(name: str, kind: ValueType) -> Value:
        return dataclasses.replace(value, name=name, levels=kind, integers=None)

    if isinstance(levels, TableType):
        names = value.integers or graph.above(value, levels.middles)
        planes = [integers(name, heaviside()) for name in names]
        return list(zip(planes, levels.steps_up, strict=True))
    unit = levels.scale / levels.steps
    if not levels.is_scaled:
        return [(value, unit)]
    name = value.integers
    if name is None:
        name = value.name
        for op, number in (("Sub", levels.offset), ("Div", levels.scale)):
            name = graph.node(op, [name, graph.constant(np.float32(number))])
            graph.value(name, value.shape, like=value)
        name = graph.node("Round", [name])
        graph.value(name, value.shape, like=value)
    return [(integers(name, levels.unscaled), unit)]


def _offset(
    value: Value,
    value_type: ValueType | TableType,
    kernel: StoredKernel,
    operation: PackedOperation,
) -> np.ndarray | None:
    """What is added to scaled sums, since the input has an offset, and borders have not.

    With s, o of the input, p around it, and weights w: sums over taps inside of
    w (s q + o), and over those outside of w p, are s (sum of w q) + o (sum of w inside)
    + p (sum of w outside), where packed operations pad q with 0.
    """
    weights = kernel.packed.values().astype(np.float64)
    layer = next(
        found
        for found in PACKED_LAYERS.values()
        if found.family == operation.family and found.kind == "Q"
    )
    ones = np.ones((1, *value.stored_shape[1:]))
    if operation.family == "Dense":
        ones = np.ones((1, weights.shape[1]))
    attributes = {**operation.attributes, "pad_value": 0.0}
    inside = layer.sums_of(ones, weights, attributes)
    everywhere = layer.sums_of(ones, weights, {**attributes, "pad_value": 1.0})
    sums = value_type.offset * inside + operation.pad_value * (everywhere - inside)
    return sums.astype(np.float32) if sums.any() else None


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
