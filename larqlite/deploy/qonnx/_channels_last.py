"""Images channels last, in qonnx' operations for them: what hls4ml computes on.

The transposes of a finished graph, whose images are channels first, cancel; windows are
those of the domain `qonnx.custom_op.channels_last`, and means sums of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from larqlite.deploy.qonnx._levels import CHANNELS_LAST
from larqlite.deploy.qonnx._nodes import QONNX
from larqlite.deploy.qonnx._tidy import BROADCASTING
from larqlite.graph import names
from larqlite.onnx_graph import OnnxNode, Writer

_ONE_BY_ONE = names(
    "Quant BipolarQuant Trunc Relu Sigmoid Tanh LeakyRelu Elu Selu Softsign Softplus Clip "
    "Round Neg Abs Sqrt Exp Identity Erf HardSigmoid"
)
# Bits of the scale by which sums become means; hls4ml is told in the metadata.
MEANS = "fixed<26,2>"


def channels_last(
    graph: Writer, outputs: Sequence[str], batch: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Rewrites a graph of standard operations and QONNX' quantizers.

    Args:
        graph: the graph; changed in place.
        outputs: names of the model's outputs.
        batch: its size.

    Returns:
        The tensors that are the outputs now, by their names before; and types of scales, by
        the names of the nodes that multiply by them.
    """
    graph.sort()
    rewriter = _ChannelsLast(graph, batch)
    before = graph.nodes
    for node in before:
        rewriter.rewrite(node)
    renamed = {name: rewriter.first(name) for name in outputs}
    for node in before:
        graph.remove(node)
    for node in rewriter.made:
        graph.insert(node)
    return renamed, rewriter.types


def to_last(rank: int) -> list[int]:
    """The order in which channels that were second are last."""
    return [0, *range(2, rank), 1]


def to_first(rank: int) -> list[int]:
    """The order in which channels that were last are second."""
    return [0, rank - 1, *range(1, rank - 1)]


