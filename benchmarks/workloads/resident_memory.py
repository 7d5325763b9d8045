"""The memory of a process that does nothing but run a network."""

import os
import pathlib
import subprocess
import sys

import engines

from workloads._base import Bytes, Workload

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import engines, inputs
engine, network = sys.argv[2:]
# NumPy's generators of random numbers would take 7 MB.
run, image = engines.load(engine, network), np.zeros(inputs.shape(network), "float32")
for _ in range(5):
    run(image)
status = open("/proc/self/status").read()
print(1024 * int(status.partition("VmRSS:")[2].split()[0]))
"""
HERE = pathlib.Path(__file__).resolve().parent.parent


class ResidentMemory(Workload):
    """Measures in a child process, which runs the network five times."""

    def measure(self, steps: int) -> Bytes:
        """What of the child is in memory then, libraries included."""
        return Bytes(self.step())


def prepare(library: str, engine: str, network: str) -> Workload:
    """The network's file; every step is a new interpreter."""
    path = engines.file_of(engine, network)
    command = [sys.executable, "-c", SCRIPT, str(HERE), engine, network]
    # The child finds the file there, and so has no need to make it.
    variables = dict(os.environ, **{engines.FOLDER: str(path.parent)})

    def step() -> int:
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, env=variables
        )
        return int(run.stdout.split()[-1])

    return ResidentMemory(step)
