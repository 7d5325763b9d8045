"""Memory for one running call, and everything that is bound to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._errors import InputError
from larqlite_runtime._text import quoted
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.backends.numpy import _kernels
from larqlite_runtime.backends.onnxruntime._segment import Segment
from larqlite_runtime.planner._arena import ALIGNMENT
from larqlite_runtime.planner._layouts import memory_shape
from larqlite_runtime.planner._plan import Plan, Port, Stage

COPIED = 1 << 15  # bytes of an input up to which a copy costs less than a new binding


@dataclass(frozen=True)
class Engine:
    """What runs the stages of a plan.

    Attributes:
        plan: the plan.
        parts: of the program, as the library takes them; empty where NumPy runs them.
        sessions: of ONNX Runtime, by number of the stage, with the names of the ports.
        isa: instruction set, or "numpy".
        threads: that work on one call.
    """

    plan: Plan
    parts: list[_native.Part]
    sessions: dict[int, tuple[object, Segment]]
    isa: str
    threads: int


class Workspace:
    """Buffers for one batch size, with every stage bound to them."""

    def __init__(self, engine: Engine, batch: int) -> None:
        self.batch = batch
        self.engine = engine
        plan = engine.plan
        self._memory = _aligned(plan.program.workspace * batch)
        self.arrays = [
            self._array(number) for number in range(len(plan.program.buffers))
        ]
        self._c_buffers = (CBuffer * len(self.arrays))(
            *(CBuffer(array.ctypes.data, array.nbytes) for array in self.arrays)
        )
        self._nothing = np.zeros(0, np.float32)
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
        for port in self.engine.plan.inputs:
            self._feed(port, inputs[port.tensor])
        if seconds is None:
            for stage in self.stages:
                stage(None)
        else:
            for stage, times in zip(self.stages, seconds, strict=True):
                stage(times)
        results = [self._result(name) for name in self.engine.plan.net.outputs]
        for port in self.engine.plan.inputs:
            if self._is_bound_late(port):
                self.arrays[port.buffer] = self._nothing
        return results

    def _is_bound_late(self, port: Port) -> bool:
        """Whether a tensor is read where the caller holds it."""
        buffer = self.engine.plan.program.buffers[port.buffer]
        return buffer.external and buffer.bytes * self.batch > COPIED

    def _array(self, number: int) -> np.ndarray:
        """The memory of a buffer as a flat array."""
        buffer = self.engine.plan.program.buffers[number]
        if buffer.constant is not None:
            return buffer.constant.reshape(-1)
        if buffer.external:
            return np.zeros(buffer.count * self.batch, buffer.dtype)
        begin = buffer.offset * self.batch
        size = buffer.bytes * self.batch
        array = self._memory[begin : begin + size].view(buffer.dtype)
        if buffer.fill is not None:
            array.reshape(self.batch, -1)[...] = buffer.fill
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
        shape = memory_shape(self.engine.plan.net.shapes[port.tensor], port.key[1])
        return tuple(self.batch if size is None else size for size in shape)

    def _part(self, number: int) -> Callable[[np.ndarray | None], None]:
        engine = self.engine
        if engine.parts:
            return engine.parts[number].bind(
                self._c_buffers, self.batch, engine.threads, engine.isa
            )
        steps = engine.plan.program.parts[number]

        def call(seconds: np.ndarray | None) -> None:
            _kernels.run(steps, self.arrays, self.batch, seconds)

        return call

    def _segment(
        self, number: int, stage: Stage
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
                raise InputError(
                    f"ONNX Runtime can't run {quoted(names)} with these inputs: {error}\n"
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
        output = self.engine.plan.outputs.get(name)
        if output is None:
            return self.engine.plan.net.constants[name].copy()
        port, place, shape = output.port, output.place, self._shape(output.port)
        memory = self.arrays[port.buffer]
        if place.is_contiguous:
            array = memory[: math.prod(shape)].reshape(shape)
        else:
            pixels = memory.reshape(self.batch, -1, place.pixel)
            last = place.first + place.channels
            array = pixels[:, :, place.first : last].reshape(shape)
        return np.moveaxis(array, -1, 1).copy() if port.key[1] else array.copy()


def _aligned(size: int) -> np.ndarray:
    """Bytes that begin at a cache line."""
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + size]
