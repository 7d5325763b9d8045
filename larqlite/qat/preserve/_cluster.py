"""The quantizer of clustered weights: few distinct values stay few."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from larqlite._registration import register_object
from larqlite.errors import ArgumentError, QuantizerError
from larqlite.math import as_floating
from larqlite.qat.preserve._find import MOST_CLUSTERS, PRUNED, Clusters, clusters_of
from larqlite.qat.preserve._nearest import nearest, pulled
from larqlite.qat.preserve._prune import PrunePreserveQuantizer, require_zero
from larqlite.qat.quantizers import LastValueQuantizer
from larqlite.qat.quantizers.internal import boolean, calibration

__all__ = ["ClusterPreserveQuantizer"]

log = logging.getLogger("larqlite.qat")


@register_object(bare=False)
class ClusterPreserveQuantizer(LastValueQuantizer):
    r"""Quantizes a clustered weight: its centroids are trained, their number stays.

    $$ w_i = q(c_{k(i)}) \qquad
       \frac{\partial L}{\partial c_k} =
       \sum_{i: k(i) = k} \frac{\partial L}{\partial w_i} $$

    with the trained centroids c, one for each distinct value that the weight had when
    the quantization-aware model was made, and the lookup k; q is that of
    `LastValueQuantizer`. So there are never more distinct values than at first. The
    latent weight $\tilde w$ is trained too, to choose the centroid: in training

    $$ k(i) \leftarrow \mathrm{argmin}_k |\tilde w_i - c_k| \qquad
       \frac{\partial L}{\partial \tilde w_i} = \frac{\partial L}{\partial w_i} $$

    unless `train_lookup` is False: then k stays, and $\tilde w$ is not trained. Pruned
    weights have k = -1; they stay 0, with the gradient 0.

    Args:
        num_bits: bits of a value, 2 to 16.
        per_axis: whether each index of the last axis has its own range. Then a centroid
            that several channels share has a code of its own in each.
        symmetric: whether the range has 0 in its middle.
        narrow_range: whether the lowest code is left out.
        preserve_sparsity: whether zeros are pruned weights that stay 0. Otherwise they
            are a cluster like others.
        per_channel: whether indices of the last axis may have centroids of their own.
            They have if the numbers of their distinct values agree within 1 and none but
            0 is in two of them, or all together are more than 1024.
        train_lookup: whether weights may change to a centroid that has come nearer.
        clusters: number of centroids, or a list with one for each index of the last
            axis; None until the values of the weight are known.

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

    def __init__(
        self,
        num_bits: int = 8,
        per_axis: bool = False,
        symmetric: bool = True,
        narrow_range: bool = True,
        preserve_sparsity: bool = True,
        per_channel: bool = False,
        train_lookup: bool = True,
        clusters: int | Sequence[int] | None = None,
    ):
        super().__init__(num_bits, per_axis, symmetric, narrow_range)
        require_zero(self)
        where = type(self).__name__
        self.preserve_sparsity = boolean(where, "preserve_sparsity", preserve_sparsity)
        self.per_channel = boolean(where, "per_channel", per_channel)
        self.train_lookup = boolean(where, "train_lookup", train_lookup)
        counts = clusters if isinstance(clusters, (list, tuple)) else [clusters]
        if clusters is not None and not all(
            isinstance(n, int) and n >= 0 for n in counts
        ):
            raise ArgumentError(
                f"{where}: clusters={clusters!r} is no number, and no list of numbers.\n"
                "  Fix: leave it out; it is counted when the values are known."
            )
        self.clusters = (
            clusters if clusters is None or counts is not clusters else list(counts)
        )

    @property
    def replaces_weight(self) -> bool:
        """Whether the weight is not read, and so not to be trained."""
        return not self.train_lookup

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
            return type(self)(**{**self.get_config(), "clusters": found.counts})
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
        if self.replaces_weight:
            _warn_of_what_is_not_trained(name, layer)
        variables = super().build(tensor_shape, name, layer)
        variables["centroids"] = layer.add_weight(
            name=f"{name}_centroids",
            shape=(int(np.sum(self.clusters)),),
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
            # All replicas compute the same.
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
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
        if found.counts != self.clusters:
            raise ArgumentError(
                f"{type(self).__name__}: clusters={self.clusters}, but {name} has "
                f"{found.counts} distinct values.\n"
                "  Fix: leave `clusters` out; it is counted when the values are known."
            )
        return found

    def preserved(self, inputs, variables) -> tf.Tensor:
        """The values that are rounded: for each weight the centroid of its cluster."""
        return self._pulled(
            inputs, variables, tf.convert_to_tensor(variables["lookup"])
        )

    def _pulled(self, inputs, variables, lookup) -> tf.Tensor:
        centroids = tf.cast(variables["centroids"], inputs.dtype)
        return pulled(centroids, inputs if self.train_lookup else None, lookup)

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs, training, weights, **kwargs):
        inputs = as_floating(inputs, type(self).__name__)
        lookup = self._lookup(inputs, training, weights)
        inputs = self._pulled(inputs, weights, lookup)
        return super().__call__(inputs, training, weights)

    def _lookup(self, inputs, training, variables) -> tf.Tensor:
        stored = tf.convert_to_tensor(variables["lookup"])
        if not self.train_lookup or calibration() is not None:
            return stored
        if tf.is_tensor(training):
            constant = tf.get_static_value(training)
            if constant is None:
                return tf.cond(
                    tf.cast(training, tf.bool),
                    lambda: self._updated(inputs, stored, variables),
                    lambda: stored,
                )
            training = constant
        return self._updated(inputs, stored, variables) if training else stored

    def _updated(self, inputs, stored, variables) -> tf.Tensor:
        """Stores the nearest centroids, and returns them."""
        centroids = tf.cast(variables["centroids"], inputs.dtype)
        found = nearest(
            tf.stop_gradient(inputs), tf.stop_gradient(centroids), self.clusters
        )
        lookup = tf.where(tf.equal(stored, PRUNED), stored, found)
        variables["lookup"].assign(lookup, read_value=False)
        return lookup

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "preserve_sparsity": self.preserve_sparsity,
            "per_channel": self.per_channel,
            "train_lookup": self.train_lookup,
            "clusters": self.clusters,
        }


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
