"""What the layers of packed weights share: kinds of weights, words for inputs, integers.

A layer sums products of integers: those of its input, which are its values times
`input_steps`, and those that its codes stand for. `Round` at the end of a body leaves
integers as they are; it keeps runtimes from folding a scale that follows into the weights,
which would make the sums inexact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format._attributes import REQUIRED, Attribute
from larqlite_runtime.format._bits import GRIDS, float_weights
from larqlite_runtime.format._operation import Attributes, Operation, QonnxGraph
from larqlite_runtime.format._unpack import CODES, WEIGHTS
from larqlite_runtime.format._value_types import type_of_input

# The first letter of a name: binary, ternary, k bits.
KINDS = ("B", "T", "Q")
MOST_STEPS = 255  # of an input

# What all layers may say of their input; those of k-bit weights have other words too.
NAMED_INPUTS = ("sign", "heaviside", "ternary", "integer")
_WORDS = (*NAMED_INPUTS[:-1], "steps", "integer")
_INPUT = Attribute(
    "str",
    " or ".join(f'"{word}"' for word in _WORDS) + ' or "integers:low:high"',
    lambda value: value in _WORDS or type_of_input(value, 1.0) is not None,
    REQUIRED,
)
_INPUT_STEPS = Attribute(
    "float",
    f"a whole number, 1 to {MOST_STEPS}",
    lambda value: 1 <= value <= MOST_STEPS and value.is_integer(),
    REQUIRED,
)


class QonnxLayers(QonnxGraph, Protocol):
    """A QONNX graph that packed layers add nodes to, in the exporter."""

    def input_of(self, node: Any) -> tuple[str, float]:
        """The integers that a node multiplies, and what it pads them with."""

    def kernel_of(self, node: Any, order: tuple[int, ...]) -> str:
        """The quantized kernel of a node, its axes in an order."""

    def padded(self, source: str, pads: list[int], value: float, name: str) -> str:
        """A tensor with a value around its images."""


@dataclass(frozen=True, kw_only=True)
class LayerOperation(Operation):
    """A layer of packed weights; what comes out are sums of integers, as float32.

    Attributes:
        kind: of the weights, the first letter of the name.
        family: "Conv", "ConvTranspose" or "Dense".
        sums_of: sums of products, from integers of the input and of the weights (both
            int64) and the attributes.
        to_qonnx: adds what it is in QONNX to a graph.
    """

    kind: str
    family: str
    sums_of: Callable[[np.ndarray, np.ndarray, Attributes], np.ndarray]
    to_qonnx: Callable[[QonnxLayers, Any], None]

    def values_of(self, node: GraphNode, x: np.ndarray, packed: np.ndarray):
        """What comes out, float32: the reference of the operation.

        Args:
            node: a node of this operation.
            x: its input, float32.
            packed: the codes of its weights.
        """
        integers = np.rint(x * np.float32(input_steps(node))).astype(np.int64)
        weights = float_weights(node, packed).astype(np.int64)
        return self.sums_of(integers, weights, node.attributes).astype(np.float32)


def input_steps(node: GraphNode) -> float:
    """Integers in 1.0 of the input of a packed layer."""
    return float(node.attributes.get("input_steps", 1.0))


def integer_pad_value(node: GraphNode) -> float:
    """What is put around the integers of the input of a packed layer."""
    return float(node.attributes.get("pad_value", 0.0)) * input_steps(node)


def attributes_of(kind: str) -> dict[str, Attribute]:
    """The attributes that all layers of a kind have."""
    grid = {**CODES, "input_steps": _INPUT_STEPS} if kind == "Q" else {}
    return {**WEIGHTS, "input": _INPUT, **grid}


def body_of(kind: str, name: str, attributes: str, lines: str, source: str) -> str:
    """The body of a layer.

    Args:
        kind: of the weights.
        name: of the operation.
        attributes: names of those of its own, with a comma behind each.
        lines: its nodes, from the weights `w` to `sums`, with `{integers}` where the
            integers of the input are made.
        source: what these are made of.
    """
    more = "" if kind in GRIDS else ", bits, step, offset, input_steps"
    if kind in GRIDS:
        bits, step, offset = GRIDS[kind]
        grid = f"bits: int = {bits}, step: float = {step}.0, offset: float = {offset}.0"
        integers = f"integers = Identity ({source})"
    else:
        grid = "bits: int = @bits, step: float = @step, offset: float = @offset"
        integers = f"""n = Constant <value_float: float = @input_steps> ()
    multiples = Mul ({source}, n)
    integers = Round (multiples)"""
    lines = lines.format(integers=integers)
    return f"""
{name} <weight_shape, {attributes}input{more}>
(x, packed) => (y) {{
    w = ai.larqlite.Unpack <weight_shape: ints = @weight_shape, {grid}> (packed){lines}
    y = Round (sums)
}}"""
