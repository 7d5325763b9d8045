"""Biases before signs, as multiples of the accumulator's scale: integers decide as floats do."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.integer.layers.internal import KernelLayer, QuantizedLayer
from larqlite.integer.models._model_graph import consumers_of
from larqlite.quantizers import ApproxSign, SteSign, SwishSign

_SIGNS = (SteSign, ApproxSign, SwishSign)
_MONOTONIC = (
    tf_keras.layers.MaxPooling2D,
    tf_keras.layers.Flatten,
    tf_keras.layers.Reshape,
    tf_keras.layers.Permute,
    tf_keras.layers.Dropout,
)
_LOW_BITS = 2


def make_exact(model: tf_keras.Model) -> None:
    r"""Rounds the biases of low-bit layers that only signs read, without changing signs.

    With integer sums \(n\), a scale \(a > 0\) and a bias \(b\), \(a n + b \geq 0\) just
    when \(n + \lfloor b / a \rfloor \geq 0\). The bias becomes that integer, where
    rounding it to the nearest one would move the threshold.

    Args:
        model: a quantized model; changed in place.
    """
    consumers = consumers_of(model)
    for layer in model.layers:
        if _has_integer_sums(layer) and _only_signs_read(layer, consumers):
            scales = np.asarray(layer.quantized_kernel().scales, np.float64)
            steps = np.floor(layer.bias.numpy().astype(np.float64) / scales)
            layer.bias.assign(steps * scales)


def _has_integer_sums(layer) -> bool:
    if not isinstance(layer, KernelLayer) or not layer.use_bias:
        return False
    source = layer.input.node.layer
    while isinstance(source, _MONOTONIC) and isinstance(source, QuantizedLayer):
        source = source.input.node.layer
    few_bits = getattr(source, "gives_few_bits", False)
    return few_bits and layer.weight_quantizer.bitwidth <= _LOW_BITS


def _only_signs_read(layer, consumers) -> bool:
    readers = consumers.get(layer.name, [])
    return bool(readers) and all(
        isinstance(reader, _SIGNS)
        or (isinstance(reader, _MONOTONIC) and _only_signs_read(reader, consumers))
        for reader in readers
    )
