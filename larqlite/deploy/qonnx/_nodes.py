"""Replaces operations of `ai.larqlite` by QONNX' quantizers and standard operations.

A packed kernel becomes a float initializer of integers behind a `BipolarQuant` or
`IntQuant` of scale 1, so that sums stay integers; scales are multiplied afterwards, as in
a packed file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from larqlite.onnx_graph import DOMAIN, OnnxNode, Writer, unpack

QONNX = "qonnx.custom_op.general"
# Codes of a node's kernel where the node does not say: width, step, offset.
_GRIDS = {"B": (1, -2, 1), "T": (2, 1, -1)}
_HIGHEST_TERNARY = 1


def rewrite(graph: Writer) -> bool:
    """Replaces every node of `ai.larqlite` of a finished graph, and the packed kernels;
    whether there were any."""
    rewriter = _Rewriter(graph)
    packed = [node for node in graph.nodes if node.domain == DOMAIN]
    for node in packed:
        rewriter.replace(node)
        graph.replace(node, *rewriter.made)
        rewriter.made.clear()
    for name in rewriter.packed:
        graph.constants.pop(name)
    return bool(packed)


class _Rewriter:
    """Collects what one node after the other becomes.

    Attributes:
        made: the nodes that the present one becomes, so far.
        packed: initializers that were replaced.
        integers: for a tensor of levels 0, 1/n, ... 1 the tensor of 0, 1, ... n, and n.
    """

    def __init__(self, graph: Writer):
        self._graph = graph
        self._kernels: dict[tuple, str] = {}
        self.made: list[OnnxNode] = []
        self.packed: dict[str, None] = {}
        self.integers: dict[str, tuple[str, float]] = {}

    def replace(self, node: OnnxNode) -> None:
        """Adds what a node becomes."""
        quantizer = _QUANTIZERS.get(node.op)
        if quantizer is not None:
            quantizer(self, node)
        elif node.op == "Unpack":
            self._kernel(node, "", None, name=node.name, output=node.outputs[0])
        else:
            self._sums(node)

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
            "IntQuant",
            [tensor, self.number(1), self.number(0), self.number(bits)],
            name,
            domain=QONNX,
            signed=int(signed),
            narrow=int(narrow),
            rounding_mode=rounding_mode,
            **where,
        )

    # Packed nodes.

    def _sums(self, node: OnnxNode) -> None:
        kind, family = node.op[0], node.op[1:].rstrip("D").rstrip("123")
        attributes = node.attributes
        source, pad_value = self._input(node)
        rank = len(attributes["weight_shape"])
        space = range(1, rank - 1)
        orders = {
            "Conv": (0, rank - 1, *space),
            "ConvTranspose": (rank - 1, 0, *space),
            "Dense": (1, 0),
        }
        quantizer_name = f"{node.name}/kernel_quantizer"
        kernel = self._kernel(node, kind, orders[family], name=quantizer_name)
        kept = {
            key: attributes[key]
            for key in ("strides", "dilations", "group", "pads", "output_padding")
            if key in attributes
        }
        if family == "Dense":
            self.add("MatMul", [source, kernel], node.name, node.outputs[0])
            return
        kept["kernel_shape"] = list(attributes["weight_shape"][1:-1])
        if family == "Conv" and pad_value and any(kept["pads"]):
            source = self._padded(source, kept.pop("pads"), pad_value, node.name)
        self.add(family, [source, kernel], node.name, node.outputs[0], **kept)

    def _input(self, node: OnnxNode) -> tuple[str, float]:
        """The integers that a node multiplies, and what it pads them with."""
        source = node.inputs[0]
        steps = node.attributes.get("input_steps", 1.0)
        pad_value = node.attributes.get("pad_value", 0.0)
        if steps == 1:
            return source, pad_value
        pad_value = float(np.rint(pad_value * steps))
        known, known_steps = self.integers.get(source, (None, None))
        if known_steps == steps:
            return known, pad_value
        multiples = self.add(
            "Mul", [source, self.number(steps)], f"{node.name}/multiples", like=source
        )
        name = f"{node.name}/integers"
        return self.add("Round", [multiples], name, like=source), pad_value

    def _padded(self, source: str, pads: list[int], value: float, name: str) -> str:
        axes = list(range(2, 2 + len(pads) // 2))
        inputs = [
            source,
            self._graph.constant(pads),
            self.number(value),
            self._graph.constant(axes),
        ]
        return self.add("Pad", inputs, f"{name}/padded", mode="constant")

    def _kernel(
        self,
        node: OnnxNode,
        kind: str,
        order: tuple[int, ...] | None,
        name: str,
        output: str | None = None,
    ) -> str:
        """The quantized kernel of a node, its axes in an order."""
        packed = node.inputs[-1]
        attributes = node.attributes
        asked = tuple(attributes.get(key) for key in ("bits", "step", "offset"))
        bits, step, offset = _GRIDS.get(kind, asked)
        key = (packed, order, bits, step, offset)
        if output is None and key in self._kernels:
            return self._kernels[key]
        shape = tuple(attributes["weight_shape"])
        codes = unpack(self._graph.constants[packed], shape, bits)
        values = (step * codes + offset).astype(np.float32)
        values = values if order is None else values.transpose(order)
        stored = self._graph.tensor_name(f"{packed}/values")
        self._graph.constants[stored] = np.ascontiguousarray(values)
        self._graph.shapes[stored] = values.shape
        self.packed[packed] = None
        where = {"output": output, "like": stored}
        if (bits, step, offset) == _GRIDS["B"]:
            made = self.bipolar(stored, name, **where)
        else:
            ends = (offset, offset + step * (2**bits - 1))
            highest = _HIGHEST_TERNARY if kind == "T" else max(ends)
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


def _sign(rewriter: _Rewriter, node: OnnxNode) -> None:
    (output,) = node.outputs
    rewriter.bipolar(node.inputs[0], node.name, output=output)


def _heaviside(rewriter: _Rewriter, node: OnnxNode) -> None:
    # All that is above zero and at most 1 is rounded up to 1.
    rewriter.integer(
        *(node.inputs[0], node.name, 1, False),
        rounding_mode="CEIL",
        output=node.outputs[0],
    )


def _ternary(rewriter: _Rewriter, node: OnnxNode) -> None:
    """+1 from `threshold` on, -1 from `-threshold` down: half of two signs' difference."""
    (source,), (output,) = node.inputs, node.outputs
    threshold = rewriter.number(abs(node.attributes["threshold"]))
    like = {"like": output}

    def sign_from_threshold(tensor: str, name: str) -> str:
        distance = rewriter.add("Sub", [tensor, threshold], f"{name}_distance", **like)
        return rewriter.bipolar(distance, name, **like)

    above = sign_from_threshold(source, f"{node.name}/above")
    negated = rewriter.add("Neg", [source], f"{node.name}/negated", **like)
    below = sign_from_threshold(negated, f"{node.name}/below")
    twice = rewriter.add("Sub", [above, below], f"{node.name}/twice", **like)
    half = rewriter.add(
        "Mul", [twice, rewriter.number(0.5)], f"{node.name}/half", **like
    )
    rewriter.integer(half, node.name, 2, True, True, output=output)


def _steps(rewriter: _Rewriter, node: OnnxNode) -> None:
    (source,), (output,) = node.inputs, node.outputs
    bits = node.attributes["bits"]
    count = rewriter.number(2**bits - 1)
    multiples = rewriter.add(
        "Mul", [source, count], f"{node.name}/multiples", like=output
    )
    integers = rewriter.integer(
        multiples, f"{node.name}/integers", bits, False, like=output
    )
    rewriter.add("Div", [integers, count], node.name, output)
    rewriter.integers[output] = (integers, float(2**bits - 1))


_QUANTIZERS: dict[str, Callable[[_Rewriter, OnnxNode], None]] = {
    "Sign": _sign,
    "Heaviside": _heaviside,
    "Ternary": _ternary,
    "Steps": _steps,
}
