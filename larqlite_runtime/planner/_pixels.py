"""Integer pixels: what a network does with its input before the first sums of products."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner.producers import PixelScale

_SUMS = ("Conv", "Gemm", "MatMul")
_STEPS = ("Mul", "Add", "Sub", "Div")


@dataclass(frozen=True)
class PixelLayer:
    """The layer that reads pixels, and the scaling before it, which its weights take in.

    Attributes:
        name: of its node.
        source: name of the input.
        scale: of each channel.
        scaling: names of the nodes that scaled the input.
    """

    name: str
    source: str
    scale: PixelScale
    scaling: tuple[str, ...]


def take_pixels(
    subgraph: Subgraph, before: PixelScale | None = None
) -> tuple[Subgraph, list[PixelLayer]]:
    """The graph without the scaling of its inputs, and the layers that take it in.

    A layer does if all that lies between it and the input are products and sums with
    constants, one for each channel, and changes of layout, with no other reader.

    Args:
        subgraph: the graph.
        before: what is made of pixels before they are fed, of the last axis of an input.
    """
    layers, gone, fed_by = [], set(), {}
    for name in subgraph.inputs:
        found = _layer_of(subgraph, name, before)
        if found is None:
            continue
        layer, dropped = found
        layers.append(layer)
        for number, flowing in dropped.items():
            gone.add(number)
            fed_by[subgraph.nodes[number].outputs[0]] = flowing
    return subgraph.without(gone, fed_by), layers


def _layer_of(
    subgraph: Subgraph, name: str, before: PixelScale | None
) -> tuple[PixelLayer, dict[int, str]] | None:
    shape = subgraph.shapes[name]
    if subgraph.dtypes[name] != np.float32 or len(shape) < 2 or shape[0] is not None:
        return None
    tensor, axis = name, len(shape) - 1
    factor, offset = np.ones([1] * len(shape)), np.zeros([1] * len(shape))
    if before is not None:
        if {before.factor.size, before.offset.size} - {1, shape[-1]}:
            return None
        factor = factor * before.factor.reshape(-1)
        offset = offset + before.offset.reshape(-1)
    dropped: dict[int, str] = {}
    while True:
        readers = subgraph.consumers.get(tensor, ())
        if len(readers) != 1 or tensor in subgraph.outputs:
            return None
        node = subgraph.nodes[readers[0]]
        if node.domain:
            return None
        if node.op in _SUMS:
            break
        if node.op == "Transpose":
            order = [int(number) for number in node.attributes.get("perm", ())]
            if not order or order[0] != 0:
                return None
            factor, offset = factor.transpose(order), offset.transpose(order)
            axis = order.index(axis)
        elif node.op in ("Reshape", "Flatten") and factor.size == offset.size == 1:
            rank = len(subgraph.shapes[node.outputs[0]])
            factor, offset = factor.reshape([1] * rank), offset.reshape([1] * rank)
            axis = rank - 1
        else:
            made = _scaled(subgraph, node, tensor, factor, offset)
            if made is None:
                return None
            factor, offset = made
            dropped[readers[0]] = tensor
        tensor = node.outputs[0]
    channels = subgraph.shapes[tensor][1]
    if axis != 1 or node.inputs[0] != tensor or len(node.inputs) < 2:
        return None
    scale = PixelScale(_each(factor, channels), _each(offset, channels))
    if scale.factor is None or scale.offset is None:
        return None
    scaling = tuple(subgraph.nodes[number].name for number in dropped)
    return PixelLayer(node.name, name, scale, scaling), dropped


def _scaled(
    subgraph: Subgraph,
    node: GraphNode,
    tensor: str,
    factor: np.ndarray,
    offset: np.ndarray,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Factor and offset behind a product or a sum with a constant."""
    if node.op not in _STEPS or len(node.inputs) != 2:
        return None
    is_first = node.inputs[0] == tensor
    constant = subgraph.constant_input(node, 1 if is_first else 0)
    if constant is None or subgraph.shapes[node.outputs[0]] != subgraph.shapes[tensor]:
        return None
    if constant.dtype != np.float32 or not np.isfinite(constant).all():
        return None
    constant = constant.astype(np.float64)
    if node.op == "Mul":
        return factor * constant, offset * constant
    if node.op == "Add":
        return factor, offset + constant
    if node.op == "Sub":
        sign = 1 if is_first else -1
        return sign * factor, sign * (offset - constant)
    if not is_first or not constant.all():
        return None
    return factor / constant, offset / constant


def _each(values: np.ndarray, channels: int) -> np.ndarray | None:
    """One value for each channel, of axis 1; None if values differ elsewhere."""
    if values.size != 1 and values.shape[1] != values.size:
        return None
    return np.broadcast_to(values.reshape(-1), (channels,))
