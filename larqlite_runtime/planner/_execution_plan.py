"""What planning hands to the back ends: a program, and stages in the order they run in."""

from __future__ import annotations

from dataclasses import dataclass, field

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import Program
from larqlite_runtime.planner._buffers import BufferSlice
from larqlite_runtime.planner._layouts import StoredTensor
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner.producers import Numbers


@dataclass(frozen=True)
class Port:
    """A tensor in a buffer.

    Attributes:
        tensor: its name.
        key: that, or the name of its copy, and the layout.
        buffer: its number.
    """

    tensor: str
    key: StoredTensor
    buffer: int


@dataclass
class ExecutionStage:
    """What runs at once: a part of the program, or a segment for ONNX Runtime.

    Attributes:
        part: number of the part of the program; None for a segment.
        nodes: of a segment.
        inputs, outputs: of a segment.
    """

    part: int | None = None
    nodes: list[GraphNode] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


@dataclass(frozen=True)
class PlanOutput:
    """An output of the model: its buffer, and which channels of the pixels of that."""

    port: Port
    slice: BufferSlice


@dataclass
class ExecutionPlan:
    """A graph ready to run.

    Attributes:
        subgraph: the graph.
        program: buffers and steps of the native parts.
        stages: in the order in which they run.
        inputs, outputs: of the model; an output that is a constant is missing.
        why_float: for packed nodes that ONNX Runtime runs in float, by name, the reason.
        numbers: that the float layers of the kernels multiply.
        pixel_inputs: names of the inputs that have to be whole numbers of 0 to 255.
        exact_inputs: those of them, as bytes, of which the first layer makes what float32 makes.
    """

    subgraph: Subgraph
    program: Program
    stages: list[ExecutionStage]
    inputs: list[Port]
    outputs: dict[str, PlanOutput]
    why_float: dict[str, str] = field(default_factory=dict)
    numbers: Numbers = Numbers.FLOAT32
    pixel_inputs: tuple[str, ...] = ()
    exact_inputs: tuple[str, ...] = ()
