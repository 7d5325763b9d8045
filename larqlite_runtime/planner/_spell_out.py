"""Nodes that are several steps of the kernels, spelled out in nodes that are one each.

Rules are by operation; each gives the same values as the node to the last place or two, and
exactly where nothing is rounded. What has no rule has no step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from larqlite_runtime._graph import GraphNode, Shape
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner._partition import Partition
from larqlite_runtime.planner._rearrange import EXPAND
from larqlite_runtime.planner._subgraph import Subgraph

# Added and taken off again, it leaves no bits below one of |v| < 2^22: halves go to the even one.
_NO_BITS_BELOW_ONE = 12582912.0


def spelled_out(subgraph: Subgraph, partition: Partition) -> Subgraph | None:
    """The graph with nodes spelled out that have no step; None if there is none to spell out.

    Args:
        subgraph: the graph.
        partition: who runs its nodes now.
    """
    writer = _Writer(subgraph)
    is_changed = False
    for number, node in enumerate(subgraph.nodes):
        rule = _RULES.get((node.domain, node.op))
        # What follows a node without a step is looked at once that has one.
        is_next = number in partition.segment and all(
            name in partition.native for name in subgraph.data_inputs(node)
        )
        if is_next and rule is not None:
            writer.begin(node)
            if rule(writer, node):
                is_changed = True
                continue
            writer.undo()
        writer.nodes.append(node)
    return writer.graph() if is_changed else None


@dataclass
class _Writer:
    """Nodes of the new graph so far."""

    subgraph: Subgraph
    nodes: list[GraphNode] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, np.dtype] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    _node: GraphNode | None = None
    _first: int = 0

    def begin(self, node: GraphNode) -> None:
        self._node, self._first = node, len(self.nodes)

    def undo(self) -> None:
        del self.nodes[self._first :]

    def graph(self) -> Subgraph:
        return self.subgraph.with_nodes(
            self.nodes, self.shapes, self.dtypes, self.constants
        )

    def shape(self, tensor: str) -> Shape:
        return self.shapes.get(tensor) or self.subgraph.shapes[tensor]

    def is_constant(self, tensor: str) -> bool:
        return tensor in self.subgraph.constants or tensor in self.constants

    def value(self, tensor: str) -> np.ndarray | None:
        """A constant."""
        return self.constants.get(tensor, self.subgraph.constants.get(tensor))

    def _fresh(self, word: str) -> str:
        name = f"{self._node.name}/{word}"
        while name in self.shapes or name in self.subgraph.shapes:
            name += "'"
        return name

    def constant(self, array) -> str:
        """A new constant; float32 unless it says otherwise."""
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        name = self._fresh("constant")
        self.constants[name] = array
        self.shapes[name], self.dtypes[name] = array.shape, array.dtype
        return name

    def add(
        self,
        op: str,
        inputs: list[str],
        shape: Shape | None = None,
        output: str | None = None,
        domain: str = "",
        **attributes,
    ) -> str:
        """A node of floats; what comes out has a shape, that of the first input by default."""
        name = output or self._fresh(op.lower())
        if output is None:
            self.shapes[name] = shape or self.shape(inputs[0])
            self.dtypes[name] = np.dtype(np.float32)
        own = self._node.name if output else name
        self.nodes.append(
            GraphNode(op, domain, own, tuple(inputs), (name,), attributes)
        )
        return name

    def last(self, op: str, inputs: list[str], domain: str = "", **attributes) -> bool:
        """The node that makes what the one that is spelled out makes."""
        self.add(op, inputs, output=self._node.outputs[0], domain=domain, **attributes)
        return True

    def stretched(self, tensor: str, shape: Shape) -> str | None:
        """An operand in the shape of what comes out; None if that is no repetition."""
        own = self.shape(tensor)
        if own == shape:
            return tensor
        if self.is_constant(tensor):
            array = self.value(tensor)
            whole = (1, *shape[1:])
            if array.shape == whole:
                return tensor
            return self.constant(np.ascontiguousarray(np.broadcast_to(array, whole)))
        if len(own) != len(shape) or own[0] is not None:
            return None
        return self.add(EXPAND, [tensor], shape, domain=DOMAIN)


Rule = Callable[[_Writer, GraphNode], bool]


def _clip_between(is_least: bool) -> Rule:
    """`Min` or `Max` of a tensor and numbers."""

    def rule(writer: _Writer, node: GraphNode) -> bool:
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


def _binary(writer: _Writer, node: GraphNode) -> bool:
    """A sum or a product of a tensor and something smaller, that is stretched to it."""
    shape = writer.shape(node.outputs[0])
    inputs = [writer.stretched(name, shape) for name in node.inputs]
    if None in inputs or inputs == list(node.inputs):
        return False
    return writer.last(node.op, inputs)


def _subtract(writer: _Writer, node: GraphNode) -> bool:
    first, second = node.inputs
    if writer.is_constant(second):
        return writer.last("Add", [first, writer.constant(-writer.value(second))])
    return writer.last("Add", [writer.add("Neg", [second]), first])


def _divide(writer: _Writer, node: GraphNode) -> bool:
    """By a constant that is another number at each place of an image."""
    first, second = node.inputs
    values = writer.value(second)
    if values is None or writer.is_constant(first):
        return False
    with np.errstate(divide="ignore"):
        inverse = 1 / values
    # Only where the product with the inverse is the quotient.
    if not np.all(np.frexp(values)[0] == np.copysign(0.5, values)):
        return False
    return writer.last("Mul", [first, writer.constant(inverse)])


def _sum(writer: _Writer, node: GraphNode) -> bool:
    total, *others = node.inputs
    shape = writer.shape(node.outputs[0])
    for other in others:
        total = writer.add("Add", [total, other], shape)
    if node.op == "Sum":
        return writer.last("Identity", [total])
    return writer.last("Div", [total, writer.constant(float(len(node.inputs)))])


def _hard_sigmoid(writer: _Writer, node: GraphNode) -> bool:
    alpha, beta = (
        float(node.attributes.get(name, missing))
        for name, missing in (("alpha", 0.2), ("beta", 0.5))
    )
    scaled = writer.add("Mul", [node.inputs[0], writer.constant(alpha)])
    moved = writer.add("Add", [scaled, writer.constant(beta)])
    ends = writer.constant(0.0), writer.constant(1.0)
    return writer.last("Clip", [moved, *ends])


def _hard_swish(writer: _Writer, node: GraphNode) -> bool:
    scaled = writer.add("Mul", [node.inputs[0], writer.constant(1 / 6)])
    moved = writer.add("Add", [scaled, writer.constant(0.5)])
    ends = writer.constant(0.0), writer.constant(1.0)
    gate = writer.add("Clip", [moved, *ends])
    return writer.last("Mul", [node.inputs[0], gate])


def _selu(writer: _Writer, node: GraphNode) -> bool:
    alpha = float(node.attributes.get("alpha", 1.6732631921768188))
    gamma = float(node.attributes.get("gamma", 1.0507010221481323))
    bent = writer.add("Elu", [node.inputs[0]], alpha=alpha)
    return writer.last("Mul", [bent, writer.constant(gamma)])


def _celu(writer: _Writer, node: GraphNode) -> bool:
    """max(0, x) + alpha * min(0, e^(x / alpha) - 1)."""
    alpha = float(node.attributes.get("alpha", 1.0))
    scaled = writer.add("Div", [node.inputs[0], writer.constant(alpha)])
    bent = writer.add("Elu", [scaled], alpha=1.0)
    return writer.last("Mul", [bent, writer.constant(alpha)])


def _power(writer: _Writer, node: GraphNode) -> bool:
    exponent = writer.value(node.inputs[1])
    if exponent is None or exponent.size != 1 or exponent.reshape(()) not in (1, 2, 3):
        return False
    x, times = node.inputs[0], int(exponent.reshape(()))
    if times == 1:
        return writer.last("Identity", [x])
    product = x if times == 2 else writer.add("Mul", [x, x])
    return writer.last("Mul", [product, x])


def _largest(writer: _Writer, node: GraphNode) -> bool:
    """The largest value of an image, as a pooling with a window of its size."""
    sizes = list(writer.shape(node.inputs[0])[2:])
    return writer.last("MaxPool", [node.inputs[0]], kernel_shape=sizes)


def _largest_along(writer: _Writer, node: GraphNode) -> bool:
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


def _mean_of_channels(writer: _Writer, node: GraphNode) -> bool:
    """The mean along the last axis: a dense layer whose weights are equal."""
    shape = writer.shape(node.inputs[0])
    given = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = writer.value(node.inputs[1])
    axes = [] if given is None else np.asarray(given).reshape(-1).tolist()
    if len(shape) < 2 or [axis % len(shape) for axis in axes] != [len(shape) - 1]:
        return False
    weights = writer.constant(np.full((shape[-1], 1), 1 / shape[-1], np.float32))
    mean = writer.add("MatMul", [node.inputs[0], weights], (*shape[:-1], 1))
    if writer.shape(node.outputs[0]) == (*shape[:-1], 1):
        return writer.last("Identity", [mean])
    wanted = np.array([-1, *writer.shape(node.outputs[0])[1:]], np.int64)
    return writer.last("Reshape", [mean, writer.constant(wanted)])


def _resize(writer: _Writer, node: GraphNode) -> bool:
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


def _transpose(writer: _Writer, node: GraphNode) -> bool:
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


def _concat(writer: _Writer, node: GraphNode) -> bool:
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


def _split(writer: _Writer, node: GraphNode) -> bool:
    """Its parts one by one."""
    first = 0
    axis = int(node.attributes.get("axis", 0)) % len(writer.shape(node.inputs[0]))
    if axis == 0:
        return False
    for name in node.outputs:
        end = first + writer.shape(name)[axis] if name else 0
        if name:
            numbers = (np.array([number], np.int64) for number in (first, end, axis))
            operands = [node.inputs[0], *map(writer.constant, numbers)]
            writer.add("Slice", operands, output=name)
            own = f"{node.name}/{len(writer.nodes)}"
            writer.nodes[-1] = replace(writer.nodes[-1], name=own)
        first = end
    return True


def _depth_to_space(writer: _Writer, node: GraphNode) -> bool:
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


def _through(writer: _Writer, node: GraphNode, sizes: Shape, order: list[int]) -> bool:
    def shaped(shape: Shape) -> str:
        return writer.constant(np.array([-1, *shape[1:]], np.int64))

    cut = writer.add("Reshape", [node.inputs[0], shaped(sizes)], sizes)
    moved_sizes = tuple(sizes[number] for number in order)
    moved = writer.add("Transpose", [cut], moved_sizes, perm=order)
    return writer.last("Reshape", [moved, shaped(writer.shape(node.outputs[0]))])


# Quantizers of floats: values of a quantizer that no packed layer alone takes as bits.


def _heaviside(writer: _Writer, node: GraphNode) -> bool:
    """(1 - sign(-v)) / 2, with a sign that is 1 up to 0 and for NaN."""
    sign = writer.add("Sign", [writer.add("Neg", [node.inputs[0]])], domain=DOMAIN)
    half = writer.add("Mul", [sign, writer.constant(-0.5)])
    return writer.last("Add", [half, writer.constant(0.5)])


def _ternary(writer: _Writer, node: GraphNode) -> bool:
    """(sign(v - t) - sign(-v - t)) / 2, with t at least 0."""
    x, least = node.inputs[0], -abs(float(node.attributes["threshold"]))
    least = writer.constant(least)
    above = writer.add("Sign", [writer.add("Add", [x, least])], domain=DOMAIN)
    below = writer.add("Add", [writer.add("Neg", [x]), least])
    below = writer.add("Neg", [writer.add("Sign", [below], domain=DOMAIN)])
    twice = writer.add("Add", [below, above])
    return writer.last("Mul", [twice, writer.constant(0.5)])


def _rounded(writer: _Writer, x: str) -> str:
    """Whole numbers of |v| < 2^22, halves to the even one."""
    shifted = writer.add("Add", [x, writer.constant(_NO_BITS_BELOW_ONE)])
    return writer.add("Add", [shifted, writer.constant(-_NO_BITS_BELOW_ONE)])


def _steps(writer: _Writer, node: GraphNode) -> bool:
    last = float((1 << int(node.attributes["bits"])) - 1)
    ends = writer.constant(0.0), writer.constant(1.0)
    clipped = writer.add("Clip", [node.inputs[0], *ends])
    code = _rounded(writer, writer.add("Mul", [clipped, writer.constant(last)]))
    return writer.last("Div", [code, writer.constant(last)])


def _integers(writer: _Writer, node: GraphNode) -> bool:
    ends = [float(node.attributes[name]) for name in ("low", "high")]
    clipped = writer.add("Clip", [node.inputs[0], *map(writer.constant, ends)])
    return writer.last("Identity", [_rounded(writer, clipped)])


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
    ("", "ReduceMean"): _mean_of_channels,
    ("", "Resize"): _resize,
    ("", "Transpose"): _transpose,
    ("", "Concat"): _concat,
    ("", "Split"): _split,
    ("", "DepthToSpace"): _depth_to_space,
    ("", "SpaceToDepth"): _depth_to_space,
    (DOMAIN, "Heaviside"): _heaviside,
    (DOMAIN, "Ternary"): _ternary,
    (DOMAIN, "Steps"): _steps,
    (DOMAIN, "Integers"): _integers,
}
