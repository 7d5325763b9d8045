"""A piece of work that a worker process repeats and times."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds of CPU (all threads of the process) and of the clock on the wall."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Bytes:
    """A size: of a file, or of the memory that a process has."""

    bytes: float


@dataclass(frozen=True)
class Workload:
    """A step to repeat, and numbers that must agree between the two sides.

    Args:
        step: one unit of work; it returns when the work is done.
        check: the numbers to compare, asked for once, after the warm-up steps.
        share: the part of a step that is asked for, where it can do no less.
        expected: what they have to be by a third one's word, asked for where they are
            compared; it may say nothing.
    """

    step: Callable[[], None]
    check: Callable[[], list[float]] = list
    expected: Callable[[], list[float]] = list
    share: float = 1.0

    def measure(self, steps: int) -> Times | Bytes:
        """Seconds per step over `steps` steps; a subclass may measure something else."""
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(steps):
            self.step()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return Times(*(self.share * spent / steps for spent in (cpu, wall)))
