"""The graph that was traced: its tensors, who reads them, and a copy with new nodes."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

__all__ = ["BARRIER", "TracedEdge", "Traced"]

BARRIER = (
    "larqlite_float_barrier"  # begins the names of operations that compute nothing
)
_ALIASES = ("Identity", "StopGradient", "PreventGradient", "EnsureShape", "Snapshot")


@dataclasses.dataclass(frozen=True)
class TracedEdge:
    """What one operation reads.

    Attributes:
        reader: the operation; None for an output of the function.
        position: of the input.
    """

    reader: tf.Operation | None
    position: int


class Traced:
    """A traced function with its variables as constants, to look at and to change.

    A tensor stands for all that only hand it on, such as an identity.

    Args:
        function: a concrete function.
    """

    def __init__(self, function):
        self._function = convert_variables_to_constants_v2(function)
        self._count = len(function.inputs) - len(function.captured_inputs)
        graph = self._function.graph
        self.operations: list[tf.Operation] = graph.get_operations()
        self._roots: dict[str, tf.Tensor] = {}
        self._dependent = {tensor.name for tensor in self._function.inputs}
        self._readers: dict[str, list[TracedEdge]] = defaultdict(list)
        for operation in self.operations:
            self._look_at(operation)
        for tensor in self._function.outputs:
            self._readers[self.root(tensor).name].append(TracedEdge(None, 0))
        self._edits: dict[tuple[str, int], str] = {}
        self._nodes: list[tf.compat.v1.NodeDef] = []
        self._made: dict[tuple, str] = {}
        self._replaced: dict[str, str] = {}

    def _look_at(self, operation: tf.Operation) -> None:
        inputs = list(operation.inputs)
        hands_on = operation.type in _ALIASES or operation.type == "IdentityN"
        if operation.type == "Mul":  # by 1, as in swish, which the converter leaves out
            ones = [self._is_one(tensor) for tensor in inputs]
            if any(ones):
                inputs, hands_on = [inputs[1 - ones.index(True)]], True
        if hands_on:
            pairs = zip(operation.outputs, inputs, strict=False)
            self._roots.update((out.name, self.root(t)) for out, t in pairs)
        else:
            for position, tensor in enumerate(inputs):
                edge = TracedEdge(operation, position)
                self._readers[self.root(tensor).name].append(edge)
        if any(self.is_computed(tensor) for tensor in inputs):
            self._dependent.update(out.name for out in operation.outputs)

    def _is_one(self, tensor: tf.Tensor) -> bool:
        value = self.constant(tensor) if tensor.shape.rank == 0 else None
        return value is not None and value == 1

    # Questions.

    def root(self, tensor: tf.Tensor) -> tf.Tensor:
        """The tensor that this one only hands on."""
        return self._roots.get(tensor.name, tensor)

    def readers(self, tensor: tf.Tensor) -> list[TracedEdge]:
        """Who reads a tensor, itself or handed on."""
        return self._readers.get(self.root(tensor).name, [])

    def is_computed(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor depends on what goes into the function."""
        return self.root(tensor).name in self._dependent

    def data_of(self, operation: tf.Operation) -> list[tuple[int, tf.Tensor]]:
        """`(position, tensor)` of what an operation reads in float32."""
        return [
            (position, self.root(tensor))
            for position, tensor in enumerate(operation.inputs)
            if tensor.dtype == tf.float32
        ]

    def constant(self, tensor: tf.Tensor):
        """The values of a constant as an array, or None."""
        return tf.get_static_value(self.root(tensor))

    # Changes.

    @property
    def reads_tables(self) -> bool:
        """Whether more goes in than the inputs: what is no variable stays outside."""
        return len(self._function.inputs) > self._count

    @property
    def is_changed(self) -> bool:
        return bool(self._edits or self._replaced)

    def round(
        self, edge: TracedEdge, quantize: tf.Operation | tuple, keeps_out: bool = False
    ) -> None:
        """Lets a reader read its input through a fake quantization.

        Args:
            edge: who reads, and at which place.
            quantize: one of the graph, to copy; or `(minimum, maximum, bits, narrow)`.
            keeps_out: whether a barrier goes in front of it.
        """
        source = self._source(edge)
        if keeps_out:
            source = self._barrier(source)
        key = (source, quantize if isinstance(quantize, tuple) else quantize.name)
        if key not in self._made:
            name = f"{source.partition(':')[0]}/as_read_{len(self._made)}"
            self._made[key] = self._rounding(name, source, quantize)
        self._edits[edge.reader.name, edge.position] = self._made[key]

    def round_for_all(self, tensor: tf.Tensor, quantize: tf.Operation | tuple) -> None:
        """Lets all readers of a tensor read it through a fake quantization."""
        source = _plain(self.root(tensor).name)
        if source not in self._replaced:
            name = f"{tensor.op.name}/rounded"
            self._replaced[source] = self._rounding(name, source, quantize)

    def _rounding(self, name: str, source: str, quantize) -> str:
        node = tf.compat.v1.NodeDef()
        if isinstance(quantize, tuple):
            *ends, bits, narrow = quantize
            node.op = "FakeQuantWithMinMaxVars"
            node.attr["num_bits"].i, node.attr["narrow_range"].b = bits, narrow
            node.input.extend(["", *(self._number(name, end) for end in ends)])
        else:
            node.CopyFrom(quantize.node_def)
        node.name, node.input[0] = name, source
        self._nodes.append(node)
        return name

    def _number(self, name: str, value: float) -> str:
        node = tf.compat.v1.NodeDef(op="Const", name=f"{name}/{len(self._nodes)}")
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.float32))
        self._nodes.append(node)
        return node.name

    def keep_out(self, edge: TracedEdge) -> None:
        """Puts an operation that TFLite only has in float32 on an edge."""
        name = self._barrier(self._source(edge))
        self._edits[edge.reader.name, edge.position] = name

    def hide_constant(self, edge: TracedEdge, beside: tf.Tensor) -> None:
        """Adds a zero to a kernel that only a run can know.

        The converter stores large kernels of transposed convolutions in 8 bits by itself,
        and rounds what they are multiplied with in each run.

        Args:
            edge: who reads the kernel.
            beside: a computed tensor, whose lengths are 1 and more.
        """
        source, scope = self._source(edge), f"{BARRIER}_{len(self._made)}"
        real, whole = (t.as_datatype_enum for t in (tf.float32, tf.int32))

        def node(kind: str, *inputs: str, **types: int) -> str:
            name = f"{scope}/{kind.lower()}"
            made = tf.compat.v1.NodeDef(op=kind, name=name, input=inputs)
            for key, value in types.items():
                made.attr[key].type = value
            self._nodes.append(made)
            return name

        axis = tf.compat.v1.NodeDef(op="Const", name=f"{scope}/axis")
        axis.attr["dtype"].type = whole
        axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(0, tf.int32))
        self._nodes.append(axis)
        shape = node("Shape", _plain(self.root(beside).name), T=real, out_type=whole)
        lengths = node("Cast", shape, SrcT=whole, DstT=real)
        least = node("Min", lengths, axis.name, T=real, Tidx=whole)
        zero = node("Minimum", least, self._number(scope, 0.0), T=real)
        made = node("AddV2", source, zero, T=real)
        self._made[made, ""] = made  # the next scope has a number of its own
        self._edits[edge.reader.name, edge.position] = made

    def _source(self, edge: TracedEdge) -> str:
        known = self._edits.get((edge.reader.name, edge.position))
        return known or _plain(self.root(edge.reader.inputs[edge.position]).name)

    def _barrier(self, source: str) -> str:
        """`elu(max(x, 0)) - elu(max(-x, 0))`, as in `FloatBarrier`."""
        if ("barrier", source) in self._made:
            return self._made["barrier", source]
        scope = f"{BARRIER}_{len(self._made)}"

        def node(kind: str, name: str, *inputs: str) -> str:
            made = tf.compat.v1.NodeDef(op=kind, name=f"{scope}/{name}", input=inputs)
            made.attr["T"].type = tf.float32.as_datatype_enum
            self._nodes.append(made)
            return made.name

        above = node("Relu", "above", source)
        below = node("Relu", "below", node("Neg", "turned", source))
        sides = [node("Elu", f"side_{i}", x) for i, x in enumerate((above, below))]
        made = node("Sub", "same", *sides)
        self._made["barrier", source] = made
        return made

    def graph_def(self) -> tf.compat.v1.GraphDef:
        """The changed graph."""
        graph = self._function.graph.as_graph_def()
        nodes = {node.name: node for node in graph.node}
        for node in graph.node:
            # Gradients lead into the graph that was traced first.
            node.attr.pop("_gradient_op_type", None)
        for (name, position), source in self._edits.items():
            nodes[name].input[position] = source
        graph.node.extend(self._nodes)
        own = set(self._replaced.values())
        for node in graph.node:
            if node.name not in own:
                for position, source in enumerate(node.input):
                    node.input[position] = self._replaced.get(source, source)
        return graph

    def computes(self, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """What the changed graph makes of tensors, in the graph that is traced now."""
        names = [tensor.op.name for tensor in self._function.inputs]
        return tf.graph_util.import_graph_def(
            self.graph_def(),
            dict(zip(names, inputs, strict=True)),
            [tensor.name for tensor in self._function.outputs],
            name="",
        )


def _plain(name: str) -> str:
    """The name of a tensor as nodes have it among their inputs."""
    node, _, number = name.partition(":")
    return node if number == "0" else name
