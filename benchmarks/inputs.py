"""The inputs of deployed networks; needs no TensorFlow."""

import numpy as np

# Sizes and channels of a ResNet's four stages.
STAGES = {
    "56x56x64": (56, 64),
    "28x28x128": (28, 128),
    "14x14x256": (14, 256),
    "7x7x512": (7, 512),
}


def shape(network: str) -> tuple[int, ...]:
    """The shape of a batch of one for a network of `deployed_networks.py`."""
    _, *rest = network.split(":")
    size, channels = STAGES[rest[0]] if rest else (224, 3)
    return (1, size, size, channels)


def count(network: str) -> int:
    """How many seeded inputs are compared."""
    return 10


def batch(network: str, seed: int = 0) -> np.ndarray:
    """One seeded input."""
    values = np.random.default_rng(seed).normal(0, 1, shape(network))
    return values.astype("float32")
