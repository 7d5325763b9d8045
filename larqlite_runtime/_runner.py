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
from larqlite_runtime.backends import Engine, Workspace, build_engine

# Bytes of workspace for each thread beyond which a batch is run in parts: more images at
# once are slower, since what one layer writes has left the cache when the next reads it.
MOST_WORKSPACE = 8 << 20
# Idle workspaces that are kept.
MOST_IDLE = 4


@dataclass(frozen=True)
class LoadOptions:
    """What a model is asked to be: see `load`."""

    threads: int
    isa: str | None = None
    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None


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

    def _build(self, graph: CheckedGraph) -> None:
        asked = self.options
        self._engine = build_engine(
            graph, asked.threads, asked.isa, asked.inputs, asked.outputs
        )
        # The first one is made at once: whatever may be wrong shows when a model is loaded.
        self._idle = [Workspace(self._engine, 1)]
        self._is_stale = False
        size = max(1, self._engine.plan.program.arena)
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
        results = workspace.run(inputs)
        with self._lock:
            if engine is self._engine:
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
