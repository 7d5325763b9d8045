"""From sequences of float operations to integer layers."""

from __future__ import annotations

import numpy as np

from larqlite.integer.onnx.layers import (
    OnnxLayer,
    QuantizedAdd,
    QuantizedConv2D,
    QuantizedDense1D,
    QuantizedDepthwise2D,
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
    "normalization",
    "set_bound",
    "sizes_of",
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
    attributes = node.attributes if node.op == "Gemm" else {}
    kernel = _weights(graph, node.inputs[1], "its kernel").astype(np.float64)
    if attributes.get("transA", 0):
        raise Mismatch("transA=1 takes the batch for an axis of inputs")
    if kernel.ndim != 2 or graph.rank(node.inputs[0]) != 2:
        raise Mismatch("it is no product of rows with one matrix")
    if not attributes.get("transB", 0):
        kernel = kernel.T
    kernel = kernel * attributes.get("alpha", 1.0)
    if at and "Transpose" in kinds[0]:
        kernel = _channels_first(kernel, nodes[0], graph)
    layer = QuantizedDense1D(flatten=at > 0, activation=at < len(nodes) - 1)
    layer.set_weight("kernel", kernel)
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = _weights(graph, node.inputs[2], "its bias").astype(np.float64)
        if bias.size not in (1, len(kernel)) or bias.shape[:-1] not in ((), (1,)):
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
    if nodes[1].op == "Clip" and len(nodes[1].inputs) > 2 and nodes[1].inputs[2]:
        raise Mismatch("the ReLU after it is clipped")
    layer = add(nodes, graph)
    layer.activation = True
    return layer


def _set_convolution(layer: OnnxLayer, conv: OnnxNode, graph: FloatGraph) -> None:
    attributes = conv.attributes
    kernel = _weights(graph, conv.inputs[1], "its kernel")
    if kernel.ndim != 4:
        raise Mismatch(f"it is a convolution of {kernel.ndim - 2} dimensions")
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    pads = _pads(graph, conv, kernel.shape[2:], strides, dilations)
    layer.set_geometry(pads=pads, dilations=dilations, group=attributes.get("group", 1))
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
        return list(node.attributes.get("pads", [0] * 4))
    sizes = (0, 0) if auto_pad == "VALID" else sizes_of(graph, node.inputs[0])
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


def sizes_of(graph: FloatGraph, tensor: str) -> tuple[int, ...]:
    """Height and width of an image."""
    shape = graph.shape(tensor)
    if shape is None or len(shape) != 4 or None in shape[2:]:
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
    layer = _of_equal_weights(nodes[0], graph, (1, 1))
    layer.activation = any("Relu" in kind for kind in kinds)
    if "MaxPool" in kinds[-1]:
        layer.set_pool(**max_pool(nodes[-1], graph))
    elif "GlobalAveragePool" in kinds[-1]:
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