class _ChannelsLast:
    """Nodes, rewritten one after the other.

    Attributes:
        made: the new nodes.
        last: by the name that a tensor with its channels second had, that of the one which
            has them last now.
        same: by the name that another tensor had, that of an equal one, as it is now.
        types: of scales, by the names of nodes.
    """

    def __init__(self, graph: Writer, batch: int):
        self._graph, self._batch = graph, batch
        self.made: list[OnnxNode] = []
        self.last: dict[str, str] = {}
        self.same: dict[str, str] = {}
        self.types: dict[str, str] = {}
        self._turned: dict[tuple[str, str], str] = {}

    def rewrite(self, node: OnnxNode) -> None:
        """Adds what a node becomes."""
        special = _REWRITERS.get(node.op)
        if special is not None and special(self, node):
            return
        moved = [name for name in node.inputs if name in self.last]
        if moved and node.op in (*_ONE_BY_ONE, *BROADCASTING):
            self._with(node, [self._beside(node, name) for name in node.inputs])
            return
        self._add(node, [self.first(name) for name in node.inputs], node.outputs[0])

    # What nodes read.

    def first(self, tensor: str) -> str:
        """A tensor as it was, its channels second if they were."""
        if tensor not in self.last:
            return self.same.get(tensor, tensor)
        return self._turn(self.last[tensor], "first", to_first)

    def _last(self, tensor: str) -> str:
        """A tensor of an image with its channels last."""
        if tensor in self.last:
            return self.last[tensor]
        return self._turn(self.same.get(tensor, tensor), "last", to_last)

    def _turn(self, tensor: str, what: str, order: Callable) -> str:
        if (tensor, what) not in self._turned:
            shape, name = self._graph.shapes[tensor], f"{tensor}/{what}"
            perm = order(len(shape))
            node = OnnxNode("Transpose", (tensor,), (name,), name, "", {"perm": perm})
            self.made.append(node)
            self._graph.shapes[name] = tuple(shape[axis] for axis in perm)
            self._turned[tensor, what] = name
        return self._turned[tensor, what]

    def _beside(self, node: OnnxNode, tensor: str) -> str:
        array = self._graph.constants.get(tensor)
        if array is None:
            return self._last(tensor)
        if node.domain or array.size == 1 or array.ndim < 3:
            return tensor
        turned = array.transpose(to_last(array.ndim))
        return self._constant(turned, tensor)

    def _constant(self, array: np.ndarray, name: str) -> str:
        return self._graph.constant(
            np.ascontiguousarray(array), name.removeprefix("constants/")
        )

    # What they become.

    def _add(self, node: OnnxNode, inputs: list[str], output: str, **changes) -> None:
        fields = {
            "op": node.op,
            "name": node.name,
            "domain": node.domain,
            "attributes": node.attributes,
        }
        self.made.append(
            OnnxNode(inputs=tuple(inputs), outputs=(output,), **fields | changes)
        )

    def _with(self, node: OnnxNode, inputs: list[str], **changes) -> None:
        """A node whose output has its channels last now."""
        output = node.outputs[0]
        shape = self._graph.shapes[output]
        self._graph.shapes[output] = tuple(shape[axis] for axis in to_last(len(shape)))
        self.last[output] = output
        self._add(node, inputs, output, **changes)

    def transpose(self, node: OnnxNode) -> bool:
        """Nothing, where it moves the channels from or to the end."""
        perm = list(node.attributes["perm"])
        source, output = node.inputs[0], node.outputs[0]
        rank = len(perm)
        if rank < 3:
            return False
        if perm == to_first(rank) and source not in self.last:
            self.last[output] = self.same.get(source, source)
            return True
        if perm == to_last(rank) and source in self.last:
            self.same[output] = self.last[source]
            return True
        return False

    def window(self, node: OnnxNode) -> bool:
        """The same with channels last; a float kernel is stored so."""
        source, *others = node.inputs
        if others and others[0] in self._graph.constants:
            kernel = self._graph.constants[others[0]]
            turned = kernel.transpose(to_last(kernel.ndim))
            others[0] = self._constant(turned, others[0])
        self._with(node, [self._last(source), *others], domain=CHANNELS_LAST)
        return True

    def normalization(self, node: OnnxNode) -> bool:
        """The same with channels last."""
        if len(self._graph.shapes[node.outputs[0]]) < 3 or node.domain:
            return False
        source, *others = node.inputs
        self._with(node, [self._last(source), *others], domain=CHANNELS_LAST)
        return True

    def pad(self, node: OnnxNode) -> bool:
        """Zeros around what is lower by another value; pads of all axes are said."""
        source, constants = node.inputs[0], self._graph.constants
        if source not in self.last or node.attributes.get("mode") not in (
            None,
            "constant",
        ):
            return False
        output, rank = node.outputs[0], len(self._graph.shapes[node.outputs[0]])
        pads = np.zeros((2, rank), np.int64)
        axes = constants[node.inputs[3]] if len(node.inputs) > 3 else range(rank)
        pads[:, list(axes)] = constants[node.inputs[1]].reshape(2, -1)
        stored = self._constant(pads[:, to_last(rank)].ravel(), f"{node.name}/pads")
        value = float(constants[node.inputs[2]]) if len(node.inputs) > 2 else 0.0
        if not value:
            self._with(node, [self._last(source), stored])
            return True
        by = self._graph.constant(np.float32(value))
        lower, inner = (f"{output}/{what}" for what in ("lower", "around"))
        self._graph.shapes[lower] = self._graph.shapes[self._last(source)]
        self._add(
            node, [self._last(source), by], lower, op="Sub", name=lower, attributes={}
        )
        self._add(node, [lower, stored], inner)
        self._with(
            node, [inner, by], op="Add", name=f"{node.name}/higher", attributes={}
        )
        self._graph.shapes[inner] = self._graph.shapes[output]
        return True

    def concatenation(self, node: OnnxNode) -> bool:
        """The same along the axis as it is now."""
        if node.inputs[0] not in self.last:
            return False
        rank = len(self._graph.shapes[node.outputs[0]])
        axis = to_last(rank).index(node.attributes["axis"] % rank)
        inputs = [self._last(name) for name in node.inputs]
        self._with(node, inputs, attributes={"axis": axis})
        return True

    def dense(self, node: OnnxNode) -> bool:
        """A product, and a sum."""
        source, weights, *bias = (self.first(name) for name in node.inputs)
        given, graph = node.attributes, self._graph
        plain = given.get("alpha", 1) == given.get("beta", 1) == 1
        if given.get("transA") or not plain or weights not in graph.constants:
            return False
        if given.get("transB"):
            weights = self._constant(graph.constants[weights].T, weights)
        output = node.outputs[0]
        inner = f"{output}/product" if bias else output
        graph.shapes[inner] = graph.shapes[output]
        self._add(node, [source, weights], inner, op="MatMul", attributes={})
        if bias:
            name = f"{node.name}/biased"
            self._add(node, [inner, *bias], output, op="Add", name=name, attributes={})
        return True

    def mean(self, node: OnnxNode) -> bool:
        """Sums over windows as a convolution of ones, times one over their number."""
        given = node.attributes
        pads, window = given["pads"], given["kernel_shape"]
        counts: np.ndarray | float = float(np.prod(window))
        if any(pads) and not given.get("count_include_pad"):
            counts = self._counts(node)
        self._sums(node, list(window), given["strides"], pads, node.outputs[0], counts)
        return True

    def _counts(self, node: OnnxNode) -> np.ndarray:
        """How many numbers each window holds that are no pads: `(1, *size, 1)`."""
        given = node.attributes
        source = node.inputs[0]
        rank = len(given["kernel_shape"])
        space = self._graph.shapes[self._last(source)][1:-1]
        total = np.ones((1,) * rank)
        for axis, size in enumerate(space):
            begin, end = given["pads"][axis], given["pads"][axis + rank]
            inside = np.pad(np.ones(size), (begin, end))
            window, stride = given["kernel_shape"][axis], given["strides"][axis]
            counts = np.convolve(inside, np.ones(window), "valid")[::stride]
            total = total * counts.reshape(
                [-1 if a == axis else 1 for a in range(rank)]
            )
        return total[None, ..., None]

    def reduction(self, node: OnnxNode) -> bool:
        """A mean or maximum over all of space, as a window as large as that."""
        source = node.inputs[0]
        axes = self._graph.constants.get(node.inputs[1]) if node.inputs[1:] else None
        rank = len(self._graph.shapes.get(source, ()))
        whole = set(range(2, rank))
        if source not in self.last or axes is None or {*axes % rank} != whole:
            return False
        shape = self._graph.shapes[self.last[source]]
        window, ones, none = list(shape[1:-1]), [1] * (rank - 2), [0] * 2 * (rank - 2)
        output = node.outputs[0]
        inner = output if node.attributes.get("keepdims", 1) else f"{output}/kept"
        stored = (shape[0], shape[-1], *ones)
        if inner != output:
            self._graph.shapes[inner] = stored
        if node.op == "ReduceMean":
            self._sums(node, window, ones, none, inner, float(np.prod(window)))
        else:
            attributes = {"kernel_shape": window, "strides": ones, "pads": none}
            changes = {
                "op": "MaxPool",
                "domain": CHANNELS_LAST,
                "attributes": attributes,
            }
            last = (stored[0], *ones, stored[1])
            self._graph.shapes[inner], self.last[inner] = last, inner
            self._add(node, [self._last(source)], inner, **changes)
        if inner != output:
            name = f"{node.name}/flat"
            self._add(
                node, [inner], output, op="Flatten", name=name, attributes={"axis": 1}
            )
        return True

    def _sums(self, node, window, strides, pads, output: str, counts) -> None:
        graph, source = self._graph, self._last(node.inputs[0])
        channels = graph.shapes[source][-1]
        ones = self._constant(np.ones((channels, *window, 1), np.float32), "ones")
        numbers = [graph.constant(np.float32(value)) for value in (1, 0, 1)]
        kernel, inner = f"{node.name}/ones", f"{node.name}/sums"
        graph.shapes[kernel] = (channels, *window, 1)
        flags = {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
        named = {"op": "Quant", "name": kernel, "domain": QONNX, "attributes": flags}
        self._add(node, [ones, *numbers], kernel, **named)
        attributes = {
            "kernel_shape": window,
            "strides": list(strides),
            "pads": list(pads),
            "dilations": [1] * len(window),
            "group": channels,
        }
        named = {"op": "Conv", "name": inner, "domain": CHANNELS_LAST}
        self._add(node, [source, kernel], inner, **named, attributes=attributes)
        factor = graph.constant(np.float32(1 / np.asarray(counts)), "one_of_many")
        self._with_shape(output, inner)
        # It would be multiplied into the ones, and rounded as they are.
        shape = graph.shapes[inner]
        sizes = graph.constant([self._batch, *shape[1:]], "shape")
        apart = f"{node.name}/apart"
        graph.shapes[apart] = shape
        self._add(node, [inner, sizes], apart, op="Reshape", name=apart, attributes={})
        name = f"{node.name}/mean"
        self._add(node, [apart, factor], output, op="Mul", name=name, attributes={})
        self.types[name] = MEANS

    def _with_shape(self, output: str, inner: str) -> None:
        shape = self._graph.shapes[output]
        turned = tuple(shape[axis] for axis in to_last(len(shape)))
        self._graph.shapes[output] = self._graph.shapes[inner] = turned
        self.last[output] = output


_REWRITERS: dict[str, Callable[[_ChannelsLast, OnnxNode], bool]] = {
    "Transpose": _ChannelsLast.transpose,
    "Conv": _ChannelsLast.window,
    "MaxPool": _ChannelsLast.window,
    "AveragePool": _ChannelsLast.mean,
    "BatchNormalization": _ChannelsLast.normalization,
    "Pad": _ChannelsLast.pad,
    "Gemm": _ChannelsLast.dense,
    "Concat": _ChannelsLast.concatenation,
    "ReduceMean": _ChannelsLast.reduction,
    "ReduceMax": _ChannelsLast.reduction,
}
