"""A segment run by NumPy, with as much of the interface of ONNX Runtime as is used of it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.backends.numpy._float_operations import FLOAT_OPERATIONS


@dataclass(frozen=True)
class SegmentNode:
    """A node of a segment, by the names of its tensors; "" is an input that is left out.

    Attributes:
        op, inputs, outputs, attributes: as of a `GraphNode`.
        source: the node of the file that it stands for, or a part of; None where it only
            brings a tensor to its place.
    """

    op: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    source: GraphNode | None = None


@dataclass
class NumpyBinding:
    """The memory that a call reads and writes, by name."""

    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)

    def bind_input(self, name, device, number, dtype, shape, pointer) -> None:
        """As of `onnxruntime.IOBinding`."""
        self.inputs[name] = _memory(dtype, shape, pointer)

    def bind_output(self, name, device, number, dtype, shape, pointer) -> None:
        """As of `onnxruntime.IOBinding`."""
        self.outputs[name] = _memory(dtype, shape, pointer)


class NumpySession:
    """Runs the nodes of a segment one after the other.

    Args:
        nodes: in order, none of which `cannot_run` names.
        constants: by name.
    """

    def __init__(
        self, nodes: Sequence[SegmentNode], constants: Mapping[str, np.ndarray]
    ) -> None:
        self._nodes = tuple(nodes)
        self._constants = dict(constants)

    def io_binding(self) -> NumpyBinding:
        """As of `onnxruntime.InferenceSession`."""
        return NumpyBinding()

    def run_with_iobinding(self, binding: NumpyBinding) -> None:
        """As of `onnxruntime.InferenceSession`."""
        values: dict[str, np.ndarray | None] = {"": None}
        values |= self._constants | binding.inputs
        with np.errstate(all="ignore"):
            for node in self._nodes:
                inputs = [values[name] for name in node.inputs]
                made = FLOAT_OPERATIONS[node.op](node.attributes, *inputs)
                values[node.outputs[0]] = made
        for name, memory in binding.outputs.items():
            memory[...] = values[name]


def cannot_run(nodes: Iterable[SegmentNode]) -> list[SegmentNode]:
    """Those of some nodes that NumPy does not run here."""
    return [
        node
        for node in nodes
        if node.op not in FLOAT_OPERATIONS or len(node.outputs) != 1
    ]


def _memory(dtype: type, shape: Sequence[int], pointer: int) -> np.ndarray:
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (ctypes.c_char * count).from_address(pointer)
    return np.frombuffer(raw, dtype).reshape(shape)
