"""Parts of a graph as models of their own for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.backends.numpy import SegmentNode
from larqlite_runtime.backends.onnxruntime._encode import (
    attribute,
    beside,
    model_bytes,
    tensor,
    value,
)
from larqlite_runtime.backends.onnxruntime._nodes import float_layer, quantized
from larqlite_runtime.format import DOMAIN, QUANTIZERS, ROWS
from larqlite_runtime.planner import (
    ADD_SCALED,
    NCHW,
    NHWC,
    ExecutionStage,
    Port,
    Subgraph,
    memory_shape,
    per_channel,
)
from larqlite_runtime.reader.operators import OPERATORS

LARGE = 1 << 12  # bytes of a constant that is not copied into a model's bytes


class SegmentModel:
    """The model of one stage.

    Attributes:
        model: its bytes.
        constants: large ones that a session is given beside these.
        nodes, values: the same as they are run one by one: nodes, and constants by name.
        inputs, outputs: names in the model of the stage's ports.
        float_bytes: of the weights in it.
    """

    def __init__(self, subgraph: Subgraph, stage: ExecutionStage) -> None:
        builder = _Builder(subgraph, stage)
        for port in stage.inputs:
            builder.feed(port)
        for node in stage.nodes:
            builder.node(node)
        self.inputs = [builder.names[port.key] for port in stage.inputs]
        self.outputs = builder.results(stage.outputs)
        self.float_bytes = builder.constant_bytes
        self.constants = builder.large = builder.handed_over()
        self.model = builder.encoded(stage, self.inputs, self.outputs)
        self.nodes, self.values = builder.in_order, builder.constants()

    def forget(self) -> None:
        """Lets go what a session has made its own."""
        self.model, self.constants, self.nodes, self.values = b"", {}, [], {}


class _Builder:
    """Collects nodes; knows the name of each tensor in each layout."""

    def __init__(self, subgraph: Subgraph, stage: ExecutionStage) -> None:
        self.subgraph = subgraph
        self._own = {id(node) for node in stage.nodes}
        self._outputs = {port.tensor for port in stage.outputs}
        self._folded: set[int] = set()
        self.names: dict[tuple[str, bool], str] = {}
        self.constant_bytes = 0
        self.large: dict[str, np.ndarray] = {}
        self._nodes: list[dict] = []
        self.in_order: list[SegmentNode] = []
        self._source: GraphNode | None = None
        self._constants: dict[str, np.ndarray] = {}
        self._used: set[str] = set()

    def feed(self, port: Port) -> None:
        """A tensor that comes from outside."""
        # A contiguous copy has a name of its own, but stands for the same tensor.
        self.names[port.key] = self._fresh(port.tensor)
        self.names[port.tensor, port.key.layout] = self.names[port.key]

    def node(self, node: GraphNode) -> None:
        """One node of the graph."""
        if id(node) in self._folded:
            return
        self._source = node
        if node.domain == DOMAIN:
            self._packed(node)
        elif not (self._point_convolution(node) or self._in_nhwc(node)):
            self._plain(node)

    def results(self, ports: Sequence[Port]) -> list[str]:
        """The names of what comes out; an input that comes out gets a name of its own."""
        self._source, names = None, []
        for port in ports:
            name = self.name(port.tensor, port.key.layout)
            if name in names:
                name = self.add("Identity", [name])
            names.append(name)
        return names

    def name(self, tensor: str, layout: bool = NCHW) -> str:
        """The name of a tensor in a layout; turned if need be."""
        if tensor in self.subgraph.constants and layout == NCHW:
            return self.constant(self.subgraph.constants[tensor], tensor)
        key = tensor, layout
        if key not in self.names:
            rank = len(self.subgraph.shapes[tensor])
            order = (
                [0, *range(2, rank), 1]
                if layout == NHWC
                else [0, rank - 1, *range(1, rank - 1)]
            )
            other = self.names[tensor, not layout]
            self.names[key] = self.add("Transpose", [other], perm=order)
        return self.names[key]

    def constant(self, array: np.ndarray, name: str = "constant") -> str:
        """A constant of the model."""
        for known, other in self._constants.items():
            if array is other:
                return known
        name = self._fresh(name)
        self._constants[name] = array
        if array.dtype == np.float32:
            self.constant_bytes += array.nbytes
        return name

    def add(self, op: str, inputs: Sequence[str], **attributes) -> str:
        """A node with one output that no name of the graph stands for."""
        output = self._fresh(op)
        self._append(op, inputs, [output], output, attributes)
        return output

    def constants(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        return dict(self._constants)

    def _append(self, op, inputs, outputs, name, attributes) -> None:
        names, given = (tuple(inputs), tuple(outputs)), dict(attributes)
        self.in_order.append(SegmentNode(op, *names, given, self._source))
        self._nodes.append(
            {
                "input": list(inputs),
                "output": list(outputs),
                "name": self._fresh(f"node {name}"),
                "op_type": op,
                "attribute": [attribute(key, item) for key, item in attributes.items()],
            }
        )

    def _fresh(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._used:
            number += 1
            name = f"{wanted}:{number}"
        self._used.add(name)
        return name

    def _packed(self, node: GraphNode) -> None:
        output = node.outputs[0]
        if node.op in QUANTIZERS:
            layout = NHWC if self._only_nhwc(node.inputs[0]) else NCHW
            x = self.name(node.inputs[0], layout)
            self.names[output, layout] = quantized(node, x, self.add, self.constant)
            return
        if node.op in ROWS:
            x = self.name(node.inputs[0])
            self.names[output, NCHW] = quantized(node, x, self.add, self.constant)
            return
        if node.op == ADD_SCALED:
            flowing, one, factor = map(self.name, node.inputs)
            product = self.add("Mul", [one, factor])
            self.names[output, NCHW] = self.add("Add", [flowing, product])
            return
        stream = self.subgraph.constants[node.inputs[1]]
        x = self.name(node.inputs[0])
        self.names[output, NCHW] = float_layer(node, x, stream, self.add, self.constant)

    def _plain(self, node: GraphNode) -> None:
        """A node as it is in the file."""
        inputs = [self.name(name) if name else "" for name in node.inputs]
        if node.op == "Gather" and node.inputs[1] not in self.subgraph.constants:
            inputs[1] = self._from_the_front(node, inputs[1])
        outputs = [self._fresh(name) if name else "" for name in node.outputs]
        self._append(node.op, inputs, outputs, node.name, node.attributes)
        for name, made in zip(node.outputs, outputs, strict=True):
            if name:
                self.names[name, NCHW] = made

    def _from_the_front(self, node: GraphNode, indices: str) -> str:
        """Indices of which a negative one is out of range, as in Keras, not the last row."""
        table, name = node.inputs[:2]
        rows = self.subgraph.shapes[table][node.attributes["axis"]]
        dtype = self.subgraph.dtypes[name]
        none = self.add("Less", [indices, self.constant(np.zeros((), dtype))])
        return self.add("Where", [none, self.constant(np.array(rows, dtype)), indices])

    def _only_nhwc(self, tensor: str) -> bool:
        return (tensor, NHWC) in self.names and (tensor, NCHW) not in self.names

    def _point_convolution(self, node: GraphNode) -> bool:
        """A 1x1 convolution of a tensor with its channels last: a product of matrices."""
        x = node.inputs[0] if node.inputs else ""
        weights = self.subgraph.constant_input(node, 1)
        if node.op != "Conv" or weights is None or not self._only_nhwc(x):
            return False
        bias = self.subgraph.constant_input(node, 2)
        given = node.attributes
        wrong = any(size != 1 for size in weights.shape[2:]) or any(
            given.get("pads") or []
        )
        if (
            wrong
            or given.get("group", 1) != 1
            or (bias is None and len(node.inputs) > 2)
        ):
            return False
        name = self.names[x, NHWC]
        strides = [int(stride) for stride in given.get("strides") or []]
        if any(stride != 1 for stride in strides):
            axes = np.arange(1, 1 + len(strides))
            ends = np.full(len(strides), np.iinfo(np.int64).max)
            bounds = [np.zeros_like(axes), ends, axes, np.array(strides)]
            name = self.add("Slice", [name, *map(self.constant, bounds)])
        out, channels = weights.shape[:2]
        rows = self.add("Reshape", [name, self.constant(np.array([-1, channels]))])
        matrix = weights.reshape(out, channels).T
        offset = np.zeros(out, np.float32) if bias is None else bias
        tensor, scales = self._scales_after(node.outputs[0])
        for op, values in scales:
            if op == "Mul":
                matrix, offset = matrix * values, offset * values
            else:
                offset = offset + values if op == "Add" else offset - values
        operands = np.ascontiguousarray(matrix), offset
        product = self.add("Gemm", [rows, *map(self.constant, operands)])
        shape = memory_shape(self.subgraph.shapes[tensor], NHWC)
        back = self.constant(np.array([-1, *shape[1:]]))
        self.names[tensor, NHWC] = self.add("Reshape", [product, back])
        return True

    def _scales_after(self, tensor: str) -> tuple[str, list[tuple[str, np.ndarray]]]:
        """Per-channel constants that nothing but the next node reads: they fold into weights.

        Returns:
            The tensor after them, and the operations.
        """
        found = []
        while tensor not in self._outputs and len(self.subgraph.consumers[tensor]) == 1:
            node = self.subgraph.nodes[self.subgraph.consumers[tensor][0]]
            if id(node) not in self._own or node.domain:
                break
            other = [name for name in node.inputs if name != tensor]
            is_scale = node.op in ("Mul", "Add") or (
                node.op == "Sub" and node.inputs[0] == tensor
            )
            if (
                not is_scale
                or len(other) != 1
                or other[0] not in self.subgraph.constants
            ):
                break
            shape = self.subgraph.shapes[tensor]
            values = per_channel(self.subgraph.constants[other[0]], shape, 1)
            if values is None or self.subgraph.shapes[node.outputs[0]] != shape:
                break
            found.append((node.op, values))
            self._folded.add(id(node))
            tensor = node.outputs[0]
        return tensor, found

    def _in_nhwc(self, node: GraphNode) -> bool:
        """An operation on each value, in whose inputs the channels come last."""
        data = self.subgraph.data_inputs(node)
        if not OPERATORS[""][node.op].is_elementwise or len(node.outputs) != 1:
            return False
        if not any(map(self._only_nhwc, data)):
            return False
        shape = self.subgraph.shapes[node.outputs[0]]
        inputs = []
        for name in node.inputs:
            found = self._operand(name, shape)
            if found is None:
                return False
            inputs.append(found)
        made = self._fresh(node.outputs[0])
        self._append(node.op, inputs, [made], node.name, node.attributes)
        self.names[node.outputs[0], NHWC] = made
        return True

    def _operand(self, name: str, shape: tuple) -> str | None:
        """An operand with its channels last; None if that can't be had."""
        if not name:
            return ""
        array = self.subgraph.constants.get(name)
        if array is None:
            whole = len(self.subgraph.shapes[name]) == len(shape) and len(shape) > 2
            return self.name(name, NHWC) if whole else None
        if array.size == 1 and array.ndim <= 1:
            return self.constant(array, name)
        values = per_channel(array, shape, 1)
        return None if values is None else self.constant(values, name)

    def handed_over(self) -> dict[str, np.ndarray]:
        """Copies of large constants, which are no part of the model's bytes.

        ONNX Runtime works with the very memory, or lets it go once it has its own copy.
        """
        return {
            name: np.array(array, order="C")
            for name, array in self._constants.items()
            if array.nbytes >= LARGE and array.dtype == np.float32
        }

    def encoded(
        self, stage: ExecutionStage, inputs: Sequence[str], outputs: Sequence[str]
    ) -> bytes:
        """The bytes of the model."""
        return model_bytes(
            self._nodes,
            [
                beside(name, array) if name in self.large else tensor(name, array)
                for name, array in self._constants.items()
            ],
            self._values(stage.inputs, inputs),
            self._values(stage.outputs, outputs),
        )

    def _values(self, ports: Sequence[Port], names: Sequence[str]) -> list[dict]:
        return [
            value(
                name,
                self.subgraph.dtypes[port.tensor],
                memory_shape(self.subgraph.shapes[port.tensor], port.key.layout),
            )
            for name, port in zip(names, ports, strict=True)
        ]
