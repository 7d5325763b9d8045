"""The inputs of deployed networks; needs no TensorFlow."""

import numpy as np

# Sizes and channels of a ResNet's four stages.
STAGES = {
    "56x56x64": (56, 64),
    "28x28x128": (28, 128),
    "14x14x256": (14, 256),
    "7x7x512": (7, 512),
}


FEATURES = 2048


def shape(network: str) -> tuple[int, ...]:
    """The shape of an input of a network of `deployed_networks.py`: a batch of one image.

    "dense:ternary:256" has a batch of 256 vectors.
    """
    if network == "first":
        return (1, 28, 28, 1)
    _, *rest = network.split(":")
    if is_dense(network):
        return (int(rest[-1]), FEATURES)
    size, channels = STAGES[rest[0]] if rest else (224, 3)
    return (1, size, size, channels)


def count(network: str) -> int:
    """How many seeded inputs are compared."""
    return 10 if shape(network)[0] == 1 else 2


def is_dense(network: str) -> bool:
    """Whether it is a dense layer of 2048 inputs, which are of 8 bits."""
    return network.partition(":")[0] in ("dense", "float_dense")


def batch(network: str, seed: int = 0) -> np.ndarray:
    """One seeded input."""
    rng = np.random.default_rng(seed)
    if is_dense(network):
        return rng.integers(0, 256, shape(network)).astype("float32") / np.float32(255)
    return rng.normal(0, 1, shape(network)).astype("float32")
