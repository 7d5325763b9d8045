"""Where the outputs of integer layers are brought to few bits, and to which."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

import tf_keras

from larqlite.graph import LayerGraph, LayerUse, facts_of
from larqlite.integer._quantization_params import QuantizationParams

PER_AXIS_RANK = 3


@dataclasses.dataclass
class AttachedQuantizer:
    """The output quantizer of a layer.

    Attributes:
        per_tensor: whether one scale must hold for all channels.
    """

    per_tensor: bool

    def config(self, layer, params: QuantizationParams) -> dict:
        """Its configuration, for the float layer that it follows."""
        is_relu = isinstance(layer, tf_keras.layers.ReLU)
        bits = params.activation_bits if is_relu else params.output_bits
        return {
            "bitwidth": bits,
            "signed": bits >= 8 if is_relu else True,
            "axis": "per-tensor" if self.per_tensor else "per-axis",
        }


def output_quantizers(
    graph: LayerGraph,
    classes: dict[int, type],
    params: QuantizationParams,
    large_sums: Collection[str] = (),
) -> dict[int, AttachedQuantizer]:
    """The layers that need an output quantizer, by `id` of their entry.

    Layers that mix values need few bits in: for each, the nearest layers before it that
    can hold an output quantizer get one. Nothing is attached to the model's inputs, and the
    last layers keep their accumulators.

    Args:
        graph: the float model.
        classes: the quantized class for each entry (by `id`) that is quantized.
        params: the bit widths.
        large_sums: names of layers that need few bits in too: their sums of accumulators
            would not fit, see `_large_sums.py`.
    """
    attached: dict[int, AttachedQuantizer] = {}
    for use in reversed(graph.uses):
        cls = classes.get(id(use.entry))
        if cls is None:
            continue
        if not (cls.requires_aligned_inputs or use.entry.name in large_sums):
            continue
        if _only_moves(use) and _few_bits_follow(use, graph, classes):
            continue
        for position, edge in enumerate(use.inputs):
            per_tensor = params.per_tensor_activations or needs_per_tensor(
                cls, position
            )
            for source in holders(edge, classes):
                found = attached.setdefault(
                    id(source.entry), AttachedQuantizer(per_tensor)
                )
                found.per_tensor |= per_tensor or _is_flat(source)
    return attached


def _few_bits_follow(
    use: LayerUse, graph: LayerGraph, classes: dict[int, type]
) -> bool:
    """Whether layers such as a sign, which need no few bits, are all that read a use."""
    readers = [reader for edge in use.outputs for reader in graph.consumers(edge)]
    kinds = [None if r is None else classes.get(id(r.entry)) for r in readers]
    return all(
        kind is not None
        and (
            kind.gives_few_bits
            or (_only_moves(reader) and _few_bits_follow(reader, graph, classes))
        )
        for kind, reader in zip(kinds, readers, strict=True)
    )


def _only_moves(use: LayerUse) -> bool:
    facts = facts_of(use.layer)
    return facts.moves_values and not facts.merge


def needs_per_tensor(cls: type, position: int) -> bool:
    """Whether an input of a quantized layer must share one scale."""
    return position in getattr(cls, "per_tensor_inputs", ())


def holders(edge, classes: dict[int, type]) -> Iterator[LayerUse]:
    """The nearest layers before an edge that can hold an output quantizer."""
    use = edge.source
    if use is None or id(use.entry) not in classes:
        return
    if getattr(classes[id(use.entry)], "gives_few_bits", False):
        return
    if classes[id(use.entry)].holds_output_quantizer:
        yield use
        return
    for before in use.inputs:
        yield from holders(before, classes)


def _is_flat(use: LayerUse) -> bool:
    shape = use.outputs[0].tensor.shape if use.outputs[0].tensor is not None else None
    return shape is not None and len(shape) < PER_AXIS_RANK
