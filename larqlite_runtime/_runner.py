"""Runs an engine for any number of callers: workspaces, large batches, forks."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.backends import Engine, Workspace, build_engine, bytes_kept

# Bytes for each thread, of what a batch keeps between segments and kernels, beyond which it is
# run in parts: segments are run for all of it at once.
MOST_WORKSPACE = 8 << 20
# Idle workspaces that are kept, whatever their size; more of them, up to so many bytes in all.
MOST_IDLE, MOST_IDLE_BYTES = 4, 32 << 20


@dataclass(frozen=True)
class LoadOptions:
    """What a model is asked to be: see `load`."""

    threads: int
    isa: str | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    precision: str = "float32"
    engine: str = "auto"


Options = LoadOptions  # pickles of earlier versions know it by this name


class ModelRunner:
    """An engine and the workspaces of running calls.

    Attributes:
        options: what was asked for.
        most_batch: samples that run at once.
    """

    def __init__(
        self,
        reread: Callable[[], CheckedGraph],
        graph: CheckedGraph,
        options: LoadOptions,
    ) -> None:
        self.options = options
        self._reread = reread
        self._renew_locks()
        self._build(graph)
        _runners.add(self)

    def _renew_locks(self) -> None:
        self._lock, self._building = threading.Lock(), threading.Lock()
        self._turn = threading.Lock()

    def _build(self, graph: CheckedGraph) -> None:
        asked = self.options
        self._engine = build_engine(
            graph,
            asked.threads,
            asked.isa,
            asked.inputs,
            asked.outputs,
            asked.precision,
            asked.engine,
        )
        # The first one is made at once: whatever may be wrong shows when a model is loaded.
        self._idle = [Workspace(self._engine, 1)]
        self._is_stale = False
        size = max(1, bytes_kept(self._engine))
        self.most_batch = max(1, self.options.threads * MOST_WORKSPACE // size)

    def engine(self) -> Engine:
        """The engine; built anew in a forked child, which has no threads of its parent's."""
        if self._is_stale:
            with self._building:
                if self._is_stale:
                    self._build(self._reread())
        return self._engine

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Runs checked inputs of any batch size; returns the outputs in order."""
        batch, most = len(next(iter(inputs.values()))), self.most_batch
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
        engine = self.engine()
        workspace = self._take(engine, batch)
        if workspace.takes_turns:
            with self._turn:
                results = workspace.run(inputs)
        else:
            results = workspace.run(inputs)
        with self._lock:
            if engine is self._engine:
                self._idle.append(workspace)
                if len(self._idle) > MOST_IDLE:
                    self._forget_some()
        return results

    def _forget_some(self) -> None:
        """Lets go the workspaces that were idle the longest, beyond what is kept."""
        size = sum(workspace.bytes for workspace in self._idle)
        while len(self._idle) > MOST_IDLE and size > MOST_IDLE_BYTES:
            size -= self._idle.pop(0).bytes

    def _take(self, engine: Engine, batch: int) -> Workspace:
        """An idle workspace for a batch size, or a new one."""
        with self._lock:
            for number in reversed(range(len(self._idle))):
                if self._idle[number].batch == batch:
                    return self._idle.pop(number)
        return Workspace(engine, batch)

    def leave_alone(self) -> None:
        """Gives up what a fork has made useless.

        Destroying it would wait for threads that are not there: it stays for good.
        """
        self._renew_locks()
        if not self._is_stale:
            for thing in (self._engine, self._idle):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
        self._is_stale = True


_runners: weakref.WeakSet[ModelRunner] = weakref.WeakSet()


def _after_fork() -> None:
    for runner in list(_runners):
        runner.leave_alone()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
