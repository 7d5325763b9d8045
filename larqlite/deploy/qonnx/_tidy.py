"""What readers of QONNX expect of standard nodes, and what they need not see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larqlite.onnx_graph import OnnxNode, Writer, drop_unread

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
BROADCASTING = ("Add", "Sub", "Mul", "Div", "Max", "Min")


def gather_float_kernels(graph: Writer) -> dict[str, tuple[int, ...]]:
    """Leaves nothing but the codes of a kernel where a layer computes in float: its scale
    is multiplied behind the sums, its axes are stored in the order that is read.

    Returns:
        The order of the axes, by the name of the node that unpacks a kernel.
    """
    orders = {}
    for unpack in [node for node in graph.nodes if node.op == "Unpack"]:
        scaled, turned = None, _only_user(graph, unpack.outputs[0])
        if turned is not None and turned.op == "Mul":
            scaled, turned = turned, _only_user(graph, turned.outputs[0])
        if turned is None or turned.op != "Transpose":
            continue
        reader = _only_user(graph, turned.outputs[0])
        if reader is None or reader.op not in ("MatMul", "Conv"):
            continue
        order, scale = tuple(turned.attributes["perm"]), None
        if scaled is not None:
            scale = graph.constants.get(scaled.inputs[1])
            scale = None if scale is None else _of_channels(scale, order, reader.op)
            if scale is None:
                continue
        graph.redirect(turned.outputs[0], unpack.outputs[0], [reader])
        for node in filter(None, (turned, scaled)):
            graph.remove(node)
        graph.shapes[unpack.outputs[0]] = graph.shapes[turned.outputs[0]]
        if scale is not None:
            reader = graph.consumers(unpack.outputs[0])[0]
            _multiply(graph, reader, scale)
        orders[unpack.name] = order
    return orders


def _only_user(graph: Writer, tensor: str) -> OnnxNode | None:
    users = graph.consumers(tensor)
    return users[0] if len(users) == 1 and graph.uses(tensor) == 1 else None


def _of_channels(
    scale: np.ndarray, order: tuple[int, ...], op: str
) -> np.ndarray | None:
    """The scale of each channel out; None if a kernel has others."""
    if scale.size == 1:
        return scale.ravel()
    channels = len(order) - 1 if op == "MatMul" else 0
    if scale.ndim != len(order) or scale.shape[order[channels]] != scale.size:
        return None
    return scale.ravel()


def _multiply(graph: Writer, node: OnnxNode, scale: np.ndarray) -> None:
    """Puts a `Mul` behind a node, by one number or by one for each channel."""
    output = node.outputs[0]
    inner = graph.tensor_name(f"{node.name}/sums:0")
    rank = len(graph.shapes[output])
    axis = rank - 1 if node.op == "MatMul" else 1
    shape = [1] * rank
    shape[axis] = scale.size
    stored = graph.constant(scale.reshape(shape if scale.size > 1 else ()), "scale")
    graph.shapes[inner] = graph.shapes[output]
    node = graph.change(node, outputs=(inner,))
    name = f"{node.name}/kernel_scale"
    graph.insert(OnnxNode("Mul", (inner, stored), (output,), name), after=node)


def tidy(graph: Writer, outputs: Sequence[str]) -> None:
    """Drops what nobody reads, gives windows all their attributes, and constants the rank
    of what they are combined with.

    Of a constant (C, 1, 1) beside an image some tools do not see which axis its C is.
    """
    drop_unread(graph, outputs)
    for node in graph.nodes:
        if node.op in _WINDOWS:
            _complete(graph, node)
        elif node.op in BROADCASTING and not node.domain:
            _with_all_axes(graph, node)
    graph.drop_constants([name for name in graph.constants if not graph.uses(name)])


def _complete(graph: Writer, node: OnnxNode) -> None:
    rank = len(node.attributes["kernel_shape"])
    all_of_them = {"strides": [1] * rank, "pads": [0] * 2 * rank}
    if node.op.startswith("Conv"):
        all_of_them |= {"dilations": [1] * rank, "group": 1}
    missing = {
        name: value
        for name, value in all_of_them.items()
        if not node.attributes.get(name)
    }
    if missing:
        graph.change(node, attributes=node.attributes | missing)


def _with_all_axes(graph: Writer, node: OnnxNode) -> None:
    rank = len(graph.shapes.get(node.outputs[0], ()))
    for name in node.inputs:
        array = graph.constants.get(name)
        if array is not None and array.size > 1 and array.ndim < rank:
            shape = (*[1] * (rank - array.ndim), *array.shape)
            other = graph.constant(array.reshape(shape), name.rpartition("/")[2])
            graph.redirect(name, other, [graph.producer(node.outputs[0])])
