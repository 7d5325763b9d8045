"""Rows of threads and batches: larqlite_runtime against itself, time on the wall."""

from inputs import STAGES
from rows import Row, Side

BIREALNET = "BiRealNet"
# Networks, with the number of images that a step runs.
LAYERS = {f"layer:{stage}:0": 100 for stage in STAGES}
NETWORKS = {**LAYERS, "first": 200, BIREALNET: 10}


def _row(
    name: str, what: str, images: int, network: str, ours: dict, other: dict, reach
) -> Row:
    sides = [
        Side("larqlite", {"network": network, "images": images, **options})
        for options in (ours, other)
    ]
    return Row(name, what, "calls", *sides, reach=reach, figure="wall")


def _short(network: str) -> str:
    return network.removeprefix("layer:").removesuffix(":0")


def _threads(network: str, images: int, name: str, where: str, reach, **both) -> Row:
    """Two threads against one."""
    return _row(
        f"threads_{name}_{_short(network)}",
        f"{_short(network)}, two threads against one, {where}",
        images,
        network,
        {"threads": 2, **both},
        {"threads": 1, **both},
        reach,
    )


def _default(network: str, images: int) -> Row:
    return _row(
        f"threads_default_{_short(network)}",
        f"{_short(network)}, as many threads as the runtime chooses against one",
        images,
        network,
        {},
        {"threads": 1},
        1.05,
    )


def _batch(network: str, threads: int, reach: float) -> Row:
    plural = "s" * (threads > 1)
    return _row(
        f"batch_8_{_short(network)}_{threads}",
        f"{_short(network)}, eight images in one call against eight calls, {threads} "
        f"thread{plural}",
        64 if network in LAYERS else 8,
        network,
        {"threads": threads, "batch": 8},
        {"threads": threads},
        reach,
    )


def _callers(network: str, images: int) -> Row:
    return _row(
        f"callers_8_{_short(network)}",
        f"{_short(network)}, eight threads of Python that call at once against one",
        images,
        network,
        {"threads": 1, "callers": 8},
        {"threads": 1},
        1.0,
    )


THREADS = (
    *(
        _threads(network, images, "free", "processors free", 0.70)
        for network, images in LAYERS.items()
    ),
    _threads(BIREALNET, 10, "free", "processors free", 0.55),
    *(
        _threads(network, images, "one_cpu", "on one processor", 1.1, cpus=1)
        for network, images in NETWORKS.items()
    ),
    *(
        _threads(network, images, "busy", "one of two processors busy", 1.1, busy=True)
        for network, images in NETWORKS.items()
    ),
    *(_default(network, images) for network, images in NETWORKS.items()),
    *(_batch(network, threads, 1.0) for network in LAYERS for threads in (1, 2)),
    *(_batch(BIREALNET, threads, 1 / 1.1) for threads in (1, 2)),
    *(
        _callers(network, 8 * count)
        for network, count in (("first", 50), (BIREALNET, 1))
    ),
)
