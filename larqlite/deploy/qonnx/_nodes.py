"""Replaces operations of `ai.larqlite` by QONNX' quantizers and standard operations.

A packed kernel becomes a float initializer of integers behind a `BipolarQuant` or
`Quant` of scale 1, so that sums stay integers; scales are multiplied afterwards, as in
a packed file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from larqlite.deploy.qonnx._tidy import gather_float_kernels, tidy
from larqlite.graph import names
from larqlite.onnx_graph import DOMAIN, OnnxNode, Writer
from larqlite_runtime.format import (
    BINARY,
    OPERATIONS,
    LayerOperation,
    QonnxNode,
    QuantizerOperation,
    RowOperation,
    grid_of,
    unpack_codes,
)

QONNX = "qonnx.custom_op.general"
HIGHEST_TERNARY = 1
KEEPING = names("Identity Transpose Reshape Flatten Squeeze Unsqueeze MaxPool")


def rewrite(graph: Writer, outputs: Sequence[str], rewriter: Rewriter) -> bool:
    """Replaces every node of `ai.larqlite` of a finished graph, and the packed kernels;
    whether there were any.

    Args:
        graph: the graph; changed in place.
        outputs: names of the model's outputs.
        rewriter: of this graph.
    """
    rewriter.orders = gather_float_kernels(graph)
    packed = [node for node in graph.nodes if node.domain == DOMAIN]
    for node in [n for n in graph.nodes if n.op == "BitwiseXor"]:
        rewriter.combine(node)
        graph.remove(node)
    for node in packed:
        rewriter.replace(node)
        graph.replace(node, *rewriter.made)
        rewriter.made.clear()
    for name in rewriter.packed:
        graph.constants.pop(name)
    tidy(graph, outputs)
    return bool(packed)


class Rewriter:
    """Collects what one node after the other becomes.

    Attributes:
        made: the nodes that the present one becomes, so far.
        packed: initializers that were replaced.
        integers: for a tensor of levels 0, 1/n, ... 1 the tensor of 0, 1, ... n, and n.
        orders: of the axes of kernels that are unpacked, by the names of nodes.
    """

    def __init__(self, graph: Writer):
        self._graph = graph
        self.orders: dict[str, tuple[int, ...]] = {}
        self._kernels: dict[tuple, str] = {}
        self.made: list[OnnxNode] = []
        self.packed: dict[str, None] = {}
        self.integers: dict[str, tuple[str, float]] = {}

    def replace(self, node: OnnxNode) -> None:
        """Adds what a node becomes."""
        operation = OPERATIONS[node.op]
        if isinstance(operation, QuantizerOperation | RowOperation):
            (source,), (output,) = node.inputs, node.outputs
            found = QonnxNode(node.name, source, output, node.attributes)
            operation.to_qonnx(self, found)
        elif isinstance(operation, LayerOperation):
            operation.to_qonnx(self, node)
        else:
            order, output = self.order_of(node), node.outputs[0]
            self._kernel(node, order, name=node.name, output=output)

    def combine(self, node: OnnxNode) -> None:
        """Computes the bits of a product of planes: see `CodebookKernel`."""
        first, second = (self._graph.constants[name] for name in node.inputs)
        self._graph.constants[node.outputs[0]] = first ^ second
        self.packed.update(dict.fromkeys((*node.inputs, *node.outputs)))

    # Nodes.

    def add(
        self,
        op: str,
        inputs: list[str],
        name: str,
        output: str | None = None,
        like: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Adds a node with one output.

        Args:
            op: its type.
            inputs: names of tensors.
            name: of the node.
            output: of the tensor that comes out; a new one by default.
            like: a tensor of the same sizes.
            domain: "" for the standard operations.
            **attributes: those of the operation.

        Returns:
            The name of the output.
        """
        made = output or self._graph.tensor_name(f"{name}:0")
        if like is not None and like in self._graph.shapes:
            self._graph.shapes[made] = self._graph.shapes[like]
        self.made.append(OnnxNode(op, tuple(inputs), (made,), name, domain, attributes))
        return made

    def number(self, value: float) -> str:
        """A float32 constant."""
        return self._graph.constant(np.float32(value))

    def indices(self, values: list[int]) -> str:
        """A constant of whole numbers."""
        return self._graph.constant(np.array(values, np.int64))

    def bipolar(self, tensor: str, name: str, **where: Any) -> str:
        """-1 below zero, else +1."""
        inputs = [tensor, self.number(1)]
        return self.add("BipolarQuant", inputs, name, domain=QONNX, **where)

    def integer(
        self,
        tensor: str,
        name: str,
        bits: int,
        signed: bool,
        narrow: bool = False,
        rounding_mode: str = "ROUND",
        **where: Any,
    ) -> str:
        """Integers of some bits: clipped, then rounded."""
        return self.add(
            "Quant",
            [tensor, self.number(1), self.number(0), self.number(bits)],
            name,
            domain=QONNX,
            signed=int(signed),
            narrow=int(narrow),
            rounding_mode=rounding_mode,
            **where,
        )

    def signs_of_kernel(self, tensor: str, name: str, **where: Any) -> str:
        """The quantizer of a kernel of -1 and +1."""
        return self.bipolar(tensor, name, **where)

    def order_of(self, unpack: OnnxNode) -> tuple[int, ...] | None:
        """The axes of a kernel that is used in float arithmetic."""
        return self.orders.get(unpack.name)

    # Packed nodes.

    def input_of(self, node: OnnxNode) -> tuple[str, float]:
        """The integers that a node multiplies, and what it pads them with."""
        source = node.inputs[0]
        steps = node.attributes.get("input_steps", 1.0)
        pad_value = node.attributes.get("pad_value", 0.0)
        known = self._known_integers(source, steps)
        if steps == 1:
            return known or source, pad_value
        pad_value = float(np.rint(pad_value * steps))
        if known is not None:
            return known, pad_value
        multiples = self.add(
            "Mul", [source, self.number(steps)], f"{node.name}/multiples", like=source
        )
        name = f"{node.name}/integers"
        return self.add("Round", [multiples], name, like=source), pad_value

    def _known_integers(self, source: str, steps: float) -> str | None:
        """The integers that a tensor of levels was made of, moved and pooled as it was."""
        chain = self._graph.upstream(source, KEEPING)
        known, known_steps = self.integers.get(chain[-1], (None, None))
        if known_steps != steps:
            return None
        for tensor in reversed(chain[:-1]):
            if tensor not in self.integers:
                node = self._graph.producer(tensor)
                inputs, name = [known, *node.inputs[1:]], f"{node.name}/of_integers"
                made = self.add(node.op, inputs, name, like=tensor, **node.attributes)
                self.integers[tensor] = made, steps
            known, _ = self.integers[tensor]
        return known

    def padded(self, source: str, pads: list[int], value: float, name: str) -> str:
        """A tensor with a value around its images."""
        axes = list(range(2, 2 + len(pads) // 2))
        inputs = [
            source,
            self._graph.constant(pads),
            self.number(value),
            self._graph.constant(axes),
        ]
        return self.add("Pad", inputs, f"{name}/padded", mode="constant")

    def kernel_of(self, node: OnnxNode, order: tuple[int, ...]) -> str:
        """The quantized kernel of a node, its axes in an order."""
        return self._kernel(node, order, name=f"{node.name}/kernel_quantizer")

    def _kernel(
        self,
        node: OnnxNode,
        order: tuple[int, ...] | None,
        name: str,
        output: str | None = None,
    ) -> str:
        packed = node.inputs[-1]
        attributes = node.attributes
        bits, step, offset = grid_of(node)
        key = (packed, order, bits, step, offset)
        if output is None and key in self._kernels:
            return self._kernels[key]
        shape = tuple(attributes["weight_shape"])
        stream = self._graph.constants[packed]
        codes = unpack_codes(stream, math.prod(shape), bits).reshape(shape)
        values = (step * codes.astype(np.int64) + offset).astype(np.float32)
        values = values if order is None else values.transpose(order)
        stored = self._graph.tensor_name(f"{packed}/values")
        self._graph.constants[stored] = np.ascontiguousarray(values)
        self._graph.shapes[stored] = values.shape
        self.packed[packed] = None
        where = {"output": output, "like": stored}
        if (bits, step, offset) == BINARY:
            made = self.signs_of_kernel(stored, name, **where)
        else:
            ends = (offset, offset + step * (2**bits - 1))
            highest = HIGHEST_TERNARY if node.op[0] == "T" else max(ends)
            width = _width(int(min(ends)), int(highest))
            made = self.integer(stored, name, *width, **where)
        self._kernels[key] = made
        return made


def _width(lowest: int, highest: int) -> tuple[int, bool, bool]:
    """Bits, sign, and whether -2^(bits - 1) is left out, of integers in a range.

    >>> _width(-1, 1), _width(0, 15), _width(-15, 15), _width(-8, 7)
    ((2, True, True), (4, False, False), (5, True, True), (4, True, False))
    """
    if lowest >= 0:
        return max(highest.bit_length(), 1), False, False
    bits = 1 + max((-lowest - 1).bit_length(), highest.bit_length())
    return bits, True, lowest > -(2 ** (bits - 1))
