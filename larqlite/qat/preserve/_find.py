"""Which clusters the values of a weight form."""

from __future__ import annotations

import dataclasses

import numpy as np

MOST_CLUSTERS = 1024
PRUNED = -1


@dataclasses.dataclass(frozen=True)
class Clusters:
    """The distinct values of a weight, and where each of them is.

    Attributes:
        centroids: the values, `(clusters,)`; those of channel 0 first if each channel
            has its own; ascending.
        lookup: int32 in the shape of the weight: the index of its centroid, or -1 where
            a pruned weight stays 0.
        counts: the number of centroids; one for each index of the last axis if each has
            its own.
        most: the largest number of distinct values that share centroids, 0 included.
    """

    centroids: np.ndarray
    lookup: np.ndarray
    counts: int | list[int]
    most: int

    @property
    def values(self) -> np.ndarray:
        """The weight itself."""
        pruned = self.lookup == PRUNED
        return np.where(pruned, 0, self.centroids[np.where(pruned, 0, self.lookup)])

    @property
    def any_pruned(self) -> bool:
        """Whether there are pruned weights."""
        return bool((self.lookup == PRUNED).any())

    @property
    def any_shared(self) -> bool:
        """Whether two weights that are not pruned have one centroid."""
        return self.centroids.size < np.count_nonzero(self.lookup != PRUNED)


def clusters_of(values: np.ndarray, per_channel: bool, keep_zeros: bool) -> Clusters:
    """Finds the clusters of a weight.

    Indices of the last axis have centroids of their own if the numbers of their distinct
    values agree within 1, and no value but 0 is in two of them, or all together are more
    than 1024.

    Args:
        values: any shape.
        per_channel: whether indices of the last axis may have centroids of their own.
        keep_zeros: whether zeros are pruned weights, no cluster.

    Example:
        >>> from larqlite.qat.preserve._find import clusters_of
        >>> found = clusters_of(np.array([[0.0, 2.0], [5.0, 2.0]]), False, keep_zeros=True)
        >>> found.centroids.tolist(), found.lookup.tolist()
        ([2.0, 5.0], [[-1, 0], [1, 0]])

    References:
        Deep Compression, https://arxiv.org/abs/1510.00149, section 3.
    """
    centroids, indices = _distinct(values.reshape(-1), keep_zeros)
    lookup = indices.reshape(values.shape)
    found = Clusters(centroids, lookup, centroids.size, _count(centroids, indices))
    if per_channel and values.ndim > 1 and values.shape[-1] > 1:
        return _by_channel(values, keep_zeros, found) or found
    return found


def _by_channel(
    values: np.ndarray, keep_zeros: bool, found: Clusters
) -> Clusters | None:
    """The clusters of each channel, if they are its own; else None."""
    columns = values.reshape(-1, values.shape[-1]).T
    parts = [_distinct(column, keep_zeros) for column in columns]
    most = [_count(*part) for part in parts]
    counts = [len(centroids) for centroids, _ in parts]
    different = sum(np.count_nonzero(centroids) for centroids, _ in parts)
    are_shared = (
        found.most <= MOST_CLUSTERS and np.count_nonzero(found.centroids) < different
    )
    if max(most) - min(most) > 1 or are_shared:
        return None
    starts = np.cumsum([0, *counts[:-1]])
    lookup = np.stack(
        [
            np.where(indices == PRUNED, PRUNED, indices + start)
            for (_, indices), start in zip(parts, starts, strict=True)
        ],
        axis=-1,
    )
    return Clusters(
        np.concatenate([centroids for centroids, _ in parts]),
        lookup.reshape(values.shape).astype(np.int32),
        counts,
        max(most),
    )


def _distinct(values: np.ndarray, keep_zeros: bool) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of a vector, and for each of its values which of them it is."""
    kept = values != 0 if keep_zeros else np.ones(values.shape, bool)
    centroids, indices = np.unique(values[kept], return_inverse=True)
    lookup = np.full(values.shape, PRUNED, np.int32)
    lookup[kept] = indices
    return centroids, lookup


def _count(centroids: np.ndarray, lookup: np.ndarray) -> int:
    return len(centroids) + bool((lookup == PRUNED).any())
