"""Zero padding in front of a pooling, in a form that no optimizer of a runtime spoils.

ONNX Runtime before 1.32, onnxsim and onnxoptimizer move the zeros of a `Pad` into the
`pads` of the pooling behind it, which are -infinity for a `MaxPool` and are left out of
the mean of an `AveragePool`. So no zero `Pad` stands in front of a pooling in a file.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from larqlite.onnx_graph._writer import OnnxNode, Writer

_POOLINGS = ("MaxPool", "AveragePool")
_PASSING = ("Identity", "Transpose", "Cast")
# Nodes that an optimizer may take away, so that a pooling behind them reads the zeros.
_VANISHING = ("Add", "Sub", "Mul", "Div", "Reshape", "Expand", "Squeeze", "Unsqueeze")
_VANISHING += ("Slice", "Concat", "Flatten", "Dropout", "Sum", "Max", "Min")


@dataclasses.dataclass(frozen=True)
class _Padding:
    """Zeros around what a pooling reads.

    Attributes:
        node: the `Pad`.
        between: nodes from it to the pooling, in this order.
        pads: what it adds to the axes as the pooling sees them: all begins, all ends;
            None if what is between may do more than order axes.
    """

    node: OnnxNode
    between: tuple[OnnxNode, ...]
    pads: tuple[int, ...] | None


def keep_zeros(graph: Writer, outputs: Sequence[str]) -> bool:
    """Rewrites every pooling of a tensor with zeros around it.

    - `MaxPool`: the zeros become its own pads, and the maximum with 0 is taken of each
      window that has some of them.
    - `AveragePool`: they become its own pads, which count (`count_include_pad`).
    - Where a pooling can't have such pads (wider than its window, or pads of its own that
      do not count): a maximum with -infinity, which changes nothing, keeps them apart.

    Args:
        graph: the graph; changed in place.
        outputs: names of the model's outputs.

    Returns:
        Whether something was rewritten, or dropped.
    """
    changed = False
    for pooling in [n for n in graph.nodes if n.op in _POOLINGS and not n.domain]:
        padding = _padding(graph, pooling)
        if padding is None:
            continue
        rewrite = _as_maximum if pooling.op == "MaxPool" else _as_mean
        is_plain = padding.pads is not None and _is_plain(pooling)
        if not (is_plain and rewrite(graph, pooling, padding)):
            _keep_apart(graph, pooling)
        changed = True
    return drop_unread(graph, outputs) or changed


def _padding(graph: Writer, pooling: OnnxNode) -> _Padding | None:
    """The zeros that a pooling reads, if there are any."""
    between: list[OnnxNode] = []
    tensor = pooling.inputs[0]
    while True:
        node = graph.producer(tensor)
        if node is None or node.domain:
            return None
        if node.op == "Pad":
            break
        read = [name for name in node.inputs if name not in graph.constants]
        if node.op not in (*_PASSING, *_VANISHING) or len(read) != 1:
            return None
        between.insert(0, node)
        (tensor,) = read
    pads = graph.constants.get(node.inputs[1])
    value = graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 else 0
    is_constant = node.attributes.get("mode", "constant") == "constant"
    if not is_constant or pads is None or value is None or np.any(value):
        return None
    if not all(step.op in _PASSING for step in between):
        return _Padding(node, tuple(between), None)
    pairs = np.reshape(pads, (2, -1))
    for step in between:
        if step.op == "Transpose":
            pairs = pairs[:, step.attributes["perm"]]
    return _Padding(node, tuple(between), tuple(pairs.ravel().tolist()))


def _is_plain(pooling: OnnxNode) -> bool:
    """Whether nothing but a window, strides and pads says what a pooling does."""
    given = pooling.attributes
    return (
        len(pooling.outputs) == 1
        and given.get("auto_pad", "NOTSET") == "NOTSET"
        and not given.get("ceil_mode")
        and set(given.get("dilations", [1])) == {1}
    )


def _own_pads(
    pooling: OnnxNode, padding: _Padding
) -> tuple[list[int], list[int]] | None:
    """The pads of a pooling with and without the zeros; None if there may be no such."""
    rank = len(padding.pads) // 2
    around = [
        *itertools.chain(*(padding.pads[at : at + 2] for at in (0, rank))),
    ]
    added = [*padding.pads[2:rank], *padding.pads[rank + 2 :]]
    own = list(pooling.attributes.get("pads") or [0] * len(added))
    window = list(pooling.attributes["kernel_shape"]) * 2
    both = [mine + zeros for mine, zeros in zip(own, added, strict=True)]
    fits = all(pad < size for pad, size in zip(both, window, strict=True))
    if any(around) or min(added) < 0 or not fits:
        return None
    return own, both


def _as_maximum(graph: Writer, pooling: OnnxNode, padding: _Padding) -> bool:
    pads = _own_pads(pooling, padding)
    shape = graph.shapes.get(padding.node.inputs[0])
    if pads is None or shape is None or pooling.outputs[0] not in graph.shapes:
        return False
    own, both = pads
    for step in padding.between:
        if step.op == "Transpose":
            shape = tuple(shape[axis] for axis in step.attributes["perm"])
    windows = graph.shapes[pooling.outputs[0]]
    touches = _windows_with_zeros(shape[2:], windows[2:], pooling.attributes, own, both)
    border = np.where(touches, 0, -np.inf).astype(np.float32)
    pooling = _read_inner(graph, pooling, padding, pads=both)
    _then_maximum(graph, pooling, border[None, None], "zeros")
    return True


def _windows_with_zeros(
    lengths: Sequence[int],
    windows: Sequence[int],
    given: dict,
    own: Sequence[int],
    both: Sequence[int],
) -> np.ndarray:
    """Which windows of a pooling lie on zeros.

    Args:
        lengths: of the axes within the zeros.
        windows: how many there are along each axis.
        given: the attributes of the pooling.
        own, both: pads around the zeros, and with them.
    """
    rank = len(lengths)
    strides = given.get("strides") or [1] * rank
    inside = np.ones(tuple(windows), bool)
    for axis, (length, count) in enumerate(zip(lengths, windows, strict=True)):
        first = np.arange(count) * strides[axis] - both[axis]
        end = first + given["kernel_shape"][axis]
        zeros_before = both[axis] - own[axis]
        zeros_after = both[axis + rank] - own[axis + rank]
        before = (first < 0) & (zeros_before > 0)
        after = (end > length) & (zeros_after > 0)
        shape = [-1 if number == axis else 1 for number in range(rank)]
        inside &= ~(before | after).reshape(shape)
    return ~inside


def _as_mean(graph: Writer, pooling: OnnxNode, padding: _Padding) -> bool:
    pads = _own_pads(pooling, padding)
    if pads is None or (
        any(pads[0]) and not pooling.attributes.get("count_include_pad")
    ):
        return False
    _read_inner(graph, pooling, padding, pads=pads[1], count_include_pad=1)
    return True


def _read_inner(
    graph: Writer, pooling: OnnxNode, padding: _Padding, **attributes
) -> OnnxNode:
    """A pooling that reads what the zeros are around, in the order in which it read them,
    with other attributes."""
    tensor = padding.node.inputs[0]
    for step in padding.between:
        if step.op != "Identity":
            name = graph.node(step.op, [tensor], name=step.name, **step.attributes)
            graph.move(graph.producer(name), before=pooling)
            shape = graph.shapes.get(tensor)
            if shape is not None:
                perm = step.attributes.get("perm", range(len(shape)))
                graph.shapes[name] = tuple(shape[axis] for axis in perm)
            tensor = name
    return graph.change(
        pooling,
        inputs=(tensor, *pooling.inputs[1:]),
        attributes=pooling.attributes | attributes,
    )


def _then_maximum(graph: Writer, node: OnnxNode, other: np.ndarray, what: str) -> None:
    """The maximum of a node's output and a constant, under the name of that output."""
    output = node.outputs[0]
    inner = graph.tensor_name(f"{node.name}/without_{what}:0")
    if output in graph.shapes:
        graph.shapes[inner] = graph.shapes[output]
    node = graph.change(node, outputs=(inner, *node.outputs[1:]))
    constant = graph.constant(other, what)
    made = graph.node("Max", [inner, constant], name=f"{node.name}/{what}")
    graph.move(graph.change(graph.producer(made), outputs=(output,)), after=node)


