"""Scales of packed kernels become part of the batch normalization that follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from larqlite.deploy.exporter._downstream_quantizers import through_maxima
from larqlite.onnx_graph import Normalization, Writer, drop_unread


def fold_scales(graph: Writer, outputs: Sequence[str]) -> bool:
    """Multiplies kernel scales into batch normalizations, where no one else sees them.

    `(accumulator * kernel_scale) * scale + offset` needs one number less for each
    channel, and one pass less over the tensor, as `accumulator * (kernel_scale * scale)
    + offset`. A bias or an activation between the two keeps them apart; a maximum (pooling)
    does not, as scales are not negative.

    Args:
        graph: the graph; changed in place.
        outputs: names of the model's outputs.

    Returns:
        Whether a scale became part of a normalization.
    """
    packed_of = {packed.scaled: packed for packed in graph.packed if packed.scaled}
    changed, given_out = False, set(outputs)
    for index, normalization in enumerate(graph.normalizations):
        chain = through_maxima(graph, normalization.source)
        packed = packed_of.get(chain[-1])
        if (
            packed is None
            or packed.scaled != packed.output
            or packed.accumulator is None
            or packed.is_moved
            or any(graph.uses(t) != 1 for t in (*chain, normalization.scale))
            or not given_out.isdisjoint(chain)
            or not _fits(graph, packed, normalization)
        ):
            continue
        _fold(graph, packed, normalization)
        if len(chain) == 1:
            graph.normalizations[index] = dataclasses.replace(
                normalization, source=packed.accumulator
            )
        packed.scaled = packed.output = None
        changed = True
    drop_unread(graph, outputs)
    return changed


def _fits(graph: Writer, packed, normalization: Normalization) -> bool:
    """Whether the scales are not negative, and one for each channel normalized."""
    own = graph.constants[normalization.scale]
    is_one_each = np.broadcast_shapes(own.shape, packed.kernel_scale.shape) == own.shape
    return is_one_each and bool((packed.kernel_scale >= 0).all())


def _fold(graph: Writer, packed, normalization: Normalization) -> None:
    producer = graph.producer(packed.scaled)
    source, kernel_scale = producer.inputs
    graph.remove(producer)
    graph.redirect(packed.scaled, source)
    graph.shapes.pop(packed.scaled)
    own = graph.constants[normalization.scale]
    product = own.astype(np.float64) * graph.constants[kernel_scale]
    graph.constants[normalization.scale] = product.astype(np.float32)
