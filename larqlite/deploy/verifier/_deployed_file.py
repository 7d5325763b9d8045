"""A deployed file as a graph of names, and the parts of it that are run alone."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.onnx_graph import WHERE, OnnxGraph, StoredRounding, node_of, read_model

_WRITE_IT = "write it with lq.deploy.export(model, path)."


@dataclasses.dataclass(frozen=True)
class DeployedLayer:
    """What the file says of one use of a packed layer.

    Attributes:
        path: of the layer in the model.
        class_name: of the layer.
        operation: type of its node; "float" if its kernel is unpacked.
        is_dense: whether its node sums over the last axis, and keeps Keras' order.
        nodes: names of the nodes that read its kernels.
        sums: output of the last of them.
        input, quantized: tensors before and after its input quantizer.
        accumulator: tensor of integers, or None.
        output: what the layer gives out; that of the batch normalization behind it if
            `is_folded`; None if the file holds neither.
        is_folded: whether a scale of the layer is part of that normalization.
        steps: what the quantized input is multiplied with to become integers.
        scale, offset: what these are in the model: `scale * integer / steps + offset`.
        table: or the levels of the model, of which the integers say whether a value is
            above the lowest.
        row_steps: or the largest integer of each row, if each has a scale of its own.
        weight_bits: of its kernel.
    """

    path: str
    class_name: str
    operation: str
    is_dense: bool
    nodes: tuple[str, ...]
    sums: str
    input: str
    quantized: str
    accumulator: str | None
    output: str | None
    is_folded: bool
    steps: float
    weight_bits: int
    scale: float = 1.0
    offset: float = 0.0
    table: tuple[float, ...] = ()
    row_steps: int = 0

    @property
    def is_scaled(self) -> bool:
        """Whether the file's integers have another scale than the model's values."""
        is_moved = (self.scale, self.offset) != (1.0, 0.0)
        return is_moved or bool(self.table) or self.row_steps > 0

    def in_file(self, quantized: np.ndarray) -> np.ndarray:
        """The quantized input as the file holds it, from that of the model."""
        if not self.is_scaled:
            return quantized
        if self.table:
            return (quantized > sum(self.table[:2]) / 2).astype(np.float32)
        if self.row_steps:
            largest = np.abs(quantized.astype(np.float64)).max(-1, keepdims=True)
            parts = quantized / np.where(largest == 0, 1, largest)
            return np.rint(parts * self.row_steps).astype(np.float32)
        integers = (quantized.astype(np.float64) - self.offset) / self.scale
        return np.rint(integers * self.steps).astype(np.float32) / self.steps

    def tensor(self, role: str) -> str | None:
        """The tensor that is its "quantized" input, "accumulators" or "output"."""
        names = {"quantized": self.quantized, "output": self.output}
        return names.get(role, self.accumulator)


@dataclasses.dataclass(frozen=True)
class Cut:
    """A part of a file that is fed and read somewhere inside.

    Attributes:
        inputs, outputs: names of tensors.
        made: all tensors that it computes.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    made: frozenset[str]


