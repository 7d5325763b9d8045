"""10,000 images of Fashion-MNIST: the loader and the names of the classes."""

from __future__ import annotations

from importlib import resources

import numpy as np

from larqlite.errors import ArgumentError, DtypeError

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

Split = tuple[np.ndarray, np.ndarray]


def load_fashion_mnist() -> tuple[Split, Split]:
    """Images of clothes in ten classes: a subset of Fashion-MNIST kept in the package.

    The first 8,000 training and the first 2,000 test images, 28 x 28 pixels,
    grey, with about as many of each class. Accuracies on it are not those on the
    whole data set (60,000 and 10,000 images).

    Returns:
        `(x_train, y_train), (x_test, y_test)`, in the form of `tf_keras.datasets`.
        Images are uint8 `(count, 28, 28)` in 0..255, labels uint8 `(count,)`,
        positions in `FASHION_MNIST_CLASSES`.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = lq.datasets.load_fashion_mnist()
        >>> x_train.shape, x_test.shape
        ((8000, 28, 28), (2000, 28, 28))
        >>> lq.datasets.FASHION_MNIST_CLASSES[y_test[0]]
        'Ankle boot'

    References:
        Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
        Algorithms, https://arxiv.org/abs/1708.07747. Copyright (c) 2017 Zalando SE,
        MIT licence.
    """
    file = resources.files("larqlite.datasets") / "fashion_mnist_10k.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return (
            (arrays["x_train"], arrays["y_train"]),
            (arrays["x_test"], arrays["y_test"]),
        )


def to_float_images(images: np.ndarray) -> np.ndarray:
    r"""Turns bytes into numbers around zero, with an axis for the channel.

    $$ y = \frac{x}{127.5} - 1 $$

    Args:
        images: uint8 `(count, height, width)` or `(count, height, width, channels)`.

    Returns:
        float32 `(count, height, width, channels)` in [-1, 1]; a missing channel axis
        is added.

    Raises:
        DtypeError: the images are not uint8 (scaled twice, perhaps).
        ArgumentError: the images have neither three nor four axes.

    Example:
        >>> lq.datasets.to_float_images(np.uint8([[[0, 255]]])).tolist()
        [[[[-1.0], [1.0]]]]
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise DtypeError(
            f"to_float_images: images are {images.dtype}, but bytes (uint8) are "
            "needed.\n  Fix: pass the images as loaded, before any scaling."
        )
    if images.ndim not in (3, 4):
        raise ArgumentError(
            f"to_float_images: images have the shape {images.shape}, but (count, "
            "height, width) or (count, height, width, channels) is needed.\n"
            "  Fix: for a single image, pass image[np.newaxis]."
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)
