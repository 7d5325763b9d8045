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
        per_channel: whether each index of the last axis has its own centroids.
        most: the largest number of distinct values that share centroids, 0 included.
    """

    centroids: np.ndarray
    lookup: np.ndarray
    per_channel: bool
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

    Equal values are one cluster wherever they are, so that neither the weight nor one of
    its channels ever has more distinct values. Only if they are more than 1024, indices
    of the last axis have centroids of their own.

    Args:
        values: any shape.
        per_channel: whether they may; they have if the numbers of their distinct values
            agree within 1.
        keep_zeros: whether zeros are pruned weights, no cluster.

    Example:
        >>> from larqlite.qat.preserve._find import clusters_of
        >>> found = clusters_of(np.array([[0.0, 2.0], [5.0, 2.0]]), True, keep_zeros=True)
        >>> found.centroids.tolist(), found.lookup.tolist()
        ([2.0, 5.0], [[-1, 0], [1, 0]])

    References:
        Deep Compression, https://arxiv.org/abs/1510.00149, section 3.
    """
    centroids, indices = _distinct(values.reshape(-1), keep_zeros)
    lookup = indices.reshape(values.shape)
    found = Clusters(centroids, lookup, False, _count(centroids, indices))
    if found.most > MOST_CLUSTERS and per_channel and values.ndim > 1:
        return _by_channel(values, keep_zeros) or found
    return found


def _by_channel(values: np.ndarray, keep_zeros: bool) -> Clusters | None:
    """The clusters of each channel, if their numbers agree within 1."""
    columns = values.reshape(-1, values.shape[-1]).T
    parts = [_distinct(column, keep_zeros) for column in columns]
    counts = [_count(*part) for part in parts]
    if max(counts) - min(counts) > 1:
        return None
    starts = np.cumsum([0, *(len(centroids) for centroids, _ in parts[:-1])])
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
        True,
        max(counts),
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
