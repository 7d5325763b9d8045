"""Float convolutions that the kernels run, so that tensors stay where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import LANES
from larqlite_runtime.planner._padding import PaddedTensor, padded_for
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._window import Window
from larqlite_runtime.planner.producers._half_conv import (
    PixelScale,
    PixelSums,
    byte_sums,
    pixel_sums,
    stored_halves,
)

# Bytes of weights beyond which ONNX Runtime is faster (measured: 1.4 times at twice that).
MOST_WEIGHTS = 1 << 20
# The same of dense layers, whose weights are read once for all samples of a batch.
MOST_DENSE_WEIGHTS = 8 << 20


class Numbers(Enum):
    """What a float convolution multiplies."""

    FLOAT32 = "float32"
    BF16 = "bf16"
    PIXELS = "int8-input"
    BYTES = "uint8-input"


@dataclass(frozen=True)
class FloatConv:
    """A float convolution in the terms of the kernels.

    Attributes:
        source: the tensor that it reads.
        weights: float32 (out, in / groups, *window).
        bias: one per output channel, or None.
        first, channels: where its input begins among the channels of `source`, and how
            many these are.
        numbers: that are multiplied.
        pixels: what lies between integer pixels and its input, for `Numbers.PIXELS`.
        scaling: names of the nodes that did that.
        is_dense: whether it stands for a dense layer.
        groups: of channels, each of which is convolved by itself.
        axis: of the channels, in `source` and in what comes out.
    """

    source: str
    window: Window
    weights: np.ndarray
    bias: np.ndarray | None
    first: int
    channels: int
    numbers: Numbers = Numbers.FLOAT32
    pixels: PixelScale | None = None
    scaling: tuple[str, ...] = ()
    is_dense: bool = False
    groups: int = 1
    axis: int = 1

    @property
    def in_channels(self) -> int:
        """Channels of the input of a group."""
        return self.weights.shape[1]

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has filters of its own."""
        return self.groups > 1 and self.in_channels == 1

    @property
    def padded(self) -> PaddedTensor | None:
        """The bordered memory that it reads from; None if it needs no borders."""
        padded = padded_for(self.window, self.channels)
        if self.numbers is Numbers.FLOAT32:
            return padded if padded.has_more else None
        if self.numbers is Numbers.BYTES:
            return None
        # A run of an odd number of values is read with what lies behind it, and images begin
        # at whole words.
        tail = self.in_channels * self.window.kernel[2] % 2
        return replace(padded, tail=tail + (padded.elements + tail) % 2)

    @property
    def products(self) -> int:
        """Products of one image."""
        return math.prod(self.window.out) * self.weights.size

    @cached_property
    def sums(self) -> PixelSums:
        """Its weights as whole numbers, for `Numbers.PIXELS` and `Numbers.BYTES`."""
        if self.numbers is Numbers.BYTES:
            return byte_sums(self.weights, self.pixels, self.window)
        return pixel_sums(self.weights, self.pixels, self.window)

    def half_weights(self, tap_pixel: int) -> np.ndarray:
        """Weights of 16 bits as the kernels read them; see `stored_halves`."""
        is_bf16 = self.numbers is Numbers.BF16
        weights = self.weights if is_bf16 else self.sums.codes
        return stored_halves(weights, self.window.kernel, tap_pixel)

    def stored_weights(self) -> np.ndarray:
        """(group, block of 16 channels, tap, in, lane): float32, or int32 for `Numbers.BYTES`;
        of filters of one channel each (multiplier, tap, channel)."""
        is_bytes = self.numbers is Numbers.BYTES
        weights = self.sums.codes if is_bytes else self.weights
        out, inside = weights.shape[:2]
        each, taps = out // self.groups, math.prod(self.window.kernel)
        if self.is_depthwise:
            by_channel = weights.reshape(self.groups, each, taps)
            return np.ascontiguousarray(by_channel.transpose(1, 2, 0))
        blocks = -(-each // LANES)
        padded = np.zeros((self.groups, blocks * LANES, inside, taps), weights.dtype)
        padded[:, :each] = weights.reshape(self.groups, each, inside, taps)
        blocked = padded.reshape(self.groups, blocks, LANES, inside, taps)
        return np.ascontiguousarray(blocked.transpose(0, 1, 4, 3, 2))


def float_conv_of(node: GraphNode, subgraph: Subgraph) -> FloatConv | None:
    """A standard node as a float convolution of the kernels; None if it is none."""
    if node.op in ("Gemm", "MatMul") and not node.domain:
        return _dense(node, subgraph)
    weights = subgraph.constant_input(node, 1)
    if node.domain or node.op != "Conv" or weights is None:
        return None
    bias = subgraph.constant_input(node, 2)
    given, rank = node.attributes, weights.ndim - 2
    if bias is None and len(node.inputs) > 2 and node.inputs[2]:
        return None
    if given.get("group", 1) != 1 or given.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    if not 1 <= rank <= 3 or weights.dtype != np.float32:
        return None
    if weights.nbytes > MOST_WEIGHTS:
        return None

    def triple(values, missing: int) -> tuple[int, int, int]:
        return (missing,) * (3 - rank) + tuple(int(value) for value in values)

    window = Window(
        size=triple(subgraph.shapes[node.inputs[0]][2:], 1),
        out=triple(subgraph.shapes[node.outputs[0]][2:], 1),
        kernel=triple(weights.shape[2:], 1),
        stride=triple(given.get("strides") or [1] * rank, 1),
        dilation=triple(given.get("dilations") or [1] * rank, 1),
        before=triple((given.get("pads") or [0] * 2 * rank)[:rank], 0),
    )
    return FloatConv(node.inputs[0], window, weights, bias, 0, weights.shape[1])


def _dense(node: GraphNode, subgraph: Subgraph) -> FloatConv | None:
    """A dense layer as a convolution of one pixel."""
    weights = subgraph.constant_input(node, 1)
    shape, given = subgraph.shapes[node.inputs[0]], node.attributes
    if weights is None or weights.ndim != 2 or weights.dtype != np.float32:
        return None
    if len(shape) != 2 or shape[0] is not None or given.get("transA", 0):
        return None
    if given.get("alpha", 1.0) != 1 or given.get("beta", 1.0) != 1:
        return None
    if weights.nbytes > MOST_DENSE_WEIGHTS:
        return None
    weights = weights if given.get("transB", 0) else weights.T
    out, inside = weights.shape
    bias = subgraph.constant_input(node, 2)
    if len(node.inputs) > 2 and node.inputs[2]:
        if bias is None or bias.size not in (1, out):
            return None
        bias = np.ascontiguousarray(np.broadcast_to(bias.reshape(-1), (out,)))
    weights = np.ascontiguousarray(weights).reshape(out, inside, 1, 1, 1)
    window = Window(size=(1, 1, 1), out=(1, 1, 1))
    source = node.inputs[0]
    return FloatConv(source, window, weights, bias, 0, inside, is_dense=True)
