"""Memory for one running call, and everything that is bound to it."""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from larqlite_runtime._errors import InputError, quoted
from larqlite_runtime._machine import cache_of_a_core
from larqlite_runtime._program import ALIGNMENT, aligned_in
from larqlite_runtime.backends import numpy as numpy_kernels
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.backends._engine import Engine
from larqlite_runtime.backends._pieces import (
    SHORT,
    kept_buffers,
    pieces_of,
    workspace_bytes,
)
from larqlite_runtime.planner import ExecutionStage, Port, memory_shape

# Bytes of an input or an output up to which a copy costs less than a new binding.
COPIED = 1 << 15
# Of floats, on the slower half of processors.
PRODUCTS_A_SECOND = 20e9
# Results whose memory is used again: while a caller still has the last one, there is another.
KEPT_RESULTS = 2


class Workspace:
    """Buffers for one batch size, with every stage bound to them.

    Where a batch is cut into pieces, most buffers hold the images of a piece, once for each
    thread that runs pieces of its own; those that the caller, segments or several parts see
    hold the batch.

    Attributes:
        batch: images.
        engine: that runs them.
        pieces: how it does.
        arrays: memory of each buffer.
        stages: functions that run the stages.
    """

    def __init__(self, engine: Engine, batch: int) -> None:
        self.batch = batch
        self.engine = engine
        self.pieces = pieces_of(engine, batch)
        self._plan = plan = engine.plan
        buffers = plan.program.buffers
        is_cut = self.pieces.count > 1
        self._seen = kept_buffers(engine)
        self._kept = self._seen if is_cut else set()
        self._of_a_copy = plan.program.arena * self.pieces.piece
        self._memory = _aligned(self._of_a_copy * self.pieces.copies)
        self._nothing = np.zeros(0, np.float32)
        self._bound_late = [port for port in plan.inputs if self._is_bound_late(port)]
        self._direct = self._outputs_written_directly()
        self._of_direct = {
            name: (
                self._shape(plan.outputs[name].port),
                buffers[number].dtype,
                buffers[number].bytes * batch,
            )
            for name, number in self._direct.items()
        }
        # Past the caches, which have no room for it.
        self._streamed = {
            number
            for number in self._direct.values()
            if buffers[number].bytes * batch > cache_of_a_core()
            and not any(
                number in step.tensors_read
                for part in plan.program.parts
                for step in part
            )
        }
        late = {port.buffer for port in self._bound_late} | {*self._direct.values()}
        self._late = tuple(late)
        self.arrays = [
            self._nothing if number in late else self._array(number)
            for number in range(len(buffers))
        ]
        self._c_buffers = (CBuffer * len(buffers))(
            *(self._c_buffer(number, number in late) for number in range(len(buffers)))
        )
        self._fed: dict[int, list[tuple[object, str, Port]]] = {}
        self._views = {
            name: view
            for name, output in plan.outputs.items()
            if output.port.buffer not in late
            for view in [self._tensor(name)]
            if np.may_share_memory(view, self.arrays[output.port.buffer])
        }
        self._results: dict[int, list[np.ndarray]] = {}
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
        written = {name: self._bound(name) for name in self._direct}
        if seconds is None:
            for stage in self.stages:
                stage(None)
        else:
            for stage, times in zip(self.stages, seconds, strict=True):
                stage(times)
        results = [
            written[name] if name in written else self._result(name)
            for name in self._plan.subgraph.outputs
        ]
        for number in self._late:
            self.arrays[number] = self._nothing
        return results

    @property
    def takes_turns(self) -> bool:
        """Whether calls at the same time are done sooner one after the other.

        ONNX Runtime lets other threads of Python in, which takes longer than a short segment.
        """
        engine = self.engine
        products = engine.segment_products * self.batch
        short = sum(self.pieces.seconds) + products / PRODUCTS_A_SECOND < 2 * SHORT
        return bool(engine.parts and engine.sessions) and short

    @property
    def bytes(self) -> int:
        """Of all memory that is made for it."""
        return workspace_bytes(self.engine, self.pieces)

    def _is_bound_late(self, port: Port) -> bool:
        """Whether a tensor is read where the caller holds it."""
        buffer = self._plan.program.buffers[port.buffer]
        return buffer.external and buffer.bytes * self.batch > COPIED

    def _outputs_written_directly(self) -> dict[str, int]:
        """Large outputs that steps of the kernels write into memory of the caller's."""
        plan, buffers = self._plan, self._plan.program.buffers
        of_segments = {
            port.buffer
            for stage in plan.stages
            for port in (*stage.inputs, *stage.outputs)
        }
        uses = Counter(output.port.buffer for output in plan.outputs.values())
        return {
            name: output.port.buffer
            for name, output in plan.outputs.items()
            for buffer in [buffers[output.port.buffer]]
            if uses[output.port.buffer] == 1
            and output.port.buffer not in of_segments
            and output.slice.is_contiguous
            and not output.port.key.layout
            and not buffer.external
            and buffer.initial is None
            and buffer.constant is None
            and buffer.bytes * self.batch > COPIED
            and buffer.count * self.batch == math.prod(self._shape(output.port))
        }

    def _array(self, number: int) -> np.ndarray:
        """The memory of a buffer as a flat array; of those of a piece, the first copy."""
        buffer = self._plan.program.buffers[number]
        if buffer.constant is not None:
            return buffer.constant.reshape(-1)
        if buffer.external:
            return np.zeros(buffer.count * self.batch, buffer.dtype)
        if number in self._kept:
            array = _aligned(buffer.bytes * self.batch).view(buffer.dtype)
            if buffer.initial is not None:
                array.reshape(self.batch, -1)[...] = buffer.initial
            return array
        piece, copies = self.pieces.piece, self.pieces.copies
        begin, size = buffer.offset * piece, buffer.bytes * piece
        of_copies = self._memory.reshape(copies, -1)[:, begin : begin + size]
        if buffer.initial is not None:
            for copy in of_copies:
                copy.view(buffer.dtype).reshape(piece, -1)[...] = buffer.initial
        return of_copies[0].view(buffer.dtype)

    def _c_buffer(self, number: int, is_late: bool) -> CBuffer:
        buffer, array = self._plan.program.buffers[number], self.arrays[number]
        holds_batch = buffer.external or is_late or number in self._kept
        if buffer.constant is not None or not holds_batch:
            is_copied = buffer.constant is None and self.pieces.copies > 1
            size = self._of_a_copy if is_copied else 0
            of_image = buffer.bytes if number in self._seen else 0
            return CBuffer(array.ctypes.data, array.nbytes, of_image, size)
        # What is bound at every call must be somewhere for the check, which reads nothing.
        data = _SOMEWHERE.ctypes.data if is_late else array.ctypes.data
        size, streamed = buffer.bytes * self.batch, number in self._streamed
        return CBuffer(data, size, buffer.bytes, 0, streamed)

    def _bound(self, name: str) -> np.ndarray:
        """Memory for an output, that steps will write into."""
        number, (shape, dtype, size) = self._direct[name], self._of_direct[name]
        memory = self._memory_of_results(number, size)
        # Faster than `memory.ctypes.data`: all of this is part of every call.
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        begin = -address % ALIGNMENT
        array = np.ndarray(shape, dtype, memory, begin)
        self.arrays[number] = array.reshape(-1)
        self._c_buffers[number].data = address + begin
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

    def _memory_of_results(self, number: int, size: int) -> np.ndarray:
        """Memory of an earlier result that nobody has any more, or new memory.

        The system fills new memory with zeros, page by page, which takes as long as the
        steps that write into it.
        """
        own = self._results.setdefault(number, [])
        for memory, count in zip(own, _references(own), strict=False):
            if count == _UNUSED:
                return memory
        memory = np.empty(size + ALIGNMENT, np.uint8)
        own.append(memory)
        del own[:-KEPT_RESULTS]
        return memory

    def _part(self, number: int) -> Callable[[np.ndarray | None], None]:
        engine, pieces = self.engine, self.pieces
        if engine.parts:
            return engine.parts[number].bind(
                self._c_buffers,
                self.batch,
                pieces.threads[number],
                engine.isa,
                pieces.piece,
                is_short=pieces.seconds[number] < SHORT,
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
        if name in self._views:
            return self._views[name].copy()
        if name in self._plan.outputs:
            return self._tensor(name).copy()
        return self._plan.subgraph.constants[name].copy()

    def _tensor(self, name: str) -> np.ndarray:
        """An output, where steps and segments leave it."""
        output = self._plan.outputs[name]
        port, part, shape = output.port, output.slice, self._shape(output.port)
        memory = self.arrays[port.buffer]
        if part.is_contiguous:
            array = memory[: math.prod(shape)].reshape(shape)
        else:
            pixels = memory.reshape(self.batch, -1, part.pixel)
            last = part.first + part.channels
            array = pixels[:, :, part.first : last].reshape(shape)
        return np.moveaxis(array, -1, 1) if port.key.layout else array


def _aligned(size: int) -> np.ndarray:
    """Zeros that begin at a cache line."""
    return aligned_in(np.zeros(size + ALIGNMENT, np.uint8))[:size]


def _references(arrays: list[np.ndarray]) -> list[int]:
    """How often each is referred to; nothing where Python does not know."""
    if (
        not hasattr(sys, "getrefcount")
        or not getattr(sys, "_is_gil_enabled", lambda: True)()
    ):
        return []
    return [sys.getrefcount(array) for array in arrays]


_SOMEWHERE = _aligned(ALIGNMENT)
# References to what only a list has.
_UNUSED = next(iter(_references([np.empty(1)])), None)
