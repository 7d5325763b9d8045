"""Offsets of batch normalizations, moved by a hair where a sign behind them needs it.

The file computes `accumulator * scale + offset`; Keras computes the same in other steps,
and rounds elsewhere. Where a value lies within a few units in the last place of a
threshold, the two could quantize it differently. Accumulators are integers in a known
range, so the accumulator at which Keras crosses each threshold can be found, and the
offset chosen so that the file crosses it there.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from larqlite.deploy.exporter._downstream_quantizers import (
    DownstreamQuantizer,
    crossings_of,
    downstream_quantizers,
    in_keras,
    rising,
    through_maxima,
)
from larqlite.onnx_graph import Normalization, Writer

if TYPE_CHECKING:
    from larqlite.deploy.converters import PackedLayer

# How far an offset may be moved, in units of its last place, to suit all thresholds.
_FARTHEST = 16


@dataclasses.dataclass(frozen=True)
class _Affine:
    """What the file computes from accumulators, `(rows, channels)`, but for the offset."""

    kernel_scale: np.ndarray | None
    bias: np.ndarray | None
    scale: np.ndarray

    def products(self, accumulators: np.ndarray) -> np.ndarray:
        values = accumulators.astype(np.float32)
        if self.kernel_scale is not None:
            values = values * self.kernel_scale
        if self.bias is not None:
            values = values + self.bias
        return values * self.scale


def move_off_ties(graph: Writer) -> bool:
    """Moves offsets so that quantizers give what they give in Keras.

    Args:
        graph: the graph, scales folded; its constants are changed in place.

    Returns:
        Whether an offset was moved.
    """
    changed = False
    packed_of = {
        packed.biased or packed.scaled or packed.accumulator: packed
        for packed in graph.packed
        if packed.accumulator is not None and packed.is_linear and not packed.is_moved
    }
    uses = Counter(normalization.offset for normalization in graph.normalizations)
    for normalization in graph.normalizations:
        packed = packed_of.get(through_maxima(graph, normalization.source)[-1])
        offset = graph.constants[normalization.offset]
        # Channels of the accumulators are those of the normalization.
        if packed is None or offset.size != packed.largest.size:
            continue
        quantizers = downstream_quantizers(graph, normalization.output)
        if quantizers and uses[normalization.offset] > 1:
            graph.notes.append(
                f"{normalization.layer.name}: is used {uses[normalization.offset]} times, "
                "so its offset is not adjusted to the sums of any one of them; a sum that "
                "lies within rounding of a threshold may be quantized otherwise"
            )
        elif quantizers:
            changed |= _move(graph, packed, normalization, quantizers)
    return changed


def _move(
    graph: Writer,
    packed: PackedLayer,
    normalization: Normalization,
    quantizers: list[DownstreamQuantizer],
) -> bool:
    """Moves the offset of a normalization to suit quantizers, and says whether."""

    def keras(accumulators: np.ndarray) -> np.ndarray:
        return in_keras(packed, normalization, accumulators)

    stored = graph.constants[normalization.offset]
    offset = stored.ravel()
    affine = _affine(graph, packed, normalization)
    largest = packed.largest.astype(np.int64)
    direction = rising(keras, largest)
    crossings = [(f, crossings_of(keras, f, largest, direction)) for f in quantizers]

    def wrong(candidate: np.ndarray) -> np.ndarray:
        return sum(
            _wrong(affine, candidate, quantizer, first, largest, direction)
            for quantizer, first in crossings
        )

    if not wrong(offset).any():
        return False
    candidates, farther = _moved(offset), []
    for quantizer, first in crossings:
        before, after = (
            affine.products(direction * np.clip(first + step, -largest, largest))
            for step in (-1, 0)
        )
        candidates += quantizer.fitting(offset, before[0], after[0])
        farther += _moved_as_products(offset, np.stack([before, after]))
    faults = [wrong(candidate) for candidate in candidates]
    if np.min(faults, axis=0).any():
        candidates += farther
        faults += [wrong(candidate) for candidate in farther]
    faults = np.stack(faults)
    distance = np.stack([np.abs(candidate - offset) for candidate in candidates])
    best = np.lexsort((distance, faults), axis=0)[0]
    channels = np.arange(offset.size)
    chosen = np.stack(candidates)[best, channels]
    graph.constants[normalization.offset] = chosen.reshape(stored.shape)
    left = int((faults[best, channels] > 0).sum())
    if left:
        graph.notes.append(
            f"{normalization.layer.name}: behind {packed.path}, {left} of {offset.size} "
            "channels cross a threshold one accumulator away from Keras"
        )
    return bool((chosen != offset).any())


def _affine(
    graph: Writer, packed: PackedLayer, normalization: Normalization
) -> _Affine:
    scale = graph.constants[normalization.scale].ravel()
    kernel_scale = packed.kernel_scale if packed.scaled is not None else None
    return _Affine(
        None if kernel_scale is None else kernel_scale.ravel(),
        None if packed.bias is None else packed.bias.ravel(),
        scale,
    )


def _wrong(
    affine: _Affine,
    offset: np.ndarray,
    quantizer: DownstreamQuantizer,
    first: np.ndarray,
    largest: np.ndarray,
    direction: np.ndarray,
) -> np.ndarray:
    """For each channel, how many levels begin elsewhere than at `first`."""
    levels = np.arange(1, quantizer.levels)[:, None]
    wrong = np.zeros(first.shape, bool)
    for step, should_reach in ((0, True), (-1, False)):
        at = first + step
        exists = (at >= -largest) & (at <= largest)
        values = affine.products(direction * at) + offset
        reaches = quantizer.codes(values) >= levels
        wrong |= exists & (reaches != should_reach)
    return wrong.sum(axis=0)


def _moved_as_products(offset: np.ndarray, products: np.ndarray) -> list[np.ndarray]:
    """The offsets, moved by units of the last place of what they are added to."""
    unit = np.spacing(np.abs(products).max(axis=(0, 1)))
    steps = np.arange(1, _FARTHEST + 1, dtype=np.float32) / 2
    return [offset + sign * step * unit for step in steps for sign in (-1, 1)]


def _moved(offset: np.ndarray) -> list[np.ndarray]:
    """The offsets, and their neighbours on either side."""
    moved = [offset]
    for bound in (np.float32(-np.inf), np.float32(np.inf)):
        neighbour = offset
        for _ in range(_FARTHEST):
            neighbour = np.nextafter(neighbour, bound)
            moved.append(neighbour)
    return moved
