"""Which quantizers stand behind a tensor, and where their levels begin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from larqlite.graph import names
from larqlite.onnx_graph import DOMAIN, Normalization, OnnxNode, Writer
from larqlite_runtime.format import QUANTIZERS, QuantizerOperation

if TYPE_CHECKING:
    from larqlite.deploy.converters import PackedLayer

Keras = Callable[[np.ndarray], np.ndarray]

# What comes out of these went in, so a quantizer behind them is one of what went in.
_KEEPING_VALUES = names(
    "Identity Transpose Reshape Flatten Squeeze Unsqueeze MaxPool GlobalMaxPool Concat "
    "Slice Gather Pad Expand Tile DepthToSpace SpaceToDepth"
)
_KEEPING_CHANNELS = names("Identity MaxPool GlobalMaxPool")


@dataclasses.dataclass(frozen=True)
class DownstreamQuantizer:
    """A quantizer behind a tensor of channels.

    Attributes:
        node: that quantizes.
        shift: what is subtracted before, one number for each channel, or None.
        divisor: what values are divided by then, one number or one for each channel, or None.
    """

    node: OnnxNode
    shift: np.ndarray | None = None
    divisor: np.ndarray | None = None

    @property
    def _quantizer(self) -> QuantizerOperation:
        return QUANTIZERS[self.node.op]

    @property
    def levels(self) -> int:
        """How many there are."""
        return self._quantizer.type_of(self.node.attributes).levels

    def codes(self, values: np.ndarray) -> np.ndarray:
        """The number of the level of each float32 value, `(..., channels)`."""
        if self.shift is not None:
            values = values - self.shift
        if self.divisor is not None:
            values = values / self.divisor
        return self._quantizer.levels_of(values, self.node.attributes)

    def fitting(
        self, offset: np.ndarray, before: np.ndarray, after: np.ndarray
    ) -> list[np.ndarray]:
        """The offsets next to `offset` that put a sign where it belongs.

        Args:
            offset: one for each channel.
            before, after: what it is added to, one step before and at the threshold.
        """
        is_moved = self.shift is not None or self.divisor is not None
        if is_moved or self.node.op not in ("Sign", "Heaviside"):
            return []
        # A sum of floats is below zero just when it is without rounding.
        lowest, highest = -after, -before
        if self.node.op == "Sign":
            highest = np.nextafter(highest, np.float32(-np.inf))
        else:
            lowest = np.nextafter(lowest, np.float32(np.inf))
        candidates = (np.maximum(offset, lowest), np.minimum(offset, highest))
        return [candidate + np.float32(0) for candidate in candidates]


@dataclasses.dataclass(frozen=True)
class _Place:
    """A tensor behind the first one, and what happened to the values on the way."""

    name: str
    shift: np.ndarray | None = None
    divisor: np.ndarray | None = None
    has_channels: bool = True
    is_clipped: bool = False
    is_rectified: bool = False

    @property
    def is_moved(self) -> bool:
        """Whether values are others than those of the first tensor."""
        return self.shift is not None or self.divisor is not None

    def shows_levels_of(self, node: OnnxNode) -> bool:
        """Whether a quantizer here gives what it gives of the first tensor's values."""
        if self.is_clipped:
            return node.op in ("Sign", "Heaviside")
        starts_at_zero = node.op in ("Heaviside", "Steps") or (
            node.op == "Integers" and node.attributes["low"] == 0
        )
        return starts_at_zero or not self.is_rectified


def through_maxima(graph: Writer, tensor: str) -> list[str]:
    """A tensor, and those that it holds the maxima of, up to the first that is none."""
    return graph.upstream(tensor, _KEEPING_CHANNELS)


