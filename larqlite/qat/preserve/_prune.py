"""The quantizer of pruned weights: zeros stay zero."""

from __future__ import annotations

import logging

import tensorflow as tf

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.math import as_floating
from larqlite.qat.quantizers import LastValueQuantizer

__all__ = ["PrunePreserveQuantizer"]

log = logging.getLogger("larqlite.qat")


@register_object(bare=False)
class PrunePreserveQuantizer(LastValueQuantizer):
    r"""Quantizes a weight whose zeros stay zero, whatever an optimizer does.

    $$ w_i = q(m_i \, \tilde w_i) \qquad m_i = [\tilde w_i^{(0)} \neq 0] \qquad
       \frac{\partial L}{\partial \tilde w_i} = m_i \frac{\partial L}{\partial w_i} $$

    with the latent weight $\tilde w$ and its values $\tilde w^{(0)}$ when the
    quantization-aware model was made; q is that of `LastValueQuantizer`, which gives 0
    for 0. Latent zeros get the gradient 0 too. The mask m is a variable that is saved
    with the model; until values are captured, all of it is 1.

    Args:
        num_bits: bits of a value, 2 to 16; the levels of one bit have no zero.
        per_axis: whether each index of the last axis has its own range.
        symmetric: whether the range has 0 in its middle.
        narrow_range: whether the lowest code is left out.

    Raises:
        ArgumentError: an argument is not allowed, or `per_axis` with an unknown length.

    Example:
        >>> quantizer = lq.qat.collab_opts.PrunePreserveQuantizer()
        >>> weight = tf.Variable([0.0, -1.0, 0.5])
        >>> variables = quantizer.build(weight.shape, "kernel", tf_keras.layers.Layer())
        >>> quantizer.capture(weight, variables)
        >>> weight.assign([3.0, -1.0, 1.0]).numpy().tolist()
        [3.0, -1.0, 1.0]
        >>> quantizer(weight, True, variables).numpy().tolist()
        [0.0, -1.0, 1.0]

    References:
        To prune, or not to prune, https://arxiv.org/abs/1710.01878, section 3 (the mask).
        Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.
    """

    def __init__(
        self,
        num_bits: int = 8,
        per_axis: bool = False,
        symmetric: bool = True,
        narrow_range: bool = True,
    ):
        super().__init__(num_bits, per_axis, symmetric, narrow_range)
        require_zero(self)

    def build(self, tensor_shape, name, layer):
        variables = super().build(tensor_shape, name, layer)
        mask = layer.add_weight(
            name=f"{name}_mask",
            shape=tensor_shape,
            dtype=tf.bool,
            initializer="ones",
            trainable=False,
        )
        return {**variables, "mask": mask}

    def capture(self, weight, variables) -> None:
        """Takes the mask from the present values of the weight."""
        mask = tf.not_equal(weight, tf.zeros((), weight.dtype))
        variables["mask"].assign(mask)
        if not tf.reduce_any(mask):
            log.warning(
                'larqlite.qat: all values of "%s" are 0, which its prune-preserving '
                "quantizer keeps: it will not be trained. Fix: quantize this layer by "
                'the scheme "int8" if it was not pruned.',
                weight.name,
            )

    def preserved(self, inputs, variables) -> tf.Tensor:
        """The values that are rounded: `inputs`, with 0 where the mask is 0."""
        mask = tf.convert_to_tensor(variables["mask"])
        return tf.where(mask, inputs, tf.zeros((), inputs.dtype))

    @tf.autograph.experimental.do_not_convert
    def __call__(self, inputs, training, weights, **kwargs):
        inputs = self.preserved(as_floating(inputs, type(self).__name__), weights)
        return super().__call__(inputs, training, weights)


def require_zero(quantizer: LastValueQuantizer) -> None:
    """Refuses one bit, whose two levels are the mean magnitude and its negative."""
    if quantizer.num_bits == 1:
        raise ArgumentError(
            f"{type(quantizer).__name__}: num_bits=1 has no level 0, so zeros would not "
            "stay zero.\n  Fix: num_bits from 2 to 16."
        )
