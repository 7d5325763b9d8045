"""A part of a split: so many images, as many of each class as there are in all of it."""

from __future__ import annotations

import numpy as np

from larqlite.errors import ArgumentError

_KEY = 0x5EED  # beside the seed, so that the choice is not the order of an epoch


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The positions of a choice whose classes are as in all images.

    Each class gets `count * n / total` places, rounded by the largest remainders; which
    of its images take them, the seed decides.

    Args:
        labels: integers `(total,)`.
        count: how many to choose.
        seed: decides which.

    Returns:
        int64 `(count,)`, sorted.

    Example:
        >>> from larqlite_zoo.datasets._chosen import stratified
        >>> labels = np.repeat([0, 1], [60, 20])
        >>> np.bincount(labels[stratified(labels, 8, seed=1)]).tolist()
        [6, 2]
    """
    random = np.random.default_rng([_KEY, seed])
    classes, sizes = np.unique(labels, return_counts=True)
    exact = count * sizes / len(labels)
    places = np.floor(exact).astype(np.int64)
    # Of equal remainders, which class is rounded up is a matter of chance.
    order = np.lexsort((random.random(len(classes)), places - exact))
    places[order[: count - places.sum()]] += 1
    chosen = [
        random.permutation(np.flatnonzero(labels == each))[:number]
        for each, number in zip(classes, places, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def require_count(count: int, size: int) -> None:
    """Refuses a number of images that a split does not have."""
    if not 1 <= count <= size:
        raise ArgumentError(
            f"{count:,} images of a split that has {size:,}.\n"
            f"  Fix: a number from 1 to {size:,}."
        )
