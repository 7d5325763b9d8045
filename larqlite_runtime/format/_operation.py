"""What an operation of the domain `ai.larqlite` is, and the quantizers among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from larqlite_runtime.format._attributes import Attribute
from larqlite_runtime.format._value_types import ValueType

DOMAIN = "ai.larqlite"
VERSIONS = (1, 2, 3)
OPSET = 18  # of the standard operations that bodies are made of

Attributes = Mapping[str, Any]


class BodyNode(NamedTuple):
    """A node of a body: what comes out, the operation, what goes in."""

    output: str
    op: str
    attributes: dict[str, float | int | list[int]]
    inputs: list[str]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of the domain `ai.larqlite`.

    Attributes:
        name: as nodes have it.
        body: a function in ONNX' text form, of standard operations and those in `uses`;
            what it computes is what the operation means.
        attributes: all that it has, with what they may hold.
        inputs: how many.
        uses: other operations of the domain in its body.
        since: the first version of the domain that has it.
    """

    name: str
    body: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    inputs: int = 1
    uses: tuple[str, ...] = ()
    since: int = 1

    def nodes_of(self, attributes: Attributes) -> Iterator[BodyNode]:
        """The nodes of the body in their order, with the values of the attributes.

        >>> from larqlite_runtime.format import QUANTIZERS
        >>> node = next(QUANTIZERS["Ternary"].nodes_of({"threshold": 0.5}))
        >>> node.output, node.op, node.attributes
        ('t', 'Constant', {'value_float': 0.5})
        """
        for output, op, given, inputs in _NODE.findall(self.body):
            found = {
                name: attributes[value[1:]]
                if value.startswith("@")
                else _PARSERS[kind](value)
                for name, kind, value in _ATTRIBUTE.findall(given)
            }
            yield BodyNode(output, op, found, re.findall(r"\w+", inputs))


class QonnxGraph(Protocol):
    """A QONNX graph that operations add nodes to, in the exporter."""

    # For a tensor of levels 0, 1/n, ... 1 the tensor of 0, 1, ... n, and n.
    integers: dict[str, tuple[str, float]]

    def add(self, op: str, inputs: list[str], name: str, *args, **attributes) -> str:
        """Adds a node; returns the name of its output."""

    def number(self, value: float) -> str:
        """A float32 constant."""

    def indices(self, values: list[int]) -> str:
        """A constant of whole numbers."""

    def bipolar(self, tensor: str, name: str, **where) -> str:
        """-1 below zero, else +1."""

    def integer(
        self, tensor: str, name: str, bits: int, signed: bool, *args, **more
    ) -> str:
        """Integers of some bits: clipped, then rounded."""


class QonnxNode(NamedTuple):
    """A quantizer that a QONNX graph takes up: its name, its tensors, its attributes."""

    name: str
    source: str
    output: str
    attributes: Attributes


@dataclass(frozen=True, kw_only=True)
class QuantizerOperation(Operation):
    """From floats to few values.

    Attributes:
        type_of: the values that come out, from the attributes.
        planes_of: for floats and the attributes one array of booleans for each plane of
            bits, true where that says -1: on which side a float falls.
        is_thresholded: whether each plane says +1 from some float on, and -1 below, so that
            behind sums of integers it is an interval of these.
        to_qonnx: adds what it is in QONNX to a graph.
    """

    type_of: Callable[[Attributes], ValueType]
    planes_of: Callable[[np.ndarray, Attributes], list[np.ndarray]]
    to_qonnx: Callable[[QonnxGraph, QonnxNode], None]
    is_thresholded: bool = True

    def levels_of(self, v: np.ndarray, attributes: Attributes) -> np.ndarray:
        """The number of the level of each float, counted from the lowest."""
        return self.type_of(attributes).levels_of(self.planes_of(v, attributes))

    def values_of(self, v: np.ndarray, attributes: Attributes) -> np.ndarray:
        """What comes out, float32: the reference of the operation."""
        return self.type_of(attributes).values_of(self.levels_of(v, attributes))


@dataclass(frozen=True, kw_only=True)
class RowOperation(Operation):
    """From floats to one number for each row, the values along the last axis.

    Attributes:
        values_of: what comes out, float32 with size 1 on the last axis: the reference.
        to_qonnx: adds what it is in QONNX to a graph.
    """

    values_of: Callable[[np.ndarray, Attributes], np.ndarray]
    to_qonnx: Callable[[QonnxGraph, QonnxNode], None]


# The text form as far as bodies of quantizers and of rows use it.
_PARSERS = {
    "float": float,
    "int": int,
    "ints": lambda text: [int(number) for number in text.strip("[]").split(",")],
}
_NODE = re.compile(r"^ +(\w+) = (\w+)(?: <(.*)>)? \((.*)\)$", re.MULTILINE)
_ATTRIBUTE = re.compile(r"(\w+): (\w+) = (\S+?)(?:,|$)")
