"""From operations that move numbers, or join tensors, to integer layers."""

from __future__ import annotations

import math

import numpy as np

from larqlite.integer.onnx.layers import OnnxLayer, QuantizedConcat, QuantizedMove
from larqlite.integer.onnx.quantization._custom_patterns import Mismatch
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.onnx_graph import OnnxNode, window_pads

__all__ = ["concat", "max_of_window", "move", "pad", "resize", "sliced", "split_part"]


def move(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMove` of Transpose, Reshape and others that only rearrange."""
    node = nodes[0]
    attributes, constants = dict(node.attributes), {}
    if node.op == "Transpose":
        rank = len(_shape(graph, node.inputs[0]))
        attributes = {"perm": list(attributes.get("perm", range(rank)[::-1]))}
    elif node.op == "Reshape":
        attributes, constants = {}, {"size": _size(graph, node)}
    elif node.op == "Flatten":
        attributes = {"axis": attributes.get("axis", 1)}
    elif node.op in ("Squeeze", "Unsqueeze"):
        constants = {"axes": _axes(graph, node)}
    elif node.op == "DepthToSpace":
        mode = attributes.get("mode", b"DCR")
        attributes = {"blocksize": attributes["blocksize"], "mode": mode}
    keeps = node.op == "Identity" or _only_drops_ones(graph, node)
    if node.op == "Transpose":
        keeps = attributes["perm"][:2] == [0, 1]
    shape = _shape(graph, node.outputs[0])
    return QuantizedMove(node.op, shape, attributes, constants, keeps)


def sliced(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMove` of a Slice with constant bounds."""
    node = nodes[0]
    rank = len(_shape(graph, node.inputs[0]))
    inputs = [*node.inputs, "", "", ""][:5]
    starts, ends = (_constant(graph, t, "its bounds") for t in inputs[1:3])
    axes = np.arange(len(starts))
    if inputs[3]:
        axes = _constant(graph, inputs[3], "its axes") % rank
    steps = np.ones(len(starts), np.int64)
    if inputs[4]:
        steps = _constant(graph, inputs[4], "its steps")
    return _slice(graph, node, node.outputs[0], starts, ends, axes, steps)


def split_part(node: OnnxNode, output: str, graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMove` of one of the outputs of a Split."""
    shape = _shape(graph, node.inputs[0])
    axis = node.attributes.get("axis", 0) % len(shape)
    sizes = [(graph.shape(t) or (None,) * 9)[axis] for t in node.outputs]
    if len(node.inputs) > 1 and node.inputs[1]:
        sizes = _constant(graph, node.inputs[1], "how it is split").tolist()
    if None in sizes:
        raise Mismatch("the sizes of its parts are open")
    at = list(node.outputs).index(output)
    start = np.array([sum(sizes[:at])])
    end = start + sizes[at]
    return _slice(graph, node, output, start, end, np.array([axis]), np.array([1]))


def _slice(graph, node, output, starts, ends, axes, steps) -> OnnxLayer:
    keeps: bool | range = True
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis != 1:
            continue
        channels = _shape(graph, node.inputs[0])[1]
        keeps = False
        if channels is not None:
            keeps = range(channels)[int(start) : int(end) : int(step)]
    constants = dict(zip(_BOUNDS, (starts, ends, axes, steps), strict=True))
    constants = {key: np.asarray(v, np.int64) for key, v in constants.items()}
    return QuantizedMove("Slice", _shape(graph, output), None, constants, keeps)


_BOUNDS = ("starts", "ends", "axes", "steps")


def pad(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMove` of a Pad with zeros, or with values of the tensor."""
    node = nodes[0]
    shape = _shape(graph, node.inputs[0])
    inputs = [*node.inputs, "", "", ""][:4]
    amounts = _constant(graph, inputs[1], "its amounts")
    mode = node.attributes.get("mode", b"constant")
    value = _constant(graph, inputs[2], "its value") if inputs[2] else np.zeros(1)
    if mode == b"constant" and value.size and float(value.reshape(-1)[0]):
        raise Mismatch(f"it pads with {float(value.reshape(-1)[0]):g}")
    axes = np.arange(len(shape))
    if inputs[3]:
        axes = _constant(graph, inputs[3], "its axes") % len(shape)
    by_axis = np.zeros((2, len(shape)), np.int64)
    by_axis[:, axes] = amounts.reshape(2, -1)
    constants = {"amounts": by_axis.reshape(-1)}
    keeps = not by_axis[:, 1].any()
    output = _shape(graph, node.outputs[0])
    return QuantizedMove("Pad", output, {"mode": mode}, constants, keeps)


def resize(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMove` of a Resize that takes the nearest number."""
    node, shape = nodes[0], _shape(graph, nodes[0].inputs[0])
    attributes = node.attributes
    if attributes.get("mode", b"nearest") != b"nearest":
        raise Mismatch(f"it interpolates ({attributes['mode'].decode()})")
    how = attributes.get("coordinate_transformation_mode", b"half_pixel")
    if how == b"tf_crop_and_resize" or "axes" in attributes:
        raise Mismatch("it resizes a part, or some axes")
    inputs = [*node.inputs, "", "", ""][:4]
    kept = {
        "nearest_mode": attributes.get("nearest_mode", b"round_prefer_floor"),
        "coordinate_transformation_mode": how,
    }
    output = _shape(graph, node.outputs[0])
    scales = graph.constant(inputs[2]) if inputs[2] else None
    if scales is not None and scales.size:
        keeps = len(shape) == 4 and scales[1] == 1
        constants = {"scales": scales.astype(np.float32)}
        return QuantizedMove("ResizeByScales", output, kept, constants, keeps)
    sizes = _constant(graph, inputs[3], "its sizes")
    keeps = len(shape) == 4 and sizes[1] == shape[1]
    constants = {"sizes": sizes.astype(np.int64)}
    return QuantizedMove("ResizeToSizes", output, kept, constants, keeps)


def max_of_window(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedMove` of MaxPool or GlobalMaxPool: the largest stays the largest."""
    node = nodes[0]
    shape = _shape(graph, node.inputs[0])
    output = _shape(graph, node.outputs[0])
    if any(node.outputs[1:]):
        raise Mismatch("it gives out the places of the largest values")
    if node.op == "GlobalMaxPool":
        return QuantizedMove(node.op, output, keeps_channels=True)
    attributes = node.attributes
    window = list(attributes["kernel_shape"])
    if attributes.get("ceil_mode", 0) or set(attributes.get("dilations", [1])) != {1}:
        raise Mismatch("its windows are dilated or hang over the border")
    strides = list(attributes.get("strides", [1] * len(window)))
    auto_pad = attributes.get("auto_pad", b"NOTSET").decode()
    pads = list(attributes.get("pads", [0] * 2 * len(window)))
    if auto_pad != "NOTSET":
        if None in shape[2:] or len(window) != 2:
            raise Mismatch(f"the size of the image it takes is open, {shape}")
        ones = [1] * len(window)
        pads = window_pads(shape[2:], window, strides, ones, auto_pad)
    kept = {"kernel_shape": window, "strides": strides, "pads": pads}
    return QuantizedMove("MaxPool", output, kept, keeps_channels=True)


def concat(nodes: list[OnnxNode], graph: FloatGraph) -> OnnxLayer:
    """`QuantizedConcat` of tensors side by side."""
    node = nodes[0]
    if any(graph.is_constant(tensor) for tensor in node.inputs):
        raise Mismatch("one of what it joins is a constant")
    shapes = [_shape(graph, tensor) for tensor in node.inputs]
    axis = node.attributes["axis"] % len(shapes[0])
    if axis == 0:
        raise Mismatch("it joins batches")
    return QuantizedConcat(axis, len(node.inputs))


def _size(graph: FloatGraph, node: OnnxNode) -> np.ndarray:
    """The sizes that a Reshape asks for, by number."""
    size = graph.constant(node.inputs[1])
    if size is None:
        shape = graph.shape(node.outputs[0])
        if shape is None or shape.count(None) > 1:
            raise Mismatch("its sizes depend on the input")
        return np.array([-1 if n is None else n for n in shape], np.int64)
    if node.attributes.get("allowzero", 0) and not size.all():
        raise Mismatch("it makes a tensor of no numbers")
    return size.astype(np.int64)


def _axes(graph: FloatGraph, node: OnnxNode) -> np.ndarray:
    if len(node.inputs) > 1 and node.inputs[1]:
        return _constant(graph, node.inputs[1], "its axes").astype(np.int64)
    shape = _shape(graph, node.inputs[0])
    return np.array([axis for axis, size in enumerate(shape) if size == 1], np.int64)


def _only_drops_ones(graph: FloatGraph, node: OnnxNode) -> bool:
    """Whether channels stay on axis 1 while axes of size 1 go or come behind them."""
    before, after = _shape(graph, node.inputs[0]), _shape(graph, node.outputs[0])
    if node.op not in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        return False
    if len(before) < 2 or len(after) < 2 or before[1] is None or before[1] != after[1]:
        return False
    kept = [n for n in before[2:] if n != 1] == [n for n in after[2:] if n != 1]
    is_clear = (before[2:] + after[2:]).count(None) <= 2
    return kept and is_clear and (before[0] == after[0] or math.prod(after[2:]) == 1)


def _shape(graph: FloatGraph, tensor: str) -> tuple[int | None, ...]:
    shape = graph.shape(tensor)
    if shape is None:
        raise Mismatch(f'the number of axes of "{tensor}" is not known')
    return shape


def _constant(graph: FloatGraph, tensor: str, what: str) -> np.ndarray:
    values = graph.constant(tensor) if tensor else None
    if values is None:
        raise Mismatch(f"{what} depend on the input")
    return values
