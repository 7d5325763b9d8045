"""Every float convolution and dense layer, for programs that the kernels run as a whole.

`float_conv_of` takes what the kernels run at least as fast as ONNX Runtime; here are groups,
transposed convolutions, weights of any size, and dense layers of more axes too.
"""

from __future__ import annotations

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._window import Triple, Window
from larqlite_runtime.planner.producers._float_conv import FloatConv


def any_conv_of(node: GraphNode, subgraph: Subgraph) -> FloatConv | None:
    """A standard node as a float convolution of the kernels; None if it is none."""
    if node.domain or node.op not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return None
    weights = subgraph.constant_input(node, 1)
    bias = subgraph.constant_input(node, 2)
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    if weights is None or weights.dtype != np.float32 or (has_bias and bias is None):
        return None
    if node.op in ("Gemm", "MatMul"):
        return _dense(node, subgraph, weights, bias)
    return _convolution(node, subgraph, weights, bias)


def _dense(
    node: GraphNode, subgraph: Subgraph, weights: np.ndarray, bias: np.ndarray | None
) -> FloatConv | None:
    """A dense layer as a convolution of one tap, every row of the input a pixel."""
    shape, given = subgraph.shapes[node.inputs[0]], node.attributes
    axis = len(shape) - 1
    image = image_of(shape, axis) if axis > 0 else None
    if image is None or weights.ndim != 2 or given.get("transA", 0):
        return None
    weights = weights if given.get("transB", 0) else weights.T
    weights = weights * np.float32(given.get("alpha", 1.0))
    out, inside = weights.shape
    if bias is not None:
        if bias.size not in (1, out):
            return None
        bias = np.broadcast_to(bias.reshape(-1), (out,))
        bias = bias * np.float32(given.get("beta", 1.0))
    weights = np.ascontiguousarray(weights).reshape(out, inside, 1, 1, 1)
    window = Window(size=image[0], out=image[0])
    source = node.inputs[0]
    return FloatConv(source, window, weights, bias, 0, inside, is_dense=True, axis=axis)


def _convolution(
    node: GraphNode, subgraph: Subgraph, weights: np.ndarray, bias: np.ndarray | None
) -> FloatConv | None:
    given, rank = node.attributes, weights.ndim - 2
    groups = int(given.get("group", 1))
    sizes = subgraph.shapes[node.inputs[0]][2:], subgraph.shapes[node.outputs[0]][2:]
    if not 1 <= rank <= 3 or None in (*sizes[0], *sizes[1]):
        return None

    def triple(values, missing: int) -> Triple:
        return (missing,) * (3 - rank) + tuple(int(value) for value in values)

    size, out = (triple(values, 1) for values in sizes)
    kernel = triple(weights.shape[2:], 1)
    stride = triple(given.get("strides") or [1] * rank, 1)
    dilation = triple(given.get("dilations") or [1] * rank, 1)
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    is_transposed = node.op == "ConvTranspose"
    before = triple((given.get("pads") or [0] * 2 * rank)[:rank], 0)
    spacing = (1, 1, 1)
    if is_transposed:
        before = tuple(r - b for r, b in zip(reach, before, strict=True))
        stride, spacing = spacing, stride
        weights = _turned_around(weights, groups)
    window = Window(size, out, kernel, stride, dilation, before, spacing)
    channels = weights.shape[1] * groups
    return FloatConv(node.inputs[0], window, weights, bias, 0, channels, groups=groups)


def _turned_around(weights: np.ndarray, groups: int) -> np.ndarray:
    """Weights of a transposed convolution as those of one of inputs with gaps between.

    Args:
        weights: `(in, out / groups, *window)`.
        groups: of them.

    Returns:
        `(out, in / groups, *window)`, the window turned around.
    """
    inside, each = weights.shape[:2]
    parts = weights.reshape(groups, inside // groups, each, *weights.shape[2:])
    parts = np.flip(parts.swapaxes(1, 2), tuple(range(3, parts.ndim)))
    return np.ascontiguousarray(parts).reshape(-1, inside // groups, *weights.shape[2:])
