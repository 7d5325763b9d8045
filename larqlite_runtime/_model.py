"""A loaded model: call it, feed it batches, ask where its time and memory go."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._engine import build_engine
from larqlite_runtime._graph import Graph, Shape
from larqlite_runtime._input import check_inputs
from larqlite_runtime._profile import PATHS, SEGMENT, Profile, StepTime
from larqlite_runtime._program import POPCOUNTS, Kind
from larqlite_runtime._workspace import Engine, Workspace

# Bytes of workspace beyond which a batch is run in parts.
MOST_WORKSPACE = 64 << 20
# Idle workspaces that are kept.
MOST_IDLE = 4


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output: its name, its shape (None: the batch), its dtype."""

    name: str
    shape: Shape
    dtype: str


class Model:
    """A packed model in memory; made by `larqlite_runtime.load`.

    It may be called from several threads at once, with any batch sizes. After a fork the
    child loads the file again at its first call; pickling keeps the file's bytes.

    Attributes:
        inputs, outputs: descriptions, in order.
        layers: what the file says of each packed layer.
        threads: that work on one call.
        isa: the instruction set of the kernels, or "numpy".
    """

    def __init__(
        self,
        reread: Callable[[], Graph],
        graph: Graph,
        threads: int,
        isa: str | None = None,
        inputs: list[str] | None = None,
        outputs: list[str] | None = None,
    ) -> None:
        self._reread = reread
        self._asked = isa, inputs, outputs
        self.threads = threads
        self.layers: list[dict] = json.loads(
            graph.metadata.get("larqlite.layers", "[]")
        )
        self.metadata = dict(graph.metadata)
        self._lock = threading.Lock()
        self._build(graph)
        self.inputs = self._describe(self._engine.plan.net.inputs)
        self.outputs = self._describe(self._engine.plan.net.outputs)

    def _build(self, graph: Graph) -> None:
        isa, inputs, outputs = self._asked
        self._engine = build_engine(graph, self.threads, isa, inputs, outputs)
        self._process = os.getpid()
        self._idle: list[Workspace] = []
        net = self._engine.plan.net
        self._fed = Graph(inputs={name: net.shapes[name] for name in net.inputs})
        size = max(1, self._engine.plan.program.workspace)
        self._most_batch = max(self.threads, MOST_WORKSPACE // size, 1)

    @property
    def isa(self) -> str:
        """The instruction set of the kernels, or "numpy"."""
        return self._engine.isa

    def _describe(self, names: Iterable[str]) -> list[TensorInfo]:
        net = self._engine.plan.net
        return [
            TensorInfo(name, net.shapes[name], np.dtype(net.dtypes[name]).name)
            for name in names
        ]

    def __repr__(self) -> str:
        ends = [
            ", ".join(f"{item.name} {item.shape}" for item in items)
            for items in (self.inputs, self.outputs)
        ]
        return f"<larqlite_runtime.Model {ends[0]} -> {ends[1]}, {self.isa}>"

    def __call__(self, x):
        """Runs the model on one batch.

        Args:
            x: an array `(batch, ...)` in the layout of Keras; for several inputs a list
                in the order of `inputs`, or a dictionary by name. Numbers of other
                dtypes are cast to float32.

        Returns:
            A float32 array; a list of arrays if there are several outputs.

        Raises:
            InputError: a wrong shape, or missing inputs; says what was expected.
            InputTypeError: what is no array of numbers.
        """
        results = self._run(check_inputs(self._fed, x))
        return results[0] if len(results) == 1 else results

    def run(self, x) -> dict[str, np.ndarray]:
        """As a call, but returns a dictionary of all outputs by name."""
        results = self._run(check_inputs(self._fed, x))
        return {
            item.name: result
            for item, result in zip(self.outputs, results, strict=True)
        }

    def predict(
        self,
        batches,
        batch_size: int = 32,
        progress: bool | Callable[[int, int | None], None] | None = None,
    ):
        """Runs the model on many samples.

        Args:
            batches: an array of samples, which is cut into batches, or an iterable of
                batches (of anything that a call takes).
            batch_size: samples of a batch if `batches` is an array.
            progress: true prints how many batches are done to standard error; a function
                is called with that number and their total (None if unknown).

        Returns:
            What a call returns, for all samples together.

        Raises:
            InputError: as in a call; also if there are no batches.
        """
        total = None
        if isinstance(batches, np.ndarray):
            array, count = batches, max(1, int(batch_size))
            check_inputs(self._fed, array)
            total = -(-len(array) // count)
            batches = (array[at : at + count] for at in range(0, len(array), count))
        elif hasattr(batches, "__len__"):
            total = len(batches)
        show = _print_progress if progress is True else progress or None
        found: list[list[np.ndarray]] = []
        for number, batch in enumerate(batches, 1):
            found.append(self._run(check_inputs(self._fed, batch)))
            if show:
                show(number, total)
        if not found:
            from larqlite_runtime._errors import InputError

            raise InputError(
                "predict: there are no batches.\n  Fix: give an array of samples or an "
                "iterable of arrays; a generator can be used only once."
            )
        results = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        return results[0] if len(results) == 1 else results

    def profile(self, x, repeat: int = 10, show: bool = False) -> Profile:
        """Measures every step.

        Args:
            x: as for a call.
            repeat: calls of which the least time of each step is taken.
            show: whether to print the table.

        Returns:
            Times, speeds and paths, in the order in which steps run; `str()` of it is
            a table.
        """
        inputs = check_inputs(self._fed, x)
        batch = len(next(iter(inputs.values())))
        engine = self._current()
        workspace = Workspace(engine, batch)
        workspace.run(inputs)
        sizes = [
            1 if stage.part is None else len(engine.plan.program.parts[stage.part])
            for stage in engine.plan.stages
        ]
        runs, whole = [], []
        for _ in range(max(1, repeat)):
            times = [np.zeros(size) for size in sizes]
            workspace.run(inputs, times)
            runs.append(np.concatenate([np.zeros(0), *times]))
            begin = time.perf_counter()
            workspace.run(inputs)
            whole.append(time.perf_counter() - begin)
        seconds = np.min(runs, 0)
        steps = tuple(
            step for step in self._step_times(engine, seconds.tolist(), batch)
        )
        result = Profile(steps, min(whole), batch, self.threads)
        if show:
            print(result)
        return result

    @staticmethod
    def _step_times(
        engine: Engine, seconds: list[float], batch: int
    ) -> Iterator[StepTime]:
        left = iter(seconds)
        for stage in engine.plan.stages:
            if stage.part is None:
                names = (
                    ", ".join(node.name for node in stage.nodes) or "order of inputs"
                )
                yield StepTime(names, "segment", SEGMENT, next(left), 0)
                continue
            for step in engine.plan.program.parts[stage.part]:
                products = step.products * batch if step.kind in POPCOUNTS else 0
                kind = step.kind.name.lower()
                yield StepTime(
                    step.label, kind, PATHS[engine.isa], next(left), products
                )

    def memory(self, batch: int = 1) -> dict[str, int]:
        """Bytes that the model takes.

        Args:
            batch: samples of a call.

        Returns:
            `packed_weights`, `float_weights`, `tables` (scales, thresholds, corrections
            of borders), and `workspace`, which every running call needs once.
        """
        engine = self._engine
        program = engine.plan.program
        steps = [step for part in program.parts for step in part]
        sizes = {
            number: buffer.bytes
            for number, buffer in enumerate(program.buffers)
            if buffer.constant is not None
        }

        def weights(*kinds: Kind) -> int:
            numbers = {step.weights for step in steps if step.kind in kinds}
            return sum(sizes[number] for number in numbers)

        packed, floats = weights(*POPCOUNTS), weights(Kind.CONV_FLOAT)
        sessions = engine.sessions.values()
        return {
            "packed_weights": packed,
            "float_weights": floats + sum(part.float_bytes for _, part in sessions),
            "tables": sum(sizes.values()) - packed - floats,
            "workspace": program.workspace * min(batch, self._most_batch),
        }

    # Running.

    def _run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        batch = len(next(iter(inputs.values())))
        most = self._most_batch
        if batch <= most:
            return self._run_at_once(inputs, batch)
        parts = [
            self._run_at_once(
                {name: array[at : at + most] for name, array in inputs.items()},
                min(most, batch - at),
            )
            for at in range(0, batch, most)
        ]
        return [np.concatenate(results) for results in zip(*parts, strict=True)]

    def _run_at_once(
        self, inputs: dict[str, np.ndarray], batch: int
    ) -> list[np.ndarray]:
        engine = self._current()
        workspace = self._take(engine, batch)
        results = workspace.run(inputs)
        with self._lock:
            self._idle.append(workspace)
            del self._idle[:-MOST_IDLE]
        return results

    def _take(self, engine: Engine, batch: int) -> Workspace:
        """An idle workspace for a batch size, or a new one."""
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number].batch == batch:
                    return self._idle.pop(number)
        return Workspace(engine, batch)

    def _current(self) -> Engine:
        """The engine; built anew in a forked child, which has no threads of its parent's."""
        if os.getpid() != self._process:
            self._lock = threading.Lock()
            with self._lock:
                if os.getpid() != self._process:
                    self._build(self._reread())
        return self._engine

    def __reduce__(self):
        from larqlite_runtime._load import reload

        isa, inputs, outputs = self._asked
        return reload, (self._reread.data(), self.threads, isa, inputs, outputs)


def _print_progress(done: int, total: int | None) -> None:
    of = f" of {total}" if total is not None else ""
    end = "\n" if done == total else ""
    print(f"\rbatch {done}{of}", end=end, file=sys.stderr, flush=True)
