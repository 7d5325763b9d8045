"""Some images through a trained network: threads, busy processors, batches, many callers."""

import concurrent.futures
import os
import subprocess
import sys

import engines
import inputs
import numpy as np

from workloads._base import Workload

# Ends with the process that started it.
SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


class BesideABusyProcessor(Workload):
    """Is timed while another process keeps the last processor of this one busy."""

    def measure(self, steps: int):
        """As of a workload."""
        last = max(os.sched_getaffinity(0))
        with subprocess.Popen([sys.executable, "-c", SPIN, str(last)]) as busy:
            try:
                self.step()
                return super().measure(steps)
            finally:
                busy.kill()


def prepare(
    library: str,
    network: str,
    threads: int | None = None,
    cpus: int | None = None,
    busy: bool = False,
    batch: int = 1,
    callers: int = 1,
    images: int = 1,
    **options,
):
    """A step runs `images` images.

    Args:
        library: whose environment this is.
        network: as in `deployed_networks.build`.
        threads: what the runtime is loaded with; its own choice by default.
        cpus: how many processors the process is held to; all by default.
        busy: whether another process keeps one of them busy.
        batch: images of a call.
        callers: threads of Python that call at the same time.
        images: of a step.
        **options: of `larqlite_runtime.load`.
    """
    engines.file_of("runtime", network)  # made on all processors
    if cpus is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    run = engines.load("runtime", network, threads, **options)
    x = np.concatenate([inputs.batch(network, seed) for seed in range(batch)])
    calls = images // batch
    kind = BesideABusyProcessor if busy else Workload
    if callers == 1:

        def step() -> None:
            for _ in range(calls):
                run(x)

        return kind(step, lambda: [float(np.asarray(run(x[:1])).sum())])
    pool = concurrent.futures.ThreadPoolExecutor(callers)

    def share(_) -> None:
        for _ in range(calls // callers):
            run(x)

    return kind(
        lambda: list(pool.map(share, range(callers))),
        lambda: [float(np.asarray(run(x[:1])).sum())],
    )
