"""The graph that integer converters write: deploy's, with integers of every width."""

from __future__ import annotations

import dataclasses

import numpy as np
from onnx import helper

from larqlite.integer.export._integers import Integers, smallest_kind, whole
from larqlite.onnx_graph import DOMAIN, Value, Writer, refuse


class IntegerWriter(Writer):
    """Collects what an integer ONNX file will hold.

    Attributes:
        kinds: element types of tensors that are no float32, by name.
        layers: the values that Keras layers give out, by path.
        layer: the one that is being converted.
    """

    def __init__(self):
        super().__init__()
        self.kinds: dict[str, str] = {}
        self.layers: dict[str, list[Integers]] = {}
        self.layer = None

    def exact(self, array, name: str, kind: str | None = None) -> str:
        """An initializer of integers, in the type of fewest bits or in `kind`."""
        array = whole(array)
        if kind is None:
            kind = smallest_kind(int(array.min()), int(array.max()))
        return self.stored(array.astype(kind), name)

    def stored(self, array: np.ndarray, name: str) -> str:
        """An initializer in the type that it has; equal ones are stored once."""
        return self.stored_once(np.asarray(array, order="C"), f"{self.path}/{name}")

    def along_channels(self, values, like: Integers, name: str, kind: str) -> str:
        """An initializer of one number, or one for each channel, that broadcasts."""
        array = whole(values)
        if array.ndim and len(set(array.tolist())) == 1:
            array = whole(array[0])
        return self.stored(like.per_channel(array).astype(kind), name)

    def function(self, op: str, inputs, **attributes) -> str:
        """Adds an operation of the domain `ai.larqlite`; kinds become ONNX' numbers."""
        for key in ("to", "through"):
            if key in attributes:
                attributes[key] = onnx_kind(attributes[key])
        return self.node(op, inputs, domain=DOMAIN, **attributes)

    def integers(
        self, name: str, shape, kind: str, low, high, is_moved: bool
    ) -> Integers:
        """A tensor of integers, whose type and sizes the file will state."""
        low, high = whole(low), whole(high)
        value = Integers(name, tuple(shape), is_moved, kind=kind, low=low, high=high)
        return self.stated(value)

    def stated(self, value: Value) -> Value:
        """The same value, whose sizes and type the file will state."""
        if isinstance(value, Integers):
            self.kinds[value.name] = value.kind
        return super().stated(value)

    def like(self, x: Integers, name: str, **changes) -> Integers:
        """`x` with another name, and whatever else changes."""
        return self.stated(
            dataclasses.replace(x, name=name, **{"qparams": None, **changes})
        )

    def as_kind(self, x: Integers, kind: str) -> Integers:
        """`x` stored in another type, which must hold its bounds."""
        if x.kind == kind:
            return x
        return self.like(x, self.node("Cast", [x.name], to=onnx_kind(kind)), kind=kind)

    def refusal(self, why: str, fix: str):
        """The error for the layer that is being converted; to be raised."""
        return refuse(self.layer, self.path, why, fix)


def onnx_kind(kind: str) -> int:
    """The number of a type in ONNX."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(kind))