def downstream_quantizers(graph: Writer, tensor: str) -> list[DownstreamQuantizer]:
    """The quantizers of a tensor, at once or behind nodes that keep values.

    Of several that quantize alike, only the first is given.
    """
    found: dict[Any, DownstreamQuantizer] = {}
    pending, seen = [_Place(tensor)], {tensor}
    while pending:
        place = pending.pop()
        for node in graph.consumers(place.name):
            if node.domain == DOMAIN and node.op in QUANTIZERS:
                if place.shows_levels_of(node):
                    moved = (place.shift, place.divisor)
                    moves = (None if m is None else m.tobytes() for m in moved)
                    key = (node.op, *node.attributes.items(), *moves)
                    found.setdefault(key, DownstreamQuantizer(node, *moved))
                continue
            after = _next_place(graph, node, place)
            if after is not None and after.name not in seen:
                seen.add(after.name)
                pending.append(after)
    return list(found.values())


def _next_place(graph: Writer, node: OnnxNode, place: _Place) -> _Place | None:
    """The output of a node through which levels of the first tensor can be seen."""
    output = node.outputs[0]
    if node.op in _KEEPING_VALUES and not node.domain:
        keeps = place.has_channels and node.op in _KEEPING_CHANNELS
        is_data = node.inputs[0] == place.name or node.op == "Concat"
        if is_data and (keeps or not place.is_moved):
            return dataclasses.replace(place, name=output, has_channels=keeps)
    if node.inputs[0] != place.name or place.divisor is not None:
        return None
    if place.shift is None and node.op == "Clip" and _holds_zero(graph, node):
        return dataclasses.replace(place, name=output, is_clipped=True)
    if place.shift is None and node.op == "Relu":
        return dataclasses.replace(place, name=output, is_rectified=True)
    if node.op not in ("Sub", "Div") or not place.has_channels or place.is_clipped:
        return None
    number = graph.constants.get(node.inputs[1])
    if number is None or number.size != max(number.shape, default=1):
        return None
    if node.op == "Div" and (number > 0).all():
        return dataclasses.replace(place, name=output, divisor=number.ravel())
    if node.op == "Sub" and place.shift is None and not place.is_rectified:
        return dataclasses.replace(place, name=output, shift=number.ravel())
    return None


def _holds_zero(graph: Writer, node: OnnxNode) -> bool:
    bounds = [graph.constants.get(name) for name in node.inputs[1:]]
    if len(bounds) != 2 or any(bound is None for bound in bounds):
        return False
    return bool(bounds[0] < 0 < bounds[1])


def in_keras(
    packed: PackedLayer, normalization: Normalization | None, accumulators: np.ndarray
) -> np.ndarray:
    """What the Keras layers make of accumulators `(rows, channels)`."""
    values = tf.constant(accumulators, tf.float32)
    for part, operation in ((packed.kernel_scale, tf.multiply), (packed.bias, tf.add)):
        if part is not None:
            values = operation(values, part.ravel())
    if normalization is None:
        return values.numpy()
    shape = [1] * normalization.rank
    shape[0], shape[normalization.axis] = accumulators.shape
    outputs = normalization.layer(tf.reshape(values, shape), training=False)
    return tf.reshape(outputs, accumulators.shape).numpy()


def rising(keras: Keras, largest: np.ndarray) -> np.ndarray:
    """1 for each channel in which values grow with accumulators, -1 for the others."""
    return np.where(keras(largest[None]) >= keras(-largest[None]), 1, -1)


def crossings_of(
    keras: Keras,
    quantizer: DownstreamQuantizer,
    largest: np.ndarray,
    direction: np.ndarray,
) -> np.ndarray:
    """For each level and channel the first integer that reaches it, in the direction in
    which values grow; one more than the largest if none does."""
    levels = np.arange(1, quantizer.levels)[:, None]
    low = np.broadcast_to(-largest, (len(levels), largest.size)).copy()
    high = np.broadcast_to(largest + 1, low.shape).copy()
    while (low < high).any():
        middle = (low + high) // 2
        reaches = quantizer.codes(keras(direction * middle)) >= levels
        is_open = low < high
        high = np.where(is_open & reaches, middle, high)
        low = np.where(is_open & ~reaches, middle + 1, low)
    return low
