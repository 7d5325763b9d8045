"""Brings the latent weights up to what the preserving quantizers make of them."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite.graph import require_model
from larqlite.qat.wrapper import QuantizeWrapperV2

__all__ = ["update_latent_weights"]


def update_latent_weights(model: tf_keras.Model) -> tf_keras.Model:
    r"""Stores the pruned or clustered values in float in the layers' own variables.

    $$ \tilde w_i \leftarrow m_i \, \tilde w_i \qquad \mathrm{or} \qquad
       \tilde w_i \leftarrow c_{k(i)} $$

    What the model computes stays the same. Training changes centroids, not the kernel
    they stand for; after this call `layer.kernel` has their values, for those who take
    the float weights out.

    Args:
        model: a model made with a pruning- or clustering-preserving scheme; changed in
            place. Other models stay as they are.

    Returns:
        The model.

    Raises:
        ArgumentError: it is no model.

    Example:
        >>> dense = tf_keras.layers.Dense(2, use_bias=False, input_shape=(2,))
        >>> model = tf_keras.Sequential([dense])
        >>> dense.set_weights([np.array([[1.0, 2.0], [2.0, 1.0]])])
        >>> quantized = lq.qat.quantize_model(model, scheme="cluster_preserve")
        >>> wrapped = quantized.layers[-1]
        >>> _ = wrapped.weight_slots[0][2]["centroids"].assign([5.0, 6.0])
        >>> _ = lq.qat.collab_opts.update_latent_weights(quantized)
        >>> wrapped.layer.kernel.numpy().tolist()
        [[5.0, 6.0], [6.0, 5.0]]
    """
    require_model(model, "lq.qat.collab_opts.update_latent_weights", unbuilt=True)
    for part in model.submodules:
        if not isinstance(part, QuantizeWrapperV2):
            continue
        for weight, quantizer, variables, _ in part.weight_slots:
            if hasattr(quantizer, "preserved"):
                latent = weight.latent_variable
                values = quantizer.preserved(tf.convert_to_tensor(latent), variables)
                latent.assign(values)
    return model
