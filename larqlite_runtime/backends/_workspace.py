"""Memory for one running call, and everything that is bound to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from larqlite_runtime._errors import InputError, quoted
from larqlite_runtime._program import ALIGNMENT
from larqlite_runtime.backends import numpy as numpy_kernels
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.backends._engine import Engine
from larqlite_runtime.planner import ExecutionStage, Port, memory_shape

COPIED = 1 << 15  # bytes of an input up to which a copy costs less than a new binding


class Workspace:
    """Buffers for one batch size, with every stage bound to them."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self.batch = batch
        self.engine = engine
        self._plan = plan = engine.plan
        self._memory = _aligned(plan.program.arena * batch)
        self.arrays = [
            self._array(number) for number in range(len(plan.program.buffers))
        ]
        self._c_buffers = (CBuffer * len(self.arrays))(
            *(CBuffer(array.ctypes.data, array.nbytes) for array in self.arrays)
        )
        self._nothing = np.zeros(0, np.float32)
        self._bound_late = [port for port in plan.inputs if self._is_bound_late(port)]
        self._fed: dict[int, list[tuple[object, str, Port]]] = {}
        self.stages = [
            self._segment(number, stage)
            if stage.part is None
            else self._part(stage.part)
            for number, stage in enumerate(plan.stages)
        ]

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        seconds: Sequence[np.ndarray] | None = None,
    ) -> list[np.ndarray]:
        """Runs the model once.

        Args:
            inputs: contiguous arrays by name.
            seconds: None, or an array for each stage to which its times are added.

        Returns:
            The outputs in the order of the plan, in memory of their own.
        """
        for port in self._plan.inputs:
            self._feed(port, inputs[port.tensor])
        if seconds is None:
            for stage in self.stages:
                stage(None)
        else:
            for stage, times in zip(self.stages, seconds, strict=True):
                stage(times)
        results = [self._result(name) for name in self._plan.subgraph.outputs]
        for port in self._bound_late:
            self.arrays[port.buffer] = self._nothing
        return results

    def _is_bound_late(self, port: Port) -> bool:
        """Whether a tensor is read where the caller holds it."""
        buffer = self._plan.program.buffers[port.buffer]
        return buffer.external and buffer.bytes * self.batch > COPIED

    def _array(self, number: int) -> np.ndarray:
        """The memory of a buffer as a flat array."""
        buffer = self._plan.program.buffers[number]
        if buffer.constant is not None:
            return buffer.constant.reshape(-1)
        if buffer.external:
            return np.zeros(buffer.count * self.batch, buffer.dtype)
        begin = buffer.offset * self.batch
        size = buffer.bytes * self.batch
        array = self._memory[begin : begin + size].view(buffer.dtype)
        if buffer.initial is not None:
            array.reshape(self.batch, -1)[...] = buffer.initial
        return array

    def _feed(self, port: Port, array: np.ndarray) -> None:
        number = port.buffer
        if array.nbytes <= COPIED:
            self.arrays[number][:] = array.reshape(-1)
            return
        self.arrays[number] = array.reshape(-1)
        self._c_buffers[number].data = array.ctypes.data
        for binding, name, read in self._fed.get(number, ()):
            self._bind(binding.bind_input, name, read, array)

    def _bind(self, bind, name: str, port: Port, array: np.ndarray) -> None:
        bind(name, "cpu", 0, array.dtype.type, self._shape(port), array.ctypes.data)

    def _shape(self, port: Port) -> tuple[int, ...]:
        shape = memory_shape(self._plan.subgraph.shapes[port.tensor], port.key.layout)
        return tuple(self.batch if size is None else size for size in shape)

    def _part(self, number: int) -> Callable[[np.ndarray | None], None]:
        engine = self.engine
        if engine.parts:
            return engine.parts[number].bind(
                self._c_buffers, self.batch, engine.threads, engine.isa
            )
        steps = engine.plan.program.parts[number]

        def call(seconds: np.ndarray | None) -> None:
            numpy_kernels.run(steps, self.arrays, self.batch, seconds)

        return call

    def _segment(
        self, number: int, stage: ExecutionStage
    ) -> Callable[[np.ndarray | None], None]:
        session, segment = self.engine.sessions[number]
        binding = session.io_binding()
        for name, port in zip(segment.inputs, stage.inputs, strict=True):
            if self._is_bound_late(port):
                self._fed.setdefault(port.buffer, []).append((binding, name, port))
            else:
                self._bind(binding.bind_input, name, port, self.arrays[port.buffer])
        for name, port in zip(segment.outputs, stage.outputs, strict=True):
            self._bind(binding.bind_output, name, port, self.arrays[port.buffer])

        def run(binding) -> None:
            try:
                session.run_with_iobinding(binding)
            except Exception as error:
                names = ", ".join(node.name for node in stage.nodes)
                path = self.engine.segment_path
                who = "ONNX Runtime" if path == "onnxruntime" else "NumPy"
                raise InputError(
                    f"{who} can't run {quoted(names)} with these inputs: {error}\n"
                    "  Fix: values such as indices of a table that are computed in the "
                    "model must be in range; see what the inputs make of them."
                ) from error

        def call(seconds: np.ndarray | None) -> None:
            if seconds is None:
                run(binding)
                return
            begin = time.perf_counter()
            run(binding)
            seconds[0] += time.perf_counter() - begin

        return call

    def _result(self, name: str) -> np.ndarray:
        output = self._plan.outputs.get(name)
        if output is None:
            return self._plan.subgraph.constants[name].copy()
        port, part, shape = output.port, output.slice, self._shape(output.port)
        memory = self.arrays[port.buffer]
        if part.is_contiguous:
            array = memory[: math.prod(shape)].reshape(shape)
        else:
            pixels = memory.reshape(self.batch, -1, part.pixel)
            last = part.first + part.channels
            array = pixels[:, :, part.first : last].reshape(shape)
        return np.moveaxis(array, -1, 1).copy() if port.key.layout else array.copy()


def _aligned(size: int) -> np.ndarray:
    """Bytes that begin at a cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + size]
