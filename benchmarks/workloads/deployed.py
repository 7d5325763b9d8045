"""One inference of a trained network, batch 1, floats in and floats out."""

import engines
import inputs
import numpy as np

from workloads._base import Workload


def prepare(library: str, engine: str, network: str, threads: int = 1, **options):
    """A network ready to run.

    Args:
        library: whose environment this is.
        engine: one of `engines.ENGINES`.
        network: as in `deployed_networks.build`.
        threads: how many the engine may use.
        **options: of the engine: `isa="avx2"` forces an instruction set of the runtime,
            `xnnpack=False` leaves the float layers of Larq Compute Engine to TFLite.
    """
    run = engines.load(engine, network, threads, **options)
    image = inputs.batch(network)
    output = []

    def step() -> None:
        output[:] = [run(image)]

    def check() -> list[float]:
        """Lengths of the output and of its sum with a fixed one: what and where it is."""
        values = np.asarray(output[0], "float64").ravel()
        fixed = np.random.default_rng(4).normal(0, np.abs(values).mean(), values.size)
        return [float(np.linalg.norm(v)) for v in (values, values + fixed)]

    return Workload(step, check)
