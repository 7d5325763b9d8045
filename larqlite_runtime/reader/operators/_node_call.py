"""One node being checked: what its rule may ask for, and how it complains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from larqlite_runtime._errors import ModelFileError, quoted, shape_text
from larqlite_runtime._graph import CheckedGraph, GraphNode, Shape
from larqlite_runtime.format import Attribute
from larqlite_runtime.reader._tensors import MAX_RANK

WRITE_AGAIN = (
    "the file is damaged or not written by larqlite: write it again with "
    "`lq.deploy.export(model, path)`."
)

# What a node gives out: a shape and a dtype for each output.
Results = list[tuple[Shape, np.dtype]]


@dataclass(frozen=True)
class Operator:
    """What the runtime knows of an operation.

    Attributes:
        rule: from a `NodeCall` to shapes and dtypes of its outputs; it raises
            `ModelFileError` where the node makes no sense.
        inputs: the least and the largest number of them; those beyond the least may
            also be absent.
        attributes: all that are allowed.
        outputs: the least and the largest number of them.
        is_elementwise: whether it works on each value by itself, so that any layout of
            its inputs will do.
    """

    rule: Callable[[NodeCall], Results]
    inputs: tuple[int, int] = (1, 1)
    attributes: dict[str, Attribute] = field(default_factory=dict)
    outputs: tuple[int, int] = (1, 1)
    is_elementwise: bool = False


@dataclass
class NodeCall:
    """A node, with what is known of its inputs.

    Attributes:
        macs: products of one sample, set by the rule.
        scratch: bytes that the node may need for one sample while it runs.
        unpacked: bytes of its weights once they are unpacked.
        facts: of constants, which all nodes share, so that each is looked at once.
    """

    node: GraphNode
    graph: CheckedGraph
    facts: dict[tuple[str, str], object] = field(default_factory=dict)
    macs: int = 0
    scratch: int = 0
    unpacked: int = 0

    def fail(self, why: str, fix: str = WRITE_AGAIN) -> NoReturn:
        """Raises the error that says what is wrong with this node."""
        raise ModelFileError(f"{self.where}: {why}.\n  Fix: {fix}")

    def require(self, is_right: bool, why: str) -> None:
        """Fails unless something holds."""
        if not is_right:
            self.fail(why)

    @property
    def where(self) -> str:
        """The node, for messages."""
        return f"{quoted(self.node.op, '')} {quoted(self.node.name)}"

    def has(self, index: int) -> bool:
        """Whether there is such an input."""
        return index < len(self.node.inputs) and self.node.inputs[index] != ""

    @property
    def given(self) -> list[int]:
        """Indices of all inputs that there are."""
        return [index for index in range(len(self.node.inputs)) if self.has(index)]

    def shape(self, index: int) -> Shape:
        """Sizes of an input."""
        return self.graph.shapes[self.node.inputs[index]]

    def dtype(self, index: int) -> np.dtype:
        """The dtype of an input."""
        return self.graph.dtypes[self.node.inputs[index]]

    def has_batch(self, index: int) -> bool:
        """Whether the first axis of an input is the batch."""
        return self.shape(index)[:1] == (None,)

    def attribute(self, name: str):
        """An attribute, as given or by default."""
        return self.node.attributes.get(name)

    def constant(self, index: int, dtype: type) -> np.ndarray:
        """The values of an input that must be stored in the file."""
        name = self.node.inputs[index]
        if name not in self.graph.constants:
            self.fail(f"its input {quoted(name)} must be a constant of the file")
        array = self.graph.constants[name]
        if array.dtype != dtype:
            self.fail(
                f"its input {quoted(name)} is {array.dtype}, not {np.dtype(dtype)}"
            )
        return array

    def fact(self, index: int, name: str, find: Callable[[np.ndarray], object]):
        """What `find` says of a constant; it is asked once for each constant.

        Many nodes may share one: a look at its values for each of them could take hours.
        """
        key = (self.node.inputs[index], name)
        if key not in self.facts:
            self.facts[key] = find(self.graph.constants[key[0]])
        return self.facts[key]

    def integers(self, index: int, limit: int = 2 * MAX_RANK) -> list[int]:
        """A list of integers that is stored in the file."""
        array = self.constant(index, np.int64)
        if array.ndim != 1 or array.size > limit:
            self.fail(
                f"its input {quoted(self.node.inputs[index])} has the sizes "
                f"{shape_text(array.shape)}; a list of at most {limit} is needed"
            )
        return array.tolist()

    def axis(self, axis: int, rank: int, has_batch: bool, name: str = "axis") -> int:
        """An axis counted from the front; it exists and is not the batch."""
        if not -rank <= axis < rank:
            self.fail(f"{name} {axis} does not exist in a tensor of {rank} axes")
        axis %= rank
        if has_batch and axis == 0:
            self.fail(f"{name} {axis} is the batch, which must stay as it is")
        return axis

    def axes(self, axes: Sequence[int], rank: int, has_batch: bool) -> list[int]:
        """Axes counted from the front, each different and none the batch."""
        result = [self.axis(axis, rank, has_batch) for axis in axes]
        if len(set(result)) != len(result):
            self.fail(f"the axes {list(axes)} hold one twice")
        return result

    def windows(self, name: str, length: int, default: int) -> list[int]:
        """An attribute of one number (or two, of pads) for each axis of an image."""
        given = self.attribute(name)
        if given is None:
            given = self.node.attributes[name] = [default] * length
        if len(given) != length:
            self.fail(f"{name} {given} must have {length} numbers")
        return given

    def same_dtype(self, indices: Sequence[int], kinds: str) -> np.dtype:
        """The dtype that inputs share; `kinds` are the NumPy kinds that are allowed."""
        dtypes = [self.dtype(index) for index in indices]
        if len(set(dtypes)) > 1:
            self.fail(f"its inputs have the dtypes {', '.join(map(str, dtypes))}")
        if dtypes[0].kind not in kinds:
            self.fail(f"it is not supported for {dtypes[0]}")
        return dtypes[0]

    def float_image(self, index: int = 0) -> Shape:
        """The shape of an input `(batch, channels, 1 to 3 sizes)` of float32."""
        self.same_dtype([index], "f")
        shape = self.shape(index)
        if not self.has_batch(index) or len(shape) not in (3, 4, 5):
            self.fail(
                f"its input has the shape {shape_text(shape)}; (batch, channels, 1 to 3 "
                "sizes) is needed"
            )
        return shape

    def broadcast(self, *shapes: Shape) -> Shape:
        """The shape of what comes out when tensors are stretched to each other."""
        rank = max(map(len, shapes))
        padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
        result = []
        for number, sizes in enumerate(zip(*padded, strict=True)):
            wide = {size for size in sizes if size != 1}
            if len(wide) > 1 or (None in wide and number):
                self.fail(
                    "the shapes "
                    + " and ".join(map(shape_text, shapes))
                    + " do not fit together"
                )
            result.append(wide.pop() if wide else 1)
        return tuple(result)


def size(shape: Sequence[int | None]) -> int:
    """Values of one sample.

    >>> size((None, 3, 4))
    12
    """
    return math.prod(length for length in shape if length is not None)
