"""Quantizers and borders as hls4ml computes them rightly.

It has types of 0 and 1 for signs, in which there is no zero: borders of zeros become -1, sums
have a type that the file cannot say, and a batch normalization in front of a sign becomes a
threshold that forgets the sign of its scale. So signs are integers of two bits here.
"""

from __future__ import annotations

from typing import Any

from larqlite.deploy.qonnx._levels import ExactLevels
from larqlite.deploy.qonnx._nodes import KEEPING, QONNX, Rewriter
from larqlite.onnx_graph import OnnxNode, Writer
from larqlite_runtime.format import QonnxNode

_SIGN = (2, True, True)
_WIDTHS = {"Sign": _SIGN, "Ternary": _SIGN, "Heaviside": (1, False, False)}


class Hls4mlRewriter(Rewriter):
    """Writes what hls4ml takes.

    Args:
        graph: the graph.
        exact: the quantizers whose input is level by level already.

    Attributes:
        widths: bits, sign, and whether -2^(bits - 1) is left out, of quantized tensors.
    """

    def __init__(self, graph: Writer, exact: ExactLevels):
        super().__init__(graph)
        self._exact = exact
        self.widths: dict[str, tuple[int, bool, bool]] = {}

    def replace(self, node: OnnxNode) -> None:
        """Adds what a node becomes."""
        if node.name not in self._exact.quantizers or node.op == "Integers":
            super().replace(node)
            return
        (source,), (output,) = node.inputs, node.outputs
        found = QonnxNode(node.name, source, output, node.attributes)
        if node.op == "Steps":
            self._steps(found)
        else:
            self.integer(source, node.name, *_WIDTHS[node.op], output=output)

    def _steps(self, node: QonnxNode) -> None:
        bits = node.attributes["bits"]
        count, like = self.number(2**bits - 1), {"like": node.output}
        made = self.integer(node.source, f"{node.name}/integers", bits, False, **like)
        self.add("Div", [made, count], node.name, node.output)
        self.integers[node.output] = made, float(2**bits - 1)

    def bipolar(self, tensor: str, name: str, **where: Any) -> str:
        """-1 below zero, else +1, in two bits."""
        like = {"like": where.get("like") or where.get("output")}
        inputs = [tensor, self.number(1)]
        sign = self.add("BipolarQuant", inputs, f"{name}/sign", domain=QONNX, **like)
        twice = self.add("Mul", [sign, self.number(2)], f"{name}/twice", **like)
        return self.integer(twice, name, *_SIGN, **where)

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
        made = super().integer(
            tensor, name, bits, signed, narrow, rounding_mode, **where
        )
        self.widths[made] = bits, signed, narrow
        return made

    def signs_of_kernel(self, tensor: str, name: str, **where: Any) -> str:
        """The quantizer of a kernel of -1 and +1."""
        return super().integer(tensor, name, *_SIGN, **where)

    def kernel_of(self, node: OnnxNode, order: tuple[int, ...]) -> str:
        """The quantized kernel of a node; of a convolution with its channels last."""
        return super().kernel_of(node, order if node.op.endswith("Dense") else None)

    def order_of(self, unpack: OnnxNode) -> tuple[int, ...] | None:
        """The axes of a kernel that is used in float arithmetic."""
        readers = self._graph.consumers(unpack.outputs[0])
        is_of_convolution = [node.op for node in readers] == ["Conv"]
        return None if is_of_convolution else super().order_of(unpack)

    def padded(self, source: str, pads: list[int], value: float, name: str) -> str:
        """A tensor with a value around its images, as zeros around what it is lower by."""
        graph = self._graph
        known = graph.upstream(source, KEEPING)
        widths = (self.widths[name] for name in known if name in self.widths)
        width = next(widths, None)
        lower = self.add(
            "Sub", [source, self.number(value)], f"{name}/lower", like=source
        )
        around = super().padded(lower, pads, 0.0, name)
        batch, channels, *space = graph.shapes[source]
        half = len(pads) // 2
        sizes = zip(space, pads[:half], pads[half:], strict=True)
        graph.shapes[around] = (batch, channels, *map(sum, sizes))
        like = {"like": around}
        higher = [around, self.number(value)]
        made = self.add("Add", higher, f"{name}/higher", **like)
        if width is None:
            return made
        return self.integer(made, f"{name}/bordered", *width, **like)
