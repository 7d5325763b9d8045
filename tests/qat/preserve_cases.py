"""The pruned and clustered kernels with which the golden file of the reference was made."""

import numpy as np


def codebook(rng, count: int) -> np.ndarray:
    """Distinct values, none of them 0."""
    values = np.linspace(-1.0, 1.0, count + 1)[1:] + rng.uniform(0.01, 0.05)
    return values.astype("float32")


def clustered(rng, shape, count: int) -> np.ndarray:
    """A kernel of `count` distinct values, each there at least once."""
    lookup = np.arange(np.prod(shape)) % count
    return codebook(rng, count)[rng.permutation(lookup)].reshape(shape)


def by_channel(rng, shape, counts) -> np.ndarray:
    """A kernel whose channels have these numbers of values of their own."""
    columns = [clustered(rng, shape[:-1], count) for count in counts]
    return np.stack([c + 0.001 * i for i, c in enumerate(columns)], -1).astype(
        "float32"
    )


def pruned(rng, kernel: np.ndarray, sparsity: float = 0.5) -> np.ndarray:
    """The kernel with this part of it 0."""
    return np.where(rng.uniform(size=kernel.shape) < sparsity, 0, kernel).astype(
        "float32"
    )


def kernels() -> dict[str, np.ndarray]:
    """Kernels by name; those of rank 2 are for `Dense`, of rank 4 for `Conv2D`."""
    rng = np.random.default_rng(0)
    dense, conv = (12, 10), (3, 3, 4, 5)
    return {
        "dense": pruned(rng, rng.normal(size=dense)),
        "conv": pruned(rng, rng.normal(size=conv), 0.7),
        "dense_8": clustered(rng, dense, 8),
        "dense_8_pruned": pruned(rng, clustered(rng, dense, 8)),
        "conv_by_channel": by_channel(rng, conv, (4, 4, 5, 4, 5)),
        "conv_by_channel_pruned": pruned(rng, by_channel(rng, conv, (4,) * 5), 0.3),
        "conv_unequal": by_channel(rng, conv, (3, 9, 4, 5, 6)),
        "dense_1100": clustered(rng, (48, 48), 1100),
        "dense_1": np.full(dense, 0.5, "float32"),
    }


def moved(name: str, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an optimizer might make of a kernel, and a gradient that comes in."""
    rng = np.random.default_rng(len(name))
    change = rng.normal(0, 0.1, kernel.shape).astype("float32")
    return kernel + change, rng.normal(size=kernel.shape).astype("float32")


def flat_data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets for the clustered network."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (16, 12)).astype("float32")
    return x, rng.normal(size=(16, 3)).astype("float32")


def data() -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets for a few steps of training."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (16, 6, 6, 4)).astype("float32")
    return x, rng.normal(size=(16, 3)).astype("float32")