class DeployedFile:
    """Nodes, tensors and packed layers of a file.

    Args:
        content: its bytes.
        name: of it in messages.

    Attributes:
        content: its bytes.
        model: the same, parsed.
        inputs, outputs: names of those of the model.
        entries: its packed layers, in order.
        roundings: where quantization-aware layers round, in order.

    Raises:
        UnsupportedModelError: it is damaged, or no ONNX model.
        ArgumentError: it holds no packed model.
    """

    def __init__(self, content: bytes, name: str = "the file") -> None:
        self.content = content
        self.model = read_model(content, WHERE.get(), _WRITE_IT, name)
        graph = self.model.graph
        self.inputs = [item.name for item in graph.input]
        self.outputs = [item.name for item in graph.output]
        self._graph = OnnxGraph(map(node_of, graph.node))
        self._named = {node.name: node for node in self._graph.nodes}
        infos = (*graph.input, *graph.output, *graph.value_info)
        self._sizes = {
            info.name: math.prod(
                d.dim_value for d in info.type.tensor_type.shape.dim[1:]
            )
            for info in infos
        }
        texts = {item.key: item.value for item in self.model.metadata_props}
        if "larqlite.layers" not in texts:
            raise ArgumentError(
                f"{WHERE.get()}: {name} does not say which layers are packed, so "
                f"lq.deploy.export did not write it.\n  Fix: {_WRITE_IT}"
            )
        self.entries = [self._entry(i) for i in json.loads(texts["larqlite.layers"])]
        self.roundings = [
            StoredRounding(**item)
            for item in json.loads(texts.get("larqlite.roundings", "[]"))
        ]

    def _entry(self, item: dict) -> DeployedLayer:
        first, node = (self._named[item["nodes"][index]] for index in (0, -1))
        output, accumulator = item["output"], item["accumulator"]
        is_folded = output is None and accumulator is not None
        is_folded &= not item.get("gives_integers", False)
        return DeployedLayer(
            path=item["layer"],
            class_name=item["class"],
            operation=node.op if accumulator else "float",
            is_dense=node.op.endswith(("Dense", "MatMul")),
            nodes=tuple(item["nodes"]),
            sums=node.outputs[0],
            input=item["input"],
            quantized=item["quantized"],
            accumulator=accumulator,
            output=self._normalized(accumulator) if is_folded else output,
            is_folded=is_folded,
            steps=first.attributes.get("input_steps", 1.0),
            weight_bits=item["weight_bits"],
            scale=item.get("input_scale", 1.0),
            offset=item.get("input_offset", 0.0),
            table=tuple(item.get("input_table", ())),
            row_steps=item.get("input_row_steps", 0),
        )

    def _normalized(self, tensor: str) -> str | None:
        """The tensor behind a scale and an offset that are its only readers."""
        for operation in ("Mul", "Add"):
            readers = self._graph.consumers(tensor)
            if len(readers) != 1 or readers[0].op != operation:
                return None
            tensor = readers[0].outputs[0]
        return tensor

    @property
    def values_a_sample(self) -> int:
        """How many values go into and come out of packed layers."""
        tensors = {entry.input for entry in self.entries}
        tensors |= {entry.output for entry in self.entries if entry.output}
        return sum(self._sizes[name] for name in tensors)

    def is_all(self, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
        """Whether that is the file itself, in its order."""
        return list(inputs) == self.inputs and list(outputs) == self.outputs

    def cut(self, outputs: Iterable[str], stops: Iterable[str]) -> Cut:
        """The part that computes tensors from others.

        Args:
            outputs: what it computes; those among the stops are left out.
            stops: where it begins.
        """
        stops = set(stops)
        wanted = [name for name in dict.fromkeys(outputs) if name not in stops]
        inputs: dict[str, None] = {}
        made: set[str] = set()
        pending = list(wanted)
        while pending:
            name = pending.pop()
            if name in stops:
                inputs[name] = None
            elif name not in made and (node := self._graph.producer(name)):
                made.update(node.given)
                pending.extend(node.taken)
        return Cut(tuple(inputs), tuple(wanted), frozenset(made))


def together(cuts: Sequence[Cut]) -> list[list[int]]:
    """Cuts in groups that can be run as one model: what one is fed, none computes.

    Args:
        cuts: those without outputs are in no group.

    Returns:
        Their numbers.
    """
    groups: list[tuple[set[str], set[str], list[int]]] = []
    for number, cut in enumerate(cuts):
        if not cut.outputs:
            continue
        for group in groups:
            fed, made, _ = group
            if made.isdisjoint(cut.inputs) and fed.isdisjoint(cut.made):
                break
        else:
            group = set(), set(), []
            groups.append(group)
        fed, made, members = group
        fed.update(cut.inputs)
        made.update(cut.made)
        members.append(number)
    return [members for _, _, members in groups]
