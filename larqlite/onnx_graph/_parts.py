"""What a graph is made of: values, nodes, stored weights, normalizations."""

from __future__ import annotations

import dataclasses
from typing import Any

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor between two layers.

    Attributes:
        name: of the tensor in the file.
        shape: sizes as in Keras, None for the batch, which comes first.
        is_moved: whether the file holds it channels first where Keras has the channels
            last.
        levels: which values it holds, if these are few: "sign" (-1, +1), "heaviside"
            (0, 1), "ternary" (-1, 0, 1), "steps:k" (0, 1/n, ..., 1 with n = 2^k - 1);
            else None.
    """

    name: str
    shape: Shape
    is_moved: bool = False
    levels: str | None = None

    @property
    def rank(self) -> int:
        """The number of axes, the batch included."""
        return len(self.shape)

    @property
    def stored_shape(self) -> Shape:
        """Sizes in the order of the file."""
        return channels_moved(self.shape) if self.is_moved else self.shape

    def stored_axis(self, axis: int) -> int:
        """The axis of the file that is `axis` (of either sign) in Keras."""
        axis %= self.rank
        if not self.is_moved or axis == 0:
            return axis
        return 1 if axis == self.rank - 1 else axis + 1

    def with_levels(self, levels: str | None) -> Value:
        """The same tensor, known to hold these levels."""
        return dataclasses.replace(self, levels=levels)


def channels_moved(shape: Shape) -> Shape:
    """`(batch, ..., channels)` as `(batch, channels, ...)`."""
    return (shape[0], shape[-1], *shape[1:-1])


@dataclasses.dataclass
class OnnxNode:
    """One operation of the file; attributes as Python values."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str
    domain: str
    attributes: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """A weight of the summary: which layer holds it, bits of a value, their number."""

    layer: str
    bits: int
    count: int


@dataclasses.dataclass(frozen=True)
class Normalization:
    """A scale and an offset that stand for a batch normalization.

    Attributes:
        layer: the Keras layer.
        source: name of the tensor that it normalizes.
        scale, offset: names of the two initializers.
        output: name of the normalized tensor.
        rank: of the tensor.
        axis: of the channels in Keras' shape, counted from the front.
    """

    layer: Any
    source: str
    scale: str
    offset: str
    output: str
    rank: int
    axis: int


@dataclasses.dataclass(frozen=True)
class StoredRounding:
    """A place where a quantization-aware layer rounds a tensor.

    Attributes:
        layer: path of the layer.
        role: what for, `"output"`.
        tensor: name of the rounded tensor.
        is_moved: as of its `Value`.
    """

    layer: str
    role: str
    tensor: str
    is_moved: bool
