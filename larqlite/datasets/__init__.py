"""Real images that come with the package, so that examples and tests need no network."""

from larqlite.datasets._fashion_mnist import (
    FASHION_MNIST_CLASSES,
    load_fashion_mnist,
    to_float_images,
)

__all__ = ["FASHION_MNIST_CLASSES", "load_fashion_mnist", "to_float_images"]
