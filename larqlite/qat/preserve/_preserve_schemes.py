"""Schemes of 8 bits that keep pruned weights at zero, and clusters of weights together."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.qat.config import LayerQuantizeConfig
from larqlite.qat.preserve._cluster import ClusterPreserveQuantizer
from larqlite.qat.preserve._prune import PrunePreserveQuantizer
from larqlite.qat.quantizers import LastValueQuantizer, Quantizer
from larqlite.qat.schemes import (
    Default8BitQuantizeScheme,
    QuantizeRegistry,
    name_scheme,
    rule_for,
)

__all__ = [
    "Default8BitClusterPreserveQuantizeScheme",
    "Default8BitPrunePreserveQuantizeScheme",
]

Layer = tf_keras.layers.Layer

DEPTHWISE = "depthwise_kernel"
SLOPES = "alpha"  # of a PReLU: they begin at 0


class _PreservingRegistry(QuantizeRegistry):
    """The registry of the scheme of 8 bits, with other quantizers of weights."""

    def __init__(self, registry: QuantizeRegistry, scheme: _PreserveScheme):
        self._registry = registry
        self._scheme = scheme

    def supports(self, layer: Layer) -> bool:
        return self._registry.supports(layer)

    def get_quantize_config(self, layer: Layer) -> LayerQuantizeConfig:
        config, rule = self._registry.get_quantize_config(layer), rule_for(layer)
        weights = {
            path: self._scheme.preserving(path, quantizer, rule.weights[path])
            for path, quantizer in config.weights.items()
        }
        return LayerQuantizeConfig(
            weights, config.activations, config.outputs, config.inputs, config.reason
        )


class _PreserveScheme(Default8BitQuantizeScheme):
    """What both schemes share: which weights they keep something of."""

    def __init__(self, disable_per_axis: bool = False, depthwise: bool = False):
        super().__init__(disable_per_axis)
        self.depthwise = depthwise

    def get_quantize_registry(self) -> QuantizeRegistry:
        return _PreservingRegistry(super().get_quantize_registry(), self)

    def preserving(
        self, path: str, quantizer: LastValueQuantizer, per_axis: bool
    ) -> Quantizer:
        """The quantizer of a weight, given that of the scheme of 8 bits.

        Args:
            path: the weight's attribute path.
            quantizer: of the scheme of 8 bits.
            per_axis: whether the weight's last axis has channels.
        """
        name = path.rpartition(".")[2]
        if name == SLOPES or (name == DEPTHWISE and not self.depthwise):
            return quantizer
        return self._preserving(quantizer, per_axis)

    def _preserving(self, quantizer: LastValueQuantizer, per_axis: bool) -> Quantizer:
        raise NotImplementedError

    def get_config(self) -> dict:
        return {**super().get_config(), "depthwise": self.depthwise}


@register_object(bare=False)
class Default8BitPrunePreserveQuantizeScheme(_PreserveScheme):
    r"""8 bits, with the weights that are 0 now staying 0.

    $$ w_i = q(m_i \, \tilde w_i) \qquad m_i = [\tilde w_i^{(0)} \neq 0] $$

    as `PrunePreserveQuantizer` has it, for the kernels of convolutions, dense and
    recurrent layers, attention and embeddings. Depthwise kernels, which pruning leaves
    out, slopes of PReLU, and layers without quantized weights (as normalizations) are
    treated as by `Default8BitQuantizeScheme`.

    Args:
        disable_per_axis: one range for all channels of a convolution's kernel.
        depthwise: whether depthwise kernels keep their zeros too.

    Example:
        >>> dense = tf_keras.layers.Dense(2, input_shape=(2,))
        >>> model = tf_keras.Sequential([dense])
        >>> dense.set_weights([np.array([[0.0, 2.0], [-2.0, 0.0]]), np.zeros(2)])
        >>> quantized = lq.qat.quantize_model(model, scheme="prune_preserve")
        >>> quantized.compile("sgd", "mse")
        >>> _ = quantized.fit(np.ones((8, 2)), np.ones((8, 2)), verbose=0)
        >>> (quantized.layers[-1].layer.kernel.numpy() == 0).tolist()
        [[True, False], [False, True]]

    References:
        To prune, or not to prune, https://arxiv.org/abs/1710.01878, section 3.
    """

    def _preserving(self, quantizer: LastValueQuantizer, per_axis: bool) -> Quantizer:
        return PrunePreserveQuantizer(**quantizer.get_config())


@register_object(bare=False)
class Default8BitClusterPreserveQuantizeScheme(_PreserveScheme):
    r"""8 bits, with the weights that are equal now staying equal.

    $$ w_i = q(c_{k(i)}) $$

    as `ClusterPreserveQuantizer` has it, with trained centroids c, for the layers that
    `Default8BitPrunePreserveQuantizeScheme` names. A kernel never has more distinct values
    than at first; if the channels of a convolution have values of their own, in numbers
    that agree within 1, a channel never has. Kernels with 1 distinct value or more than
    1024 (in a channel) are quantized as by `Default8BitQuantizeScheme`, with a warning.

    With one range for each channel a centroid that channels share has several codes; with
    `disable_per_axis=True` the file has no more codes than there are centroids.

    Args:
        preserve_sparsity: whether zeros stay 0 too.
        disable_per_axis: one range for all channels of a convolution's kernel.
        depthwise: whether depthwise kernels keep their clusters and zeros too.
        train_lookup: whether weights may change from one centroid to another, which is
            more accurate. Otherwise kernels are not trained, only centroids.

    Example:
        >>> dense = tf_keras.layers.Dense(2, input_shape=(2,), name="dense")
        >>> model = tf_keras.Sequential([dense])
        >>> dense.set_weights([np.array([[0.0, 2.0], [2.0, -1.0]]), np.zeros(2)])
        >>> scheme = lq.qat.collab_opts.Default8BitClusterPreserveQuantizeScheme(
        ...     train_lookup=False)
        >>> quantized = lq.qat.quantize_model(model, scheme=scheme)
        >>> [v.name for v in quantized.layers[-1].trainable_variables]
        ['quant_dense/kernel_centroids:0', 'quant_dense/dense/bias:0']

    References:
        Deep Compression, https://arxiv.org/abs/1510.00149, section 3.
    """

    def __init__(
        self,
        preserve_sparsity: bool = True,
        disable_per_axis: bool = False,
        depthwise: bool = False,
        train_lookup: bool = True,
    ):
        super().__init__(disable_per_axis, depthwise)
        self.preserve_sparsity = preserve_sparsity
        self.train_lookup = train_lookup

    def _preserving(self, quantizer: LastValueQuantizer, per_axis: bool) -> Quantizer:
        return ClusterPreserveQuantizer(
            **quantizer.get_config(),
            preserve_sparsity=self.preserve_sparsity,
            per_channel=per_axis,
            train_lookup=self.train_lookup,
        )

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "preserve_sparsity": self.preserve_sparsity,
            "train_lookup": self.train_lookup,
        }


name_scheme("prune_preserve", Default8BitPrunePreserveQuantizeScheme)
name_scheme("cluster_preserve", Default8BitClusterPreserveQuantizeScheme)
