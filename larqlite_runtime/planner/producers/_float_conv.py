"""Float convolutions that the kernels run, so that tensors stay where they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import LANES
from larqlite_runtime.planner._padding import PaddedTensor, padded_for
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._window import Window

# Bytes of weights beyond which ONNX Runtime is faster (measured: 1.4 times at twice that).
MOST_WEIGHTS = 1 << 20


@dataclass(frozen=True)
class FloatConv:
    """A float convolution of one group in the terms of the kernels.

    Attributes:
        source: the tensor that it reads.
        weights: float32 (out, in, *window).
        bias: one per output channel, or None.
        first, channels: where its input begins among the channels of `source`, and how
            many these are.
    """

    source: str
    window: Window
    weights: np.ndarray
    bias: np.ndarray | None
    first: int
    channels: int

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.weights.shape[1]

    @property
    def padded(self) -> PaddedTensor | None:
        """The bordered memory that it reads from; None if it needs no borders."""
        padded = padded_for(self.window, self.channels)
        return padded if padded.has_more else None

    @property
    def products(self) -> int:
        """Products of one image."""
        return math.prod(self.window.out) * self.weights.size

    def stored_weights(self) -> np.ndarray:
        """(block of 16 channels, tap, in, lane)."""
        out, inside = self.weights.shape[:2]
        blocks = -(-out // LANES)
        padded = np.zeros(
            (blocks * LANES, inside, math.prod(self.window.kernel)), np.float32
        )
        padded[:out] = self.weights.reshape(out, inside, -1)
        blocked = padded.reshape(blocks, LANES, inside, -1)
        return np.ascontiguousarray(blocked.transpose(0, 3, 2, 1))


def float_conv_of(node: GraphNode, subgraph: Subgraph) -> FloatConv | None:
    """A standard node as a float convolution of the kernels; None if it is none."""
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
