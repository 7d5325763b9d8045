"""From sequences of float operations to integer layers."""

from __future__ import annotations

import numpy as np

from larqlite.integer.onnx.layers import (
    OnnxLayer,
    QuantizedAdd,
    QuantizedConv2D,
    QuantizedConvTranspose2D,
    QuantizedDense1D,
    QuantizedDepthwise2D,
    QuantizedGlobalAveragePool,
    QuantizedMul,
    QuantizedSeriesConv,
    QuantizedSeriesConvTranspose,
    QuantizedSum,
)
from larqlite.integer.onnx.quantization._custom_patterns import Mismatch
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.onnx_graph import OnnxNode, window_counts, window_pads

__all__ = [
    "add",
    "add_and_activation",
    "average_pool",
    "convolution",
    "dense",
    "depthwise",
    "max_pool",
    "mean",
    "normalization",
    "product",
    "set_bound",
    "sizes_of",
    "total",
    "transposed",
    "unchanged",
]


def convolution(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedConv2D` of Conv, ReLU and pooling."""
    kinds = [graph.names_of(node) for node in nodes]
    pool = {}
    if "MaxPool" in kinds[-1]:
        pool = max_pool(nodes[-1], graph)
    elif "GlobalAveragePool" in kinds[-1]:
        pool = {"pool_type": "gap"}
    conv = nodes[0]
    if graph.rank(conv.inputs[1]) == 3:
        if pool:
            raise Mismatch("it is a convolution of one dimension, and pooled")
        layer = QuantizedSeriesConv(activation=any("Relu" in kind for kind in kinds))
        _set_convolution(layer, conv, graph)
        set_bound(layer, nodes, graph)
        return layer
    if "GlobalAveragePool" in kinds[-1]:
        _require_sum(conv.outputs[0], graph)
    layer = QuantizedConv2D(
        strides=conv.attributes.get("strides", [1, 1]),
        activation=any("Relu" in kind for kind in kinds),
        **pool,
    )
    _set_convolution(layer, conv, graph)
    if "ReduceMean" in kinds[-1]:
        layer.set_geometry(keepdims=nodes[-1].attributes.get("keepdims", 1))
    set_bound(layer, nodes, graph)
    return layer


def depthwise(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedDepthwise2D` of a Conv of single channels and ReLU."""
    if graph.rank(nodes[0].inputs[1]) == 3:
        return convolution(nodes, graph)
    strides = nodes[0].attributes.get("strides", [1, 1])
    layer = QuantizedDepthwise2D(strides=strides, activation=len(nodes) > 1)
    _set_convolution(layer, nodes[0], graph)
    set_bound(layer, nodes, graph)
    return layer


def normalization(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedDepthwise2D` of a BatchNormalization that no Conv could take in."""
    node = nodes[0]
    if graph.rank(node.inputs[0]) != 4:
        raise Mismatch("it normalizes something else than images")
    if node.attributes.get("training_mode", 0):
        raise Mismatch("it is in training mode")
    found = [_weights(graph, tensor, "its statistics") for tensor in node.inputs[1:5]]
    gamma, beta, mean, variance = (values.astype(np.float64) for values in found)
    factor = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    layer = QuantizedDepthwise2D(activation=len(nodes) > 1)
    layer.set_geometry(group=len(factor))
    layer.set_weight("kernel", factor.reshape(-1, 1, 1, 1))
    layer.set_weight("bias", beta - mean * factor)
    set_bound(layer, nodes, graph)
    return layer


def dense(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedDense1D` of Transpose, Flatten, Gemm and ReLU, or some of them."""
    kinds = [graph.names_of(node) for node in nodes]
    at = next(i for i, kind in enumerate(kinds) if "Gemm" in kind)
    node = nodes[at]
    after = nodes[at + 1 :]
    added = after.pop(0) if after and after[0].op == "Add" else None
    attributes = node.attributes if node.op == "Gemm" else {}
    kernel = _weights(graph, node.inputs[1], "its kernel").astype(np.float64)
    if attributes.get("transA", 0):
        raise Mismatch("transA=1 takes the batch for an axis of inputs")
    rank = graph.rank(node.inputs[0]) or 0
    if kernel.ndim != 2 or rank < 2 or (at and rank != 2):
        raise Mismatch("it is no product of rows with one matrix")
    if not attributes.get("transB", 0):
        kernel = kernel.T
    kernel = kernel * attributes.get("alpha", 1.0)
    if at and "Transpose" in kinds[0]:
        kernel = _channels_first(kernel, nodes[0], graph)
    layer = QuantizedDense1D(flatten=at > 0, activation=bool(after))
    layer.set_weight("kernel", kernel)
    bias_name = node.inputs[2] if len(node.inputs) > 2 else ""
    if added is not None:
        bias_name = next(t for t in added.inputs if t != node.outputs[0])
    if bias_name:
        bias = _weights(graph, bias_name, "its bias").astype(np.float64)
        if bias.size not in (1, len(kernel)) or any(
            size != 1 for size in bias.shape[:-1]
        ):
            raise Mismatch(f"its bias has the shape {bias.shape}")
        bias = np.broadcast_to(bias.reshape(-1), (len(kernel),))
        layer.set_weight("bias", bias * attributes.get("beta", 1.0))
    before = nodes[at - 1] if at else node
    if before.op == "Flatten" and before.attributes.get("axis", 1) != 1:
        raise Mismatch("Flatten with an axis other than 1 joins samples")
    set_bound(layer, nodes[at:], graph)
    return layer


def add(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedAdd` of two tensors."""
    first, second = (graph.shape(tensor) for tensor in nodes[0].inputs)
    if any(graph.is_constant(tensor) for tensor in nodes[0].inputs):
        raise Mismatch("one of what it adds is a constant")
    if first is None or second is None or first[1:] != second[1:]:
        raise Mismatch(f"it adds tensors of unlike shapes, {first} and {second}")
    return QuantizedAdd()


def add_and_activation(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedAdd` of two tensors and ReLU."""
    _require_open_relu(nodes)
    layer = add(nodes, graph)
    layer.activation = True
    return layer


def transposed(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedConvTranspose2D` or `1D` of a ConvTranspose and ReLU."""
    node = nodes[0]
    kernel = _weights(graph, node.inputs[1], "its kernel")
    if kernel.ndim not in (3, 4):
        raise Mismatch(f"it is a convolution of {kernel.ndim - 2} dimensions")
    attributes = node.attributes
    if "output_shape" in attributes or attributes.get("auto_pad", b"NOTSET") not in (
        b"NOTSET",
        b"VALID",
    ):
        raise Mismatch("its pads follow from sizes that it asks for")
    window = kernel.shape[2:]
    more = attributes.get("output_padding", [0] * len(window))
    kind = QuantizedConvTranspose2D
    if len(window) == 1:
        kind, more = QuantizedSeriesConvTranspose, [0, *more]
    layer = kind(output_padding=more, activation=len(nodes) > 1)
    group = attributes.get("group", 1)
    parts = kernel.reshape(group, len(kernel) // group, *kernel.shape[1:])
    by_filter = parts.swapaxes(1, 2).reshape(
        group * kernel.shape[1], len(kernel) // group, *window
    )
    _set_convolution(layer, node, graph, by_filter)
    set_bound(layer, nodes, graph)
    return layer


def mean(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedGlobalAveragePool` of images whose size is open, or of 16 bits."""
    node = nodes[0]
    if graph.rank(node.inputs[0]) not in (3, 4):
        raise Mismatch("it averages something else than images")
    keepdims = node.attributes.get("keepdims", 1) if node.op == "ReduceMean" else 1
    return QuantizedGlobalAveragePool(keepdims)


def total(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedSum` of tensors that broadcast."""
    node = nodes[0]
    _require_open_relu(nodes)
    _require_tensors(node, graph)
    if node.op == "Sub":
        return QuantizedSum([1, -1], activation=len(nodes) > 1)
    if len(node.inputs) > 9:
        raise Mismatch("it adds more than nine tensors")
    return QuantizedSum([1] * len(node.inputs), activation=len(nodes) > 1)


def product(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMul` of two tensors that broadcast."""
    _require_open_relu(nodes)
    _require_tensors(nodes[0], graph)
    return QuantizedMul(activation=len(nodes) > 1)


def _require_open_relu(nodes: list[OnnxNode]) -> None:
    clip = nodes[-1]
    if clip.op == "Clip" and len(clip.inputs) > 2 and clip.inputs[2]:
        raise Mismatch("the ReLU after it is clipped")


def _require_tensors(node: OnnxNode, graph: FloatGraph) -> None:
    if any(graph.is_constant(tensor) for tensor in node.inputs):
        raise Mismatch("one of what it takes is a constant of several axes")
    if any(graph.shape(tensor) is None for tensor in node.inputs):
        raise Mismatch("the number of axes of what it takes is not known")


def _require_sum(tensor: str, graph: FloatGraph) -> None:
    """Asserts that the sum over an image can be a layer's own pooling."""
    sizes = graph.shape(tensor)
    if graph.activation_bits == 16 or sizes is None or None in sizes[2:]:
        raise Mismatch(f"the size of the image that is averaged is open, {sizes}")


def _set_convolution(
    layer: OnnxLayer,
    conv: OnnxNode,
    graph: FloatGraph,
    kernel: np.ndarray | None = None,
) -> None:
    """Sets geometry and weights; series become images of height 1."""
    attributes = conv.attributes
    if kernel is None:
        kernel = _weights(graph, conv.inputs[1], "its kernel")
    if kernel.ndim not in (3, 4):
        raise Mismatch(f"it is a convolution of {kernel.ndim - 2} dimensions")
    axes = kernel.ndim - 2
    strides = list(attributes.get("strides", [1] * axes))
    dilations = list(attributes.get("dilations", [1] * axes))
    pads = _pads(graph, conv, kernel.shape[2:], strides, dilations)
    if axes == 1:
        kernel = kernel[:, :, None]
        strides, dilations = [1, *strides], [1, *dilations]
        pads = [0, pads[0], 0, pads[1]]
    layer.set_geometry(
        strides=strides,
        pads=pads,
        dilations=dilations,
        group=attributes.get("group", 1),
    )
    layer.set_weight("kernel", kernel)
    if len(conv.inputs) > 2 and conv.inputs[2]:
        layer.set_weight("bias", _weights(graph, conv.inputs[2], "its bias"))


def max_pool(node: OnnxNode, graph: FloatGraph) -> dict:
    """What a `MaxPool` says, with its pads as numbers."""
    attributes = node.attributes
    window = attributes["kernel_shape"]
    strides = attributes.get("strides", [1] * len(window))
    if len(window) != 2 or set(attributes.get("dilations", [1])) != {1}:
        raise Mismatch("its window is dilated or has not two dimensions")
    if any(node.outputs[1:]):
        raise Mismatch("it gives out the places of the largest values")
    pads = _pads(graph, node, window, strides, [1, 1])
    if attributes.get("ceil_mode", 0):
        pads = _ceiled(sizes_of(graph, node.inputs[0]), window, strides, pads)
    return {
        "pool_type": "max",
        "pool_size": window,
        "pool_strides": strides,
        "pool_pads": pads,
    }


def _pads(graph: FloatGraph, node: OnnxNode, window, strides, dilations) -> list[int]:
    """The pads around the images that a node takes, as numbers."""
    auto_pad = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto_pad == "NOTSET":
        return list(node.attributes.get("pads", [0] * 2 * len(window)))
    sizes = (0,) * len(window)
    if auto_pad != "VALID":
        sizes = sizes_of(graph, node.inputs[0], len(window))
    return window_pads(sizes, window, strides, dilations, auto_pad)


def _ceiled(sizes, window, strides, pads: list[int]) -> list[int]:
    """Pads with which windows that hang over the end count, if they start before it."""
    whole = window_counts(sizes, window, strides, pads)
    for axis, size in enumerate(sizes):
        start = whole[axis] * strides[axis]
        rest = size + pads[axis] + pads[axis + 2] - window[axis]
        if rest % strides[axis] and start < size + pads[axis]:
            pads[axis + 2] += start - rest
    return pads


def sizes_of(graph: FloatGraph, tensor: str, axes: int = 2) -> tuple[int, ...]:
    """Height and width of an image, or the length of a series."""
    shape = graph.shape(tensor)
    if shape is None or len(shape) != 2 + axes or None in shape[2:]:
        raise Mismatch(f"the size of the image it takes is open, {shape}")
    return shape[2:]


def _weights(graph: FloatGraph, tensor: str, what: str) -> np.ndarray:
    values = graph.constant(tensor)
    if values is None:
        raise Mismatch(f"{what} depends on the input")
    if not np.all(np.isfinite(values)):
        raise Mismatch(f"{what} is not finite")
    return values


def set_bound(layer: OnnxLayer, nodes: list[OnnxNode], graph: FloatGraph) -> None:
    """Keeps the upper bound of a Clip that is the layer's ReLU."""
    clip = next((node for node in nodes if node.op == "Clip"), None)
    if clip is None or len(clip.inputs) < 3 or not clip.inputs[2]:
        return
    bound = _weights(graph, clip.inputs[2], "its upper bound")
    if float(bound.reshape(-1)[0]) < np.finfo(np.float32).max:
        layer.set_weight("max_value", np.float64(bound.reshape(-1)[0]))


def _channels_first(
    kernel: np.ndarray, transpose: OnnxNode, graph: FloatGraph
) -> np.ndarray:
    """The kernel of inputs that are no longer transposed before they are flattened."""
    shape = graph.shape(transpose.inputs[0])
    order = transpose.attributes.get("perm")
    if shape is None or order is None or order[0] != 0 or None in shape[1:]:
        raise Mismatch("the axes that are transposed are not known")
    moved = kernel.reshape(len(kernel), *(shape[axis] for axis in order[1:]))
    back = np.argsort(order)
    return moved.transpose(back).reshape(len(kernel), -1)


def unchanged(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedDepthwise2D` of weights of one, for ReLU and poolings after it."""
    kinds = [graph.names_of(node) for node in nodes]
    if graph.activation_bits == 16 and kinds == [{"MaxPool"}]:
        raise Mismatch("integers of 16 bits are compared, not summed")
    layer = _of_equal_weights(nodes[0], graph, (1, 1))
    layer.activation = any("Relu" in kind for kind in kinds)
    if "MaxPool" in kinds[-1]:
        layer.set_pool(**max_pool(nodes[-1], graph))
    elif "GlobalAveragePool" in kinds[-1]:
        _require_sum(nodes[0].inputs[0], graph)
        layer.set_pool("gap")
    if "ReduceMean" in kinds[-1]:
        layer.set_geometry(keepdims=nodes[-1].attributes.get("keepdims", 1))
    set_bound(layer, nodes, graph)
    return layer


def average_pool(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedDepthwise2D` of weights of one over the size of the window."""
    attributes = nodes[0].attributes
    pads = attributes.get("pads", [0] * 4)
    if any(pads) and not attributes.get("count_include_pad", 0):
        raise Mismatch("windows at its border average fewer values")
    if attributes.get("ceil_mode", 0) or set(attributes.get("dilations", [1])) != {1}:
        raise Mismatch("its windows are dilated or hang over the border")
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Mismatch("windows at its border average fewer values")
    layer = _of_equal_weights(nodes[0], graph, attributes["kernel_shape"])
    layer.set_geometry(pads=pads, strides=attributes.get("strides", [1, 1]))
    return layer


def _of_equal_weights(node: OnnxNode, graph: FloatGraph, window) -> OnnxLayer:
    shape = graph.shape(node.inputs[0])
    if shape is None or len(shape) != 4 or shape[1] is None or len(window) != 2:
        raise Mismatch(f"it takes no images of known channels, {shape}")
    layer = QuantizedDepthwise2D()
    layer.set_geometry(group=shape[1])
    layer.set_weight("kernel", np.full((shape[1], 1, *window), 1 / np.prod(window)))
    return layer
