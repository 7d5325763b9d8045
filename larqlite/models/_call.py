"""One use of a layer as data: the sizes and precisions of what goes in and comes out."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras

Shape = tuple[int | None, ...]
FLOAT_BITS = 32


class UnknownCost(Exception):
    """What a use of a layer costs cannot be told; the text says why."""


@dataclasses.dataclass(frozen=True)
class TensorProfile:
    """What is known of a tensor without its numbers.

    Attributes:
        shape: sizes, batch first, None for an open one; None if the rank is open.
        dtype: name of its dtype.
        bits: precision that a quantizer gave it; None if nothing quantizes it.
        note: what a reader should know about `bits`.
    """

    shape: Shape | None
    dtype: str = "float32"
    bits: int | None = None
    note: str = ""

    def with_shape(self, shape: Shape | None) -> TensorProfile:
        return dataclasses.replace(self, shape=shape)


@dataclasses.dataclass(frozen=True)
class Call:
    """One use of a layer.

    Attributes:
        layer: the tf_keras layer.
        args: positional arguments, a `TensorProfile` in place of each tensor.
        kwargs: keyword arguments, likewise.
        outputs: the values that come out.
        input_bits: precision of the (quantized) input, 32 if nothing quantizes it.
    """

    layer: tf_keras.layers.Layer
    args: tuple
    kwargs: dict[str, Any]
    outputs: tuple[TensorProfile, ...]
    input_bits: int = FLOAT_BITS

    @property
    def inputs(self) -> tuple[TensorProfile, ...]:
        """Every tensor that goes in."""
        return tuple(values_in((self.args, self.kwargs)))

    @property
    def input_shape(self) -> Shape:
        """Shape of the first tensor that goes in.

        Raises:
            UnknownCost: there is none, or its rank is open.
        """
        return _rank_known(self.inputs, "input")

    @property
    def output_shape(self) -> Shape:
        """Shape of the first tensor that comes out.

        Raises:
            UnknownCost: there is none, or its rank is open.
        """
        return _rank_known(self.outputs, "output")

    def argument(self, name: str) -> Any:
        """The argument that the layer's `call` knows as `name`, or None."""
        signature = inspect.signature(type(self.layer).call)
        bound = signature.bind_partial(self.layer, *self.args, **self.kwargs)
        return bound.arguments.get(name)

    def of(self, layer: tf_keras.layers.Layer, **changes) -> Call:
        """The same use, of a layer inside this one."""
        return dataclasses.replace(self, layer=layer, **changes)


def values_in(structure: Any) -> Iterable[TensorProfile]:
    """The `TensorProfile`s in nested lists, tuples and dictionaries."""
    return (
        leaf for leaf in tf.nest.flatten(structure) if isinstance(leaf, TensorProfile)
    )


def size(shape: Iterable[int | None]) -> int:
    """Product of sizes, all of which must be known.

    Raises:
        UnknownCost: one of them is open.
    """
    sizes = tuple(shape)
    if None in sizes:
        raise UnknownCost(
            "they depend on sizes that the model leaves open; give them with "
            "`input_shape=`, e.g. input_shape=(None, 224, 224, 3)"
        )
    return math.prod(sizes)


def count(variable: tf.Variable) -> int:
    """Number of values of a variable."""
    return math.prod(variable.shape.as_list())


def static_shape(shape: Any) -> Shape | None:
    """A TensorShape, tuple or list of sizes as a tuple; None for an open rank."""
    shape = tf.TensorShape(shape)
    return None if shape.rank is None else tuple(shape.as_list())


def value_of(tensor: Any) -> TensorProfile:
    """The `TensorProfile` of a tensor or KerasTensor, not quantized as far as it tells."""
    return TensorProfile(static_shape(tensor.shape), tf.as_dtype(tensor.dtype).name)


def _rank_known(values: tuple[TensorProfile, ...], side: str) -> Shape:
    if not values or values[0].shape is None:
        raise UnknownCost(f"the shape of its {side} is unknown")
    return values[0].shape
