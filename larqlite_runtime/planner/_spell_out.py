"""Nodes that are several steps of the kernels, spelled out in nodes that are one each.

Rules are by operation; each gives the same values as the node to the last place or two, and
exactly where nothing is rounded. What has no rule has no step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from larqlite_runtime._graph import GraphNode, Shape
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner._graph_writer import GraphWriter
from larqlite_runtime.planner._partition import Partition
from larqlite_runtime.planner._spell_packed import (
    LAYER_RULES,
    QUANTIZER_RULES,
    ROW_RULES,
)
from larqlite_runtime.planner._subgraph import Subgraph


def spelled_out(subgraph: Subgraph, partition: Partition) -> Subgraph | None:
    """The graph with nodes spelled out that have no step; None if there is none to spell out.

    Args:
        subgraph: the graph.
        partition: who runs its nodes now.
    """
    writer = GraphWriter(subgraph)
    is_changed = False
    bits_of: dict[
        int, str
    ] = {}  # what packed nodes read in place of a quantizer of floats
    for number, node in enumerate(subgraph.nodes):
        if number in bits_of:
            node = replace(node, inputs=(bits_of[number], *node.inputs[1:]))
        rule = _RULES.get((node.domain, node.op))
        # What follows a node without a step is looked at once that has one.
        is_next = number in partition.segment and all(
            name in partition.native for name in subgraph.data_inputs(node)
        )
        if not is_next or rule is None:
            writer.nodes.append(node)
            continue
        writer.begin(node)
        if (node.domain, node.op) in QUANTIZER_RULES:
            packed = [
                reader
                for reader in subgraph.consumers.get(node.outputs[0], ())
                if reader in partition.packed
                and partition.packed[reader].source == node.inputs[0]
            ]
            if packed:
                own = writer.again(node)
                bits_of.update(dict.fromkeys(packed, own))
        if rule(writer, node):
            is_changed = True
        else:
            writer.undo()
            writer.nodes.append(node)
    return writer.graph() if is_changed else None


Rule = Callable[[GraphWriter, GraphNode], bool]


def _clip_between(is_least: bool) -> Rule:
    """`Min` or `Max` of a tensor and numbers."""

    def rule(writer: GraphWriter, node: GraphNode) -> bool:
        data = [name for name in node.inputs if not writer.is_constant(name)]
        numbers = [
            writer.value(name) for name in node.inputs if writer.is_constant(name)
        ]
        if len(data) != 1 or any(number.size != 1 for number in numbers):
            return False
        if not numbers:
            return writer.last("Identity", data)
        ends = [float(number.reshape(())) for number in numbers]
        end = writer.constant(np.float32(min(ends) if is_least else max(ends)))
        return writer.last("Clip", [data[0], "", end] if is_least else [data[0], end])

    return rule


def _binary(writer: GraphWriter, node: GraphNode) -> bool:
    """A sum or a product of a tensor and something smaller, that is stretched to it."""
    shape = writer.shape(node.outputs[0])
    inputs = [writer.stretched(name, shape) for name in node.inputs]
    if None in inputs or inputs == list(node.inputs):
        return False
    return writer.last(node.op, inputs)


def _subtract(writer: GraphWriter, node: GraphNode) -> bool:
    first, second = node.inputs
    if writer.is_constant(second):
        return writer.last("Add", [first, writer.constant(-writer.value(second))])
    return writer.last("Add", [writer.add("Neg", [second]), first])


def _divide(writer: GraphWriter, node: GraphNode) -> bool:
    """By what is smaller and stretched, or a constant of other numbers at each place."""
    first, second = node.inputs
    values = writer.value(second)
    if values is None:
        # A number is divided as a tensor of it, which is made of the other one.
        if writer.is_constant(first):
            return _divide_constant(writer, node)
        return _binary(writer, node)
    if writer.is_constant(first):
        return False
    with np.errstate(divide="ignore", over="ignore"):
        inverse = 1 / values
    # Only where the product with the inverse is the quotient.
    is_power = np.frexp(values)[0] == np.copysign(0.5, values)
    if not np.all(is_power & np.isfinite(inverse)):
        return False
    return writer.last("Mul", [first, writer.constant(inverse)])


def _divide_constant(writer: GraphWriter, node: GraphNode) -> bool:
    first, second = node.inputs
    shape = writer.shape(node.outputs[0])
    if writer.shape(second) != shape:
        return False
    # Nothing is left of any number between two ends that are 0.
    zero = writer.constant(0.0)
    nothing = writer.add("Clip", [second, zero, zero])
    return writer.last("Div", [writer.add("Add", [nothing, first], shape), second])


def _sum(writer: GraphWriter, node: GraphNode) -> bool:
    total, *others = node.inputs
    shape = writer.shape(node.outputs[0])
    for other in others:
        total = writer.add("Add", [total, other], shape)
    if node.op == "Sum":
        return writer.last("Identity", [total])
    return writer.last("Div", [total, writer.constant(float(len(node.inputs)))])


def _hard_sigmoid(writer: GraphWriter, node: GraphNode) -> bool:
    alpha, beta = (
        float(node.attributes.get(name, missing))
        for name, missing in (("alpha", 0.2), ("beta", 0.5))
    )
    scaled = writer.add("Mul", [node.inputs[0], writer.constant(alpha)])
    moved = writer.add("Add", [scaled, writer.constant(beta)])
    ends = writer.constant(0.0), writer.constant(1.0)
    return writer.last("Clip", [moved, *ends])


def _hard_swish(writer: GraphWriter, node: GraphNode) -> bool:
    scaled = writer.add("Mul", [node.inputs[0], writer.constant(1 / 6)])
    moved = writer.add("Add", [scaled, writer.constant(0.5)])
    ends = writer.constant(0.0), writer.constant(1.0)
    gate = writer.add("Clip", [moved, *ends])
    return writer.last("Mul", [node.inputs[0], gate])


def _selu(writer: GraphWriter, node: GraphNode) -> bool:
    alpha = float(node.attributes.get("alpha", 1.6732631921768188))
    gamma = float(node.attributes.get("gamma", 1.0507010221481323))
    bent = writer.add("Elu", [node.inputs[0]], alpha=alpha)
    return writer.last("Mul", [bent, writer.constant(gamma)])


def _celu(writer: GraphWriter, node: GraphNode) -> bool:
    """max(0, x) + alpha * min(0, e^(x / alpha) - 1)."""
    alpha = float(node.attributes.get("alpha", 1.0))
    scaled = writer.add("Div", [node.inputs[0], writer.constant(alpha)])
    bent = writer.add("Elu", [scaled], alpha=1.0)
    return writer.last("Mul", [bent, writer.constant(alpha)])


def _softsign(writer: GraphWriter, node: GraphNode) -> bool:
    """x / (1 + |x|)."""
    size = writer.add("LeakyRelu", [node.inputs[0]], alpha=-1.0)
    return writer.last(
        "Div", [node.inputs[0], writer.add("Add", [size, writer.constant(1.0)])]
    )


def _exponential(writer: GraphWriter, node: GraphNode) -> bool:
    """The square of s(x / 2) / s(-x / 2), with the sigmoid s: finite wherever e^x is."""
    half = writer.add("Mul", [node.inputs[0], writer.constant(0.5)])
    turned = writer.add("Neg", [half])
    root = writer.add("Div", [writer.add("Sigmoid", [x]) for x in (half, turned)])
    return writer.last("Mul", [root, root])


def _prelu(writer: GraphWriter, node: GraphNode) -> bool:
    """max(x, 0) + slope * min(x, 0), with another slope at each place."""
    x, slope = node.inputs
    if writer.value(slope) is None:
        return False
    below = writer.add("Clip", [x, "", writer.constant(0.0)])
    return writer.last(
        "Add", [writer.add("Mul", [below, slope]), writer.add("Relu", [x])]
    )


def _thresholded_relu(writer: GraphWriter, node: GraphNode) -> bool:
    """x times 1 above alpha, else 0."""
    x, alpha = node.inputs[0], float(node.attributes.get("alpha", 1.0))
    past = writer.add("Add", [x, writer.constant(-alpha)])
    past = writer.add("Heaviside", [past], domain=DOMAIN)
    # Else 0 times minus infinity would be NaN.
    ends = [writer.constant(min(alpha, 0.0))]
    return writer.last("Mul", [writer.add("Clip", [x, *ends]), past])


def _softmax(writer: GraphWriter, node: GraphNode) -> bool:
    """Along another axis than the last, which is brought there."""
    shape = writer.shape(node.inputs[0])
    axis = int(node.attributes.get("axis", -1)) % len(shape)
    if axis in (0, len(shape) - 1):
        return False
    order = list(range(len(shape)))
    order[axis], order[-1] = order[-1], order[axis]
    sizes = tuple(shape[number] for number in order)
    turned = writer.add("Transpose", [node.inputs[0]], sizes, perm=order)
    return writer.last(
        "Transpose", [writer.add("Softmax", [turned], axis=-1)], perm=order
    )


def _power(writer: GraphWriter, node: GraphNode) -> bool:
    exponent = writer.value(node.inputs[1])
    if exponent is None or exponent.size != 1 or exponent.reshape(()) not in (1, 2, 3):
        return False
    x, times = node.inputs[0], int(exponent.reshape(()))
    if times == 1:
        return writer.last("Identity", [x])
    product = x if times == 2 else writer.add("Mul", [x, x])
    return writer.last("Mul", [product, x])


def _largest(writer: GraphWriter, node: GraphNode) -> bool:
    """The largest value of an image, as a pooling with a window of its size."""
    sizes = list(writer.shape(node.inputs[0])[2:])
    return writer.last("MaxPool", [node.inputs[0]], kernel_shape=sizes)


def _largest_along(writer: GraphWriter, node: GraphNode) -> bool:
    """The same of all axes but one, which is brought to axis 1 for that."""
    shape = writer.shape(node.inputs[0])
    given = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = writer.value(node.inputs[1])
    if given is None or not 3 <= len(shape) <= 5:
        return False
    axes = {int(axis) % len(shape) for axis in np.asarray(given).reshape(-1)}
    left = set(range(1, len(shape))) - axes
    if 0 in axes or len(left) != 1:
        return False
    order = [0, *left, *sorted(axes)]
    sizes = tuple(shape[number] for number in order)
    turned = writer.add("Transpose", [node.inputs[0]], sizes, perm=order)
    small = (*sizes[:2], *[1] * len(axes))
    most = writer.add("MaxPool", [turned], small, kernel_shape=list(sizes[2:]))
    wanted = np.array([-1, *writer.shape(node.outputs[0])[1:]], np.int64)
    return writer.last("Reshape", [most, writer.constant(wanted)])


def _along_channels(writer: GraphWriter, node: GraphNode) -> bool:
    """Mean or sum along axis 1, or the last: a layer of one channel whose weights are equal."""
    shape = writer.shape(node.inputs[0])
    given = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = writer.value(node.inputs[1])
    axes = [] if given is None else np.asarray(given).reshape(-1).tolist()
    axes = [axis % len(shape) for axis in axes]
    if len(shape) < 2 or axes not in ([1], [len(shape) - 1]):
        return False
    count, whole = shape[axes[0]], list(shape)
    whole[axes[0]] = 1
    is_last = axes == [len(shape) - 1]
    each = 1 / count if node.op == "ReduceMean" else 1.0
    sizes = (count, 1) if is_last else (1, count, *[1] * (len(shape) - 2))
    weights = writer.constant(np.full(sizes, each, np.float32))
    op = "MatMul" if is_last else "Conv"
    mean = writer.add(op, [node.inputs[0], weights], tuple(whole))
    if writer.shape(node.outputs[0]) == tuple(whole):
        return writer.last("Identity", [mean])
    wanted = np.array([-1, *writer.shape(node.outputs[0])[1:]], np.int64)
    return writer.last("Reshape", [mean, writer.constant(wanted)])


def _resize(writer: GraphWriter, node: GraphNode) -> bool:
    """Along one axis after another."""
    before, after = (writer.shape(name) for name in (node.inputs[0], node.outputs[0]))
    axes = [axis for axis in range(1, len(after)) if before[axis] != after[axis]]
    factors = writer.value(node.inputs[2]) if len(node.inputs) > 2 else None
    is_by_size = factors is None or not factors.size
    if len(axes) < 2 or any(after[axis] % before[axis] for axis in axes):
        return False
    if not is_by_size and (factors != np.rint(factors)).any():
        return False
    made, sizes = node.inputs[0], list(before)
    given = {key: value for key, value in node.attributes.items() if key != "axes"}
    for axis in axes:
        sizes[axis] = after[axis]
        factor = np.ones(len(after), np.float32)
        factor[axis] = after[axis] // before[axis]
        inputs = [made, "", writer.constant(factor)]
        if axis == axes[-1]:
            return writer.last("Resize", inputs, **given)
        made = writer.add("Resize", inputs, tuple(sizes), **given)
    return False


def _transpose(writer: GraphWriter, node: GraphNode) -> bool:
    """One axis after another brought to its place, from the last on."""
    shape = writer.shape(node.inputs[0])
    order = node.attributes.get("perm") or range(len(shape))[::-1]
    order = [int(axis) for axis in order]
    place = max(at for at, axis in enumerate(order) if at != axis)
    first = [axis for axis in range(len(shape)) if axis != order[place]]
    first.insert(place, order[place])
    if first == order or order[0] != 0:
        return False
    sizes = tuple(shape[axis] for axis in first)
    moved = writer.add("Transpose", [node.inputs[0]], sizes, perm=first)
    rest = [first.index(axis) for axis in order]
    return writer.last("Transpose", [moved], perm=rest)


def _concat(writer: GraphWriter, node: GraphNode) -> bool:
    """A concatenation along an axis in the middle: with that axis brought to the end."""
    shape = writer.shape(node.outputs[0])
    axis = int(node.attributes["axis"]) % len(shape)
    if axis in (0, len(shape) - 1) or any(map(writer.is_constant, node.inputs)):
        return False
    order = list(range(len(shape)))
    order[axis], order[-1] = order[-1], order[axis]

    def swapped(sizes: Shape) -> Shape:
        return tuple(sizes[number] for number in order)

    parts = [
        writer.add("Transpose", [name], swapped(writer.shape(name)), perm=order)
        for name in node.inputs
    ]
    whole = writer.add("Concat", parts, swapped(shape), axis=len(shape) - 1)
    return writer.last("Transpose", [whole], perm=order)


def _split(writer: GraphWriter, node: GraphNode) -> bool:
    """Its parts one by one."""
    first = 0
    axis = int(node.attributes.get("axis", 0)) % len(writer.shape(node.inputs[0]))
    if axis == 0:
        return False
    for name in node.outputs:
        end = first + writer.shape(name)[axis]
        numbers = (np.array([number], np.int64) for number in (first, end, axis))
        operands = [node.inputs[0], *map(writer.constant, numbers)]
        writer.add("Slice", operands, output=name)
        own = f"{node.name}/{len(writer.nodes)}"
        writer.nodes[-1] = replace(writer.nodes[-1], name=own)
        first = end
    return True


def _depth_to_space(writer: GraphWriter, node: GraphNode) -> bool:
    """Channels as the pixels of blocks: two other shapes, and a transposition between."""
    _, channels, height, width = writer.shape(node.inputs[0])
    block = int(node.attributes["blocksize"])
    if node.op == "SpaceToDepth":
        sizes = (None, channels, height // block, block, width // block, block)
        order = [0, 3, 5, 1, 2, 4]
    elif node.attributes.get("mode", "DCR") == "DCR":
        sizes = (None, block, block, channels // block**2, height, width)
        order = [0, 3, 4, 1, 5, 2]
    else:
        sizes = (None, channels // block**2, block, block, height, width)
        order = [0, 1, 4, 2, 5, 3]
    return _through(writer, node, sizes, order)


def _through(
    writer: GraphWriter, node: GraphNode, sizes: Shape, order: list[int]
) -> bool:
    def shaped(shape: Shape) -> str:
        return writer.constant(np.array([-1, *shape[1:]], np.int64))

    cut = writer.add("Reshape", [node.inputs[0], shaped(sizes)], sizes)
    moved_sizes = tuple(sizes[number] for number in order)
    moved = writer.add("Transpose", [cut], moved_sizes, perm=order)
    return writer.last("Reshape", [moved, shaped(writer.shape(node.outputs[0]))])


_RULES: dict[tuple[str, str], Rule] = {
    ("", "Min"): _clip_between(True),
    ("", "Max"): _clip_between(False),
    ("", "Add"): _binary,
    ("", "Mul"): _binary,
    ("", "Sub"): _subtract,
    ("", "Div"): _divide,
    ("", "Sum"): _sum,
    ("", "Mean"): _sum,
    ("", "HardSigmoid"): _hard_sigmoid,
    ("", "HardSwish"): _hard_swish,
    ("", "Abs"): lambda writer, node: writer.last(
        "LeakyRelu", [node.inputs[0]], alpha=-1.0
    ),
    ("", "Selu"): _selu,
    ("", "Celu"): _celu,
    ("", "Pow"): _power,
    ("", "GlobalMaxPool"): _largest,
    ("", "ReduceMax"): _largest_along,
    ("", "ReduceMean"): _along_channels,
    ("", "ReduceSum"): _along_channels,
    ("", "Softsign"): _softsign,
    ("", "Exp"): _exponential,
    ("", "PRelu"): _prelu,
    ("", "ThresholdedRelu"): _thresholded_relu,
    ("", "Softmax"): _softmax,
    ("", "Resize"): _resize,
    ("", "Transpose"): _transpose,
    ("", "Reciprocal"): lambda writer, node: writer.last(
        "Div", [writer.constant(1.0), node.inputs[0]]
    ),
    ("", "Concat"): _concat,
    ("", "Split"): _split,
    ("", "DepthToSpace"): _depth_to_space,
    ("", "SpaceToDepth"): _depth_to_space,
    **QUANTIZER_RULES,
    **ROW_RULES,
    **LAYER_RULES,
}
