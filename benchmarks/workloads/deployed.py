"""One inference of a trained network, batch 1, floats in and floats out."""

import os

import engines
import inputs
import numpy as np

from workloads._base import Workload

IMAGES = 10


def prepare(
    library: str,
    engine: str,
    network: str,
    threads: int = 1,
    cpus: int | None = None,
    **options,
):
    """A network ready to run.

    Args:
        library: whose environment this is.
        engine: one of `engines.ENGINES`.
        network: as in `deployed_networks.build`.
        threads: how many the engine may use.
        cpus: how many processors the process is held to, as on a machine that is busy
            with something else; all by default.
        **options: of the engine: `isa="avx2"` forces an instruction set of the runtime,
            `xnnpack=False` leaves the float layers of Larq Compute Engine to TFLite.
    """
    engines.file_of(engine, network)  # made on all processors
    if cpus is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    run = engines.load(engine, network, threads, **options)
    images = [inputs.batch(network, seed) for seed in range(IMAGES)]

    def check() -> list[float]:
        """One number for each image: its output, centred, times a fixed direction."""
        return [_project(np.asarray(run(image), "float64").ravel()) for image in images]

    return Workload(lambda: run(images[0]), check)


def _project(values: np.ndarray) -> float:
    direction = np.random.default_rng(4).normal(0, 1, values.size)
    return float(direction @ (values - values.mean()))
