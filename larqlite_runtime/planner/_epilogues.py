"""Standard nodes as epilogues: operations that rows of values pass through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner._layouts import is_gate, per_channel
from larqlite_runtime.planner._subgraph import ADD_SCALED, Subgraph


@dataclass(frozen=True)
class Epilogue:
    """One node as one operation on rows of values.

    Attributes:
        flowing: the tensor that passes through.
        kind: the operation; None changes nothing.
        values: one per channel.
        other: a second tensor: the same shape, or one value per image and channel.
        image: the same in every image, float32 `(..., channels)`, added as a tensor.
        low, high: of a clip; `low` is the factor of an ELU.
    """

    flowing: str
    kind: EpilogueKind | None = None
    values: np.ndarray | None = None
    other: str | None = None
    image: np.ndarray | None = None
    low: float = -np.inf
    high: float = np.inf

    @property
    def is_monotone(self) -> bool:
        """Whether, channel by channel, values keep or reverse their order."""
        if self.kind in (EpilogueKind.MULTIPLY, EpilogueKind.ADD):
            return bool(np.isfinite(self.values).all())
        if self.kind == EpilogueKind.DIVIDE:
            return bool((self.values != 0).all() and np.isfinite(self.values).all())
        if self.kind == EpilogueKind.PRELU:
            return bool((self.values >= 0).all() and np.isfinite(self.values).all())
        return self.kind in (None, EpilogueKind.RELU, EpilogueKind.CLIP)


def epilogues_of(
    node: GraphNode, subgraph: Subgraph, axis: int, whole: bool = False
) -> list[Epilogue]:
    """The ways in which a node is an epilogue; none if it is not.

    Args:
        node: any node.
        subgraph: the graph it is part of.
        axis: of the channels.
        whole: whether the kernels have to run all they can, what is no faster there too.
    """
    find = _EPILOGUES.get((node.domain, node.op))
    if whole:
        find = _OF_WHOLE_PROGRAMS.get((node.domain, node.op), find)
    if find is None or len(node.outputs) != 1:
        return []
    if subgraph.dtypes[node.outputs[0]] != np.float32:
        return []
    shape = subgraph.shapes[node.outputs[0]]
    return [
        way
        for way in find(node, subgraph, axis)
        if subgraph.shapes.get(way.flowing) == shape
    ]


def _with_constant(
    node: GraphNode, subgraph: Subgraph, axis: int, kind: EpilogueKind
) -> list[Epilogue]:
    """A node of a tensor and a constant, in either order."""
    shape = subgraph.shapes[node.outputs[0]]
    found = []
    for flowing, other in (node.inputs, node.inputs[::-1]):
        if other in subgraph.constants and flowing not in subgraph.constants:
            values = per_channel(subgraph.constants[other], shape, axis)
            if values is not None:
                found.append(Epilogue(flowing, kind, values))
    return found


def _with_image(
    node: GraphNode,
    subgraph: Subgraph,
    axis: int,
    kind: EpilogueKind = EpilogueKind.ADD_TENSOR,
) -> list[Epilogue]:
    """The sum, or the product, of a tensor and a constant of the sizes of one image."""
    shape = subgraph.shapes[node.outputs[0]]
    for flowing, other in (node.inputs, node.inputs[::-1]):
        array = subgraph.constants.get(other)
        if array is None or flowing in subgraph.constants or array.ndim != len(shape):
            continue
        if array.dtype == np.float32 and array.shape == (1, *shape[1:]):
            image = np.ascontiguousarray(np.moveaxis(array, axis, -1)[0])
            return [Epilogue(flowing, kind, image=image)]
    return []


def _multiply(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    found = _with_constant(node, subgraph, axis, EpilogueKind.MULTIPLY)
    shape = subgraph.shapes[node.outputs[0]]
    if set(node.inputs) & subgraph.constants.keys():
        return found
    for flowing, gate in (node.inputs, node.inputs[::-1]):
        if is_gate(subgraph.shapes[gate], shape, axis) and flowing != gate:
            found.append(Epilogue(flowing, EpilogueKind.MULTIPLY_IMAGE, other=gate))
    return found


def _multiply_any(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    """The same, and products of two tensors of one shape, or with an image."""
    found, kind = _multiply(node, subgraph, axis), EpilogueKind.MULTIPLY_TENSOR
    first, second = node.inputs
    if set(node.inputs) & subgraph.constants.keys():
        return found or _with_image(node, subgraph, axis, kind)
    if subgraph.shapes[first] == subgraph.shapes[second]:
        found.append(Epilogue(first, kind, other=second))
        found.append(Epilogue(second, kind, other=first))
    return found


def _add(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    first, second = node.inputs
    if set(node.inputs) & subgraph.constants.keys():
        found = _with_constant(node, subgraph, axis, EpilogueKind.ADD)
        return found or _with_image(node, subgraph, axis)
    if subgraph.shapes[first] != subgraph.shapes[second]:
        return []
    found = [Epilogue(first, EpilogueKind.ADD_TENSOR, other=second)]
    if first != second:
        found.append(Epilogue(second, EpilogueKind.ADD_TENSOR, other=first))
    return found


def _add_scaled(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    flowing, one, factor = node.inputs
    values = per_channel(
        subgraph.constants[factor], subgraph.shapes[node.outputs[0]], axis
    )
    if values is None or subgraph.shapes[one][axis] != 1:
        return []
    return [Epilogue(flowing, EpilogueKind.ADD_SCALED, values, other=one)]


def _subtract(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    if node.inputs[1] not in subgraph.constants:
        return []
    found = _with_constant(node, subgraph, axis, EpilogueKind.ADD)
    return [Epilogue(way.flowing, EpilogueKind.ADD, -way.values) for way in found]


def _divide(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    if node.inputs[1] not in subgraph.constants:
        return []
    return _with_constant(node, subgraph, axis, EpilogueKind.DIVIDE)


def _negative(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    channels = subgraph.shapes[node.outputs[0]][axis]
    return [
        Epilogue(
            node.inputs[0], EpilogueKind.MULTIPLY, np.full(channels, -1, np.float32)
        )
    ]


def _prelu(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    slope = subgraph.constant_input(node, 1)
    if slope is None:
        return []
    values = per_channel(slope, subgraph.shapes[node.outputs[0]], axis)
    return (
        [] if values is None else [Epilogue(node.inputs[0], EpilogueKind.PRELU, values)]
    )


def _leaky_relu(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    channels = subgraph.shapes[node.outputs[0]][axis]
    slope = np.float32(node.attributes.get("alpha", 0.01))
    return [
        Epilogue(
            node.inputs[0], EpilogueKind.PRELU, np.full(channels, slope, np.float32)
        )
    ]


def _clip(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    bounds = []
    for number, without in ((1, -np.inf), (2, np.inf)):
        if len(node.inputs) <= number or not node.inputs[number]:
            bounds.append(without)
            continue
        bound = subgraph.constant_input(node, number)
        if bound is None or bound.size != 1:
            return []
        bounds.append(float(bound.reshape(())))
    low, high = bounds
    return [Epilogue(node.inputs[0], EpilogueKind.CLIP, low=low, high=high)]


def _softmax(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    rank = len(subgraph.shapes[node.outputs[0]])
    if node.attributes.get("axis", -1) % rank != axis:
        return []
    return [Epilogue(node.inputs[0], EpilogueKind.SOFTMAX)]


def _divide_any(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    """The same, and quotients of two tensors of one shape."""
    first, second = node.inputs
    if set(node.inputs) & subgraph.constants.keys():
        return _divide(node, subgraph, axis)
    if subgraph.shapes[first] != subgraph.shapes[second]:
        return []
    return [Epilogue(first, EpilogueKind.DIVIDE_TENSOR, other=second)]


def _elu(node: GraphNode, subgraph: Subgraph, axis: int) -> list[Epilogue]:
    alpha = float(node.attributes.get("alpha", 1.0))
    return [Epilogue(node.inputs[0], EpilogueKind.ELU, low=alpha)]


def _function(
    kind: EpilogueKind,
) -> Callable[[GraphNode, Subgraph, int], list[Epilogue]]:
    return lambda node, subgraph, axis: [Epilogue(node.inputs[0], kind)]


_EPILOGUES: dict[
    tuple[str, str], Callable[[GraphNode, Subgraph, int], list[Epilogue]]
] = {
    ("", "Mul"): _multiply,
    ("", "Div"): _divide,
    ("", "Add"): _add,
    ("", "Sub"): _subtract,
    ("", "Neg"): _negative,
    ("", "Relu"): _function(EpilogueKind.RELU),
    ("", "PRelu"): _prelu,
    ("", "LeakyRelu"): _leaky_relu,
    ("", "Clip"): _clip,
    ("", "Softmax"): _softmax,
    (DOMAIN, ADD_SCALED): _add_scaled,
    (DOMAIN, "Sign"): _function(EpilogueKind.SIGN),
    ("", "Floor"): _function(EpilogueKind.FLOOR),
}
# Those that ONNX Runtime runs, unless the kernels have to run everything.
_OF_WHOLE_PROGRAMS: dict[
    tuple[str, str], Callable[[GraphNode, Subgraph, int], list[Epilogue]]
] = {
    ("", "Mul"): _multiply_any,
    ("", "Div"): _divide_any,
    ("", "Sqrt"): _function(EpilogueKind.SQUARE_ROOT),
    ("", "Sigmoid"): _function(EpilogueKind.SIGMOID),
    ("", "Tanh"): _function(EpilogueKind.TANH),
    ("", "Elu"): _elu,
}
