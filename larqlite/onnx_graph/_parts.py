"""What a graph is made of: values, nodes, stored weights, normalizations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.onnx_graph._refusal import levels_named
from larqlite_runtime.format import TableType, ValueType

if TYPE_CHECKING:
    import onnx

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor between two layers.

    Attributes:
        name: of the tensor in the file.
        shape: sizes as in Keras, None for the batch, which comes first.
        is_moved: whether the file holds it channels first where Keras has the channels
            last.
        levels: which values it holds, if these are few, else None. A string names a type:
            "sign" (-1, +1), "heaviside" (0, 1), "ternary" (-1, 0, 1), "steps:k" (0, 1/n,
            ..., 1 with n = 2^k - 1), "integers:low:high".
        integers: of levels with a scale or an offset the tensor of integers that they were
            made of (of a table, one for each step), if they lie in the file in the same
            order; else None.

    Raises:
        ArgumentError: a string that names no type.
    """

    name: str
    shape: Shape
    is_moved: bool = False
    levels: ValueType | TableType | None = None
    integers: str | tuple[str, ...] | None = None

    def __post_init__(self):
        if isinstance(self.levels, str):
            object.__setattr__(self, "levels", levels_named(self.levels, self.name))

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

    def per_channel(self, array: Any, axis: int = -1) -> np.ndarray:
        """A number, or one for each channel, in a shape that broadcasts in the file.

        Args:
            array: `()` or `(channels,)`.
            axis: of the channels in Keras.
        """
        array = np.asarray(array)
        if not array.ndim:
            return array
        return array.reshape(-1, *[1] * (self.rank - 1 - self.stored_axis(axis)))

    def with_levels(self, levels: ValueType | TableType | str | None) -> Value:
        """The same tensor, known to hold these levels."""
        return dataclasses.replace(self, levels=levels, integers=None)


@dataclasses.dataclass(frozen=True)
class ScaledRows:
    """What a tensor is a product of: integers, and a scale of each row.

    Attributes:
        integers: the tensor of them.
        levels: which integers it holds.
        scale: the tensor of scales, with size 1 on the last axis.
    """

    integers: str
    levels: ValueType
    scale: str


def channels_moved(shape: Shape) -> Shape:
    """`(batch, ..., channels)` as `(batch, channels, ...)`."""
    return (shape[0], shape[-1], *shape[1:-1])


@dataclasses.dataclass(frozen=True, eq=False)
class OnnxNode:
    """One operation of the file. Two nodes are never equal, however alike they are.

    Attributes:
        op: its type, `"Conv"`.
        inputs: names of the tensors that it takes, "" for one that is left out.
        outputs: names of those that it gives out, likewise.
        name: of the node.
        domain: "" for the standard operations.
        attributes: as Python values.
        captured: names of the tensors around it that its subgraphs take.
        source: what it was read from, if it was.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""
    domain: str = ""
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    captured: tuple[str, ...] = ()
    source: onnx.NodeProto | None = None

    @property
    def taken(self) -> list[str]:
        """All tensors that it takes, in subgraphs too; one twice if it takes it twice."""
        return [name for name in (*self.inputs, *self.captured) if name]

    @property
    def given(self) -> list[str]:
        """All tensors that it gives out."""
        return [name for name in self.outputs if name]


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
