"""Poolings and activations that follow no convolution, as depthwise ones of equal weights."""

from __future__ import annotations

import numpy as np
import onnx

from larqlite.integer.onnx.layers import OnnxLayer, QuantizedDepthwise2D
from larqlite.integer.onnx.quantization._blocks import max_pool, set_bound
from larqlite.integer.onnx.quantization._errors import Mismatch
from larqlite.integer.onnx.quantization._graph import Graph, attributes_of

__all__ = ["average_pool", "unchanged"]


def unchanged(nodes: list[onnx.NodeProto], graph: Graph) -> OnnxLayer:
    """`QuantizedDepthwise2D` of weights of one, for ReLU and poolings after it."""
    kinds = [graph.names_of(node) for node in nodes]
    layer = _of_equal_weights(nodes[0], graph, (1, 1))
    layer.activation = any("Relu" in kind for kind in kinds)
    if "MaxPool" in kinds[-1]:
        layer.set_pool(**max_pool(nodes[-1], graph))
    elif "GlobalAveragePool" in kinds[-1]:
        layer.set_pool("gap")
    if "ReduceMean" in kinds[-1]:
        layer.set_geometry(keepdims=attributes_of(nodes[-1]).get("keepdims", 1))
    set_bound(layer, nodes, graph)
    return layer


def average_pool(nodes: list[onnx.NodeProto], graph: Graph) -> OnnxLayer:
    """`QuantizedDepthwise2D` of weights of one over the size of the window."""
    attributes = attributes_of(nodes[0])
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


def _of_equal_weights(node: onnx.NodeProto, graph: Graph, window) -> OnnxLayer:
    shape = graph.shape(node.input[0])
    if shape is None or len(shape) != 4 or shape[1] is None or len(window) != 2:
        raise Mismatch(f"it takes no images of known channels, {shape}")
    layer = QuantizedDepthwise2D()
    layer.set_geometry(group=shape[1])
    layer.set_weight("kernel", np.full((shape[1], 1, *window), 1 / np.prod(window)))
    return layer
