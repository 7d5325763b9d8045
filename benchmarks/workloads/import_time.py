"""The first import of a library in a fresh process where tf_keras is loaded."""

import subprocess
import sys

from workloads._base import Times, Workload

SCRIPT = """
import importlib, time
import tf_keras
cpu, wall = time.process_time(), time.perf_counter()
importlib.import_module({library!r})
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


class FreshImport(Workload):
    """Measures in child processes, each of which imports once."""

    def measure(self, steps: int) -> Times:
        """Seconds per import over `steps` fresh processes."""
        runs = [self.step() for _ in range(steps)]
        cpu, wall = (sum(column) / steps for column in zip(*runs, strict=True))
        return Times(cpu, wall)


def prepare(library: str) -> Workload:
    """Nothing to build: every step is a new interpreter."""
    command = [sys.executable, "-c", SCRIPT.format(library=library)]

    def step() -> tuple[float, float]:
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        cpu, wall = run.stdout.split()[-2:]
        return float(cpu), float(wall)

    return FreshImport(step)
