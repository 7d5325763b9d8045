"""The quantizer of clustered weights: few distinct values stay few."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf

from larqlite._registration import register_object
from larqlite.errors import ArgumentError, QuantizerError
from larqlite.qat.preserve._find import MOST_CLUSTERS, PRUNED, Clusters, clusters_of
from larqlite.qat.preserve._prune import PrunePreserveQuantizer, require_zero
from larqlite.qat.quantizers import LastValueQuantizer, _arguments

__all__ = ["ClusterPreserveQuantizer"]

log = logging.getLogger("larqlite.qat")


@register_object()
class ClusterPreserveQuantizer(LastValueQuantizer):
    r"""Quantizes a clustered weight: its centroids are trained, its clusters stay.

    $$ w_i = q(c_{k(i)}) \qquad
       \frac{\partial L}{\partial c_k} =
       \sum_{i: k(i) = k} \frac{\partial L}{\partial w_i} $$

    with the trained centroids c, one for each distinct value that the weight had when
    the quantization-aware model was made, and the fixed lookup k; q is that of
    `LastValueQuantizer`. So there are never more distinct values than at first. Pruned
    weights have k = -1 and stay 0. The weight itself is not read and not trained.

    Args:
        num_bits: bits of a value, 2 to 16.
        per_axis: whether each index of the last axis has its own range. Then a centroid
            that several channels share has a code of its own in each.
        symmetric: whether the range has 0 in its middle.
        narrow_range: whether the lowest code is left out.
        preserve_sparsity: whether zeros are pruned weights that stay 0. Otherwise they
            are a cluster like others.
        per_channel: whether a weight with more than 1024 distinct values may have
            centroids for each index of its last axis, which it has if the numbers of
            their distinct values agree within 1. Equal values share a centroid otherwise.
        clusters: number of centroids; None until the values of the weight are known.

    Raises:
        ArgumentError: an argument is not allowed.

    Example:
        >>> weight = tf.Variable([[0.0, 2.0], [2.0, -1.0]])
        >>> quantizer = lq.qat.collab_opts.ClusterPreserveQuantizer().for_weight(
        ...     weight.numpy(), "kernel")
        >>> variables = quantizer.build(weight.shape, "kernel", tf_keras.layers.Layer())
        >>> quantizer.capture(weight, variables)
        >>> variables["centroids"].numpy().tolist(), variables["lookup"].numpy().tolist()
        ([-1.0, 2.0], [[-1, 1], [1, 0]])
        >>> _ = variables["centroids"].assign([-3.0, 3.0])
        >>> quantizer(weight, True, variables).numpy().tolist()
        [[0.0, 3.0], [3.0, -3.0]]

    References:
        Deep Compression, https://arxiv.org/abs/1510.00149, section 3.3, eq. 3.
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
    """

    replaces_weight = True

    def __init__(
        self,
        num_bits: int = 8,
        per_axis: bool = False,
        symmetric: bool = True,
        narrow_range: bool = True,
        preserve_sparsity: bool = True,
        per_channel: bool = False,
        clusters: int | None = None,
    ):
        super().__init__(num_bits, per_axis, symmetric, narrow_range)
        require_zero(self)
        where = type(self).__name__
        self.preserve_sparsity = _arguments.boolean(
            where, "preserve_sparsity", preserve_sparsity
        )
        self.per_channel = _arguments.boolean(where, "per_channel", per_channel)
        if clusters is not None and (not isinstance(clusters, int) or clusters < 1):
            raise ArgumentError(
                f"{where}: clusters={clusters!r} is no whole number of at least 1.\n"
                "  Fix: leave it out; it is counted when the values are known."
            )
        self.clusters = clusters

    def for_weight(self, value: np.ndarray, where: str) -> LastValueQuantizer:
        """The quantizer for a weight with these values.

        Args:
            value: the weight.
            where: its name, for messages.

        Returns:
            One that knows the number of clusters. One that trains the weight as usual
            if it has 1 distinct value, more than 1024 (in a channel), or as many as
            weights; zeros stay 0 there too if `preserve_sparsity`.
        """
        found = clusters_of(value, self.per_channel, self.preserve_sparsity)
        if 1 < found.most <= MOST_CLUSTERS and found.any_shared:
            config = {**self.get_config(), "per_channel": found.per_channel}
            return type(self)(**{**config, "clusters": found.centroids.size})
        if found.most <= 1 or found.any_shared:
            log.warning(
                "larqlite.qat: %s has %d distinct value%s, so its clusters are not kept; "
                "it is trained as usual. Fix: cluster it to 2 to %d values, or use the "
                'scheme "int8" for this layer.',
                where,
                found.most,
                "" if found.most == 1 else "s",
                MOST_CLUSTERS,
            )
        form = LastValueQuantizer.get_config(self)
        return (
            PrunePreserveQuantizer(**form)
            if found.any_pruned
            else LastValueQuantizer(**form)
        )

    def build(self, tensor_shape, name, layer):
        if self.clusters is None:
            raise QuantizerError(
                f'{type(self).__name__}, "{name}" of layer "{layer.name}": the number '
                "of clusters is not known when the variables are made.\n"
                "  Fix: name it in a LayerQuantizeConfig, which asks the weight; or give "
                "`clusters`, or quantizer.for_weight(values, name)."
            )
        _warn_of_what_is_not_trained(name, layer)
        variables = super().build(tensor_shape, name, layer)
        variables["centroids"] = layer.add_weight(
            name=f"{name}_centroids",
            shape=(self.clusters,),
            initializer="zeros",
            trainable=True,
            experimental_autocast=False,
        )
        variables["lookup"] = layer.add_weight(
            name=f"{name}_lookup",
            shape=tensor_shape,
            dtype=tf.int32,
            initializer="zeros",
            trainable=False,
        )
        return variables

    def capture(self, weight, variables) -> None:
        """Takes centroids and lookup from the present values of the weight.

        Raises:
            ArgumentError: there are not as many distinct values as `clusters`.
        """
        found = self._found_in(np.asarray(tf.convert_to_tensor(weight)), weight.name)
        variables["centroids"].assign(found.centroids)
        variables["lookup"].assign(found.lookup)

    def _found_in(self, values: np.ndarray, name: str) -> Clusters:
        found = clusters_of(values, self.per_channel, self.preserve_sparsity)
        if found.centroids.size != self.clusters:
            raise ArgumentError(
                f"{type(self).__name__}: clusters={self.clusters}, but {name} has "
                f"{found.centroids.size} distinct values.\n"
                "  Fix: leave `clusters` out; it is counted when the values are known."
            )
        return found

    def preserved(self, inputs, variables) -> tf.Tensor:
        """The values that are rounded: for each weight the centroid of its cluster."""
        centroids = tf.cast(variables["centroids"], inputs.dtype)
        return pulled(centroids, tf.convert_to_tensor(variables["lookup"]))

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs, training, weights, **kwargs):
        inputs = self.preserved(inputs, weights)
        return super().__call__(inputs, training, weights)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "preserve_sparsity": self.preserve_sparsity,
            "per_channel": self.per_channel,
            "clusters": self.clusters,
        }


def pulled(centroids: tf.Tensor, lookup: tf.Tensor) -> tf.Tensor:
    r"""The centroid of each index; 0 for -1.

    $$ \frac{\partial L}{\partial c_k} = \sum_{i: k(i) = k} \frac{\partial L}{\partial w_i} $$

    is dense: plain `tf.gather` would give a sparse one, which optimizers treat otherwise.

    Args:
        centroids: `(clusters,)`.
        lookup: int32 of any shape.

    Returns:
        Tensor in the shape of `lookup`.
    """
    number = centroids.shape[0]

    @tf.custom_gradient
    def looked_up(centroids):
        values = tf.gather(centroids, tf.maximum(lookup, 0))
        zero = tf.zeros((), centroids.dtype)

        def sums(dy):
            # Negative indices are left out.
            return tf.math.unsorted_segment_sum(dy, lookup, number)

        return tf.where(tf.equal(lookup, PRUNED), zero, values), sums

    return looked_up(centroids)


def _warn_of_what_is_not_trained(name: str, layer) -> None:
    inner = getattr(layer, "layer", None)
    for role in ("regularizer", "constraint"):
        if getattr(inner, f"{name}_{role}", None) is not None:
            log.warning(
                'larqlite.qat: %s_%s of "%s" has no effect, since the centroids are '
                "trained in the place of the %s. Fix: leave it out.",
                name,
                role,
                inner.name,
                name,
            )
