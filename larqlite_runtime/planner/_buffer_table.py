"""Which buffer of the program a tensor lies in, and where in it."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._graph import Shape
from larqlite_runtime._program import Program, TensorView
from larqlite_runtime.planner._arena import LiveRanges
from larqlite_runtime.planner._buffers import BufferAssignment
from larqlite_runtime.planner._layouts import (
    LAYOUTS,
    NCHW,
    StoredTensor,
    image_of,
    key_of,
)
from larqlite_runtime.planner._subgraph import Subgraph


class BufferTable:
    """Buffers of tensors, made when a tensor is first used.

    Attributes:
        assignment: where tensors lie.
        live: that buffers are made by, and in which they are used.
    """

    def __init__(self, subgraph: Subgraph, assignment: BufferAssignment) -> None:
        self.assignment, self.live = assignment, LiveRanges(Program())
        self._subgraph = subgraph
        self._of_root: dict[StoredTensor, int] = {}

    @property
    def program(self) -> Program:
        """The program that the buffers belong to."""
        return self.live.program

    def shape(self, tensor: str) -> Shape:
        """The shape of a tensor of the graph or of a copy."""
        return self.assignment.shape(tensor)

    def buffer(self, key: StoredTensor) -> int:
        """The buffer that a tensor lies in; it is in use now."""
        root = self.assignment.slice_of(key).root
        if root not in self._of_root:
            zeros = root in self.assignment.zeros
            is_fed = root.tensor in self._subgraph.inputs
            dtype = self._subgraph.dtypes.get(root.tensor, np.dtype(np.float32))
            if root.tensor in self.assignment.partition.byte_inputs:
                dtype = np.dtype(np.uint8)
            self._of_root[root] = self.live.new(
                dtype,
                self.assignment.elements(root),
                initial=np.zeros((), np.float32) if zeros else None,
                external=is_fed and root.layout == NCHW,
                holds=root.tensor,
                layout=LAYOUTS[root.layout],
            )
        return self.live.use(self._of_root[root])

    def view(
        self, tensor: str, axis: int, key: StoredTensor | None = None
    ) -> TensorView:
        """Where a tensor lies, as the kernels see it.

        Args:
            tensor: of the graph, or a copy.
            axis: of its channels.
            key: where it lies, if it is stored as another.
        """
        shape = self.shape(tensor)
        (_, height, width), channels = image_of(shape, axis)
        part = self.assignment.slice_of(key or key_of(tensor, shape, axis))
        pixel = part.pixel or channels
        row = width * pixel
        return TensorView(
            self.buffer(part.root),
            part.first,
            self.assignment.elements(part.root),
            height * row,
            row,
            pixel,
        )
