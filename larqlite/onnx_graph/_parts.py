"""What a graph is made of, besides tensors: nodes, stored weights, normalizations."""

from __future__ import annotations

import dataclasses
from typing import Any


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
