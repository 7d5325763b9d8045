"""One inference of a trained network, batch 1, floats in and floats out."""

import itertools
import os

import engines
import inputs

from workloads._base import Workload


def prepare(
    library: str,
    engine: str,
    network: str,
    threads: int = 1,
    cpus: int | None = None,
    copies: int = 1,
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
        copies: how many are loaded, to take turns: enough of them, and the weights of the
            next one are in no cache.
        **options: of the engine: `isa="avx2"` forces an instruction set of the runtime,
            `xnnpack=False` leaves the float layers of Larq Compute Engine to TFLite.
    """
    engines.file_of(engine, network)  # made on all processors
    if cpus is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    runs = [engines.load(engine, network, threads, **options) for _ in range(copies)]
    image, turns = inputs.batch(network), itertools.cycle(runs)
    return Workload(
        (lambda: next(turns)(image)) if copies > 1 else (lambda: runs[0](image)),
        lambda: engines.answers(runs[0], network),
        lambda: engines.answers_of_keras(network),
    )
