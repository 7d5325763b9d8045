"""From centroids and a lookup to weights, and from weights to the nearest centroids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.qat.preserve._find import PRUNED

__all__ = ["nearest", "pulled"]


def pulled(
    centroids: tf.Tensor, latent: tf.Tensor | None, lookup: tf.Tensor
) -> tf.Tensor:
    r"""The centroid of each index; 0 for -1.

    $$ \frac{\partial L}{\partial c_k} = \sum_{i: k(i) = k} \frac{\partial L}{\partial w_i}
       \qquad \frac{\partial L}{\partial \tilde w_i} = \frac{\partial L}{\partial w_i} $$

    The sums are dense: plain `tf.gather` would give sparse ones, which optimizers treat
    otherwise. Where k is -1 nothing gets a gradient.

    Args:
        centroids: `(clusters,)`.
        latent: the weights that choose the centroids, or None if nothing is to be passed
            on to them.
        lookup: int32 of any shape.

    Returns:
        Tensor in the shape of `lookup`.

    Example:
        >>> from larqlite.qat.preserve._nearest import pulled
        >>> pulled(tf.constant([5.0, 7.0]), None, tf.constant([1, -1, 0])).numpy().tolist()
        [7.0, 0.0, 5.0]
    """
    number = centroids.shape[0]
    is_pruned = tf.equal(lookup, PRUNED)
    zero = tf.zeros((), centroids.dtype)

    @custom_gradient
    def looked_up(centroids, *latent):
        values = tf.gather(centroids, tf.maximum(lookup, 0))

        def pull_back(dy):
            # Negative indices are left out of the sums.
            sums = tf.math.unsorted_segment_sum(dy, lookup, number)
            return (sums, *(tf.where(is_pruned, zero, dy) for _ in latent))

        return tf.where(is_pruned, zero, values), pull_back

    return looked_up(centroids, *([] if latent is None else [latent]))


def nearest(
    values: tf.Tensor, centroids: tf.Tensor, counts: int | Sequence[int]
) -> tf.Tensor:
    """The index of the nearest centroid; the smaller one in the middle between two.

    Args:
        values: any shape.
        centroids: `(clusters,)`, in any order.
        counts: their number; or, if each index of the last axis of `values` has its own,
            a list with the number for each.

    Returns:
        int32 in the shape of `values`.

    Example:
        >>> from larqlite.qat.preserve._nearest import nearest
        >>> centroids = tf.constant([1.0, 0.0, 5.0])
        >>> nearest(tf.constant([[0.7, 0.2], [0.1, 9.0]]), centroids, 3).numpy().tolist()
        [[0, 1], [1, 2]]
        >>> nearest(tf.constant([[0.7, 0.2], [0.1, 9.0]]), centroids, [2, 1]).numpy().tolist()
        [[0, 2], [1, 2]]
    """
    own = not isinstance(counts, int)
    table = _table(counts if own else [counts])  # indices of the centroids, by channel
    columns = tf.reshape(values, [-1, len(table)])
    candidates = tf.gather(centroids, table)
    order = tf.argsort(candidates, axis=-1)
    ascending = tf.gather(candidates, order, batch_dims=1)
    middles = ascending[:, :-1] / 2 + ascending[:, 1:] / 2
    positions = tf.searchsorted(middles, tf.transpose(columns), side="left")
    indices = tf.gather(tf.gather(table, order, batch_dims=1), positions, batch_dims=1)
    return tf.reshape(tf.transpose(indices), tf.shape(values))


def _table(counts: Sequence[int]) -> np.ndarray:
    """Indices `(channels, most)`; the last one again where a channel has fewer."""
    starts = np.cumsum([0, *counts[:-1]])
    slots = np.minimum(
        np.arange(max(counts)), np.maximum(np.array(counts), 1)[:, None] - 1
    )
    return np.minimum(starts[:, None] + slots, sum(counts) - 1).astype(np.int32)