def _keep_apart(graph: Writer, pooling: OnnxNode) -> None:
    """Puts a maximum with -infinity in front of a pooling."""
    tensor = pooling.inputs[0]
    lowest = graph.constant(np.float32(-np.inf), "lowest")
    kept = graph.node("Max", [tensor, lowest], name=f"{pooling.name}/kept")
    graph.move(graph.producer(kept), before=pooling)
    if tensor in graph.shapes:
        graph.shapes[kept] = graph.shapes[tensor]
    graph.change(pooling, inputs=(kept, *pooling.inputs[1:]))


def drop_unread(graph: Writer, outputs: Sequence[str]) -> bool:
    """Removes what nobody reads any more: paddings, nodes and scales of what is read as
    integers; whether there was any. Weights stay: the summary counts them."""
    given_out, read_before, gone = set(outputs), set(), set()
    for node in reversed(graph.nodes):
        is_read = any(graph.uses(t) or t in given_out for t in node.given)
        if not is_read:
            read_before.update(node.taken)
            graph.remove(node)
            graph.shapes.pop(node.outputs[0], None)
            gone.update(node.given)
    unread = [
        name
        for name in (*read_before, *graph.scales)
        if not graph.uses(name) and name not in graph.weights
    ]
    graph.drop_constants(unread)
    # What reads the integers of such a tensor is compared with Keras there.
    graph.roundings = [r for r in graph.roundings if r.tensor not in gone]
    for packed in graph.packed:
        if packed.output in gone:
            packed.output, packed.gives_integers = None, True
    return bool(gone or unread)
