"""What keeps a model from being converted exactly: one error each."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite import context
from larqlite._copies import is_table
from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.layers import QuantLayer
from larqlite.qat.inference import require_range
from larqlite.qat.lowerings import STORED_BITS, has_range, is_symmetric
from larqlite.qat.passes import is_made_of_kernel
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2

__all__ = ["require_convertible"]

Layer = tf_keras.layers.Layer


def require_convertible(model: tf_keras.Model, layers: list[Layer], where: str) -> None:
    """Raises unless a model's numbers and ranges have a form in TFLite.

    Args:
        model: a Sequential or functional model.
        layers: its layers, those of nested models among them.
        where: the public function, for messages.
    """
    if not any(
        isinstance(x, (QuantizeWrapperV2, QuantizeLayer, QuantLayer)) for x in layers
    ):
        raise UnsupportedModelError(
            f'{where}: "{model.name}" is not quantization-aware: none of its layers '
            f"({', '.join(x.name for x in layers[:5])}) is quantized.\n"
            "  Fix: lq.qat.quantize_model(model, calibrate=data) first."
        )
    _require_finite(model, where)
    for layer in layers:
        for role, quantizer, variables in _range_quantizers(layer):
            _require_width(layer, role, quantizer, where)
            if role != "weight":
                require_range(layer.name, role, quantizer, variables, where)
            _require_zero_point(layer, role, quantizer, where)


def _require_finite(model: tf_keras.Model, where: str) -> None:
    with context.quantized_scope(False):
        for variable in model.weights:
            if is_table(variable):
                continue
            if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
                raise ArgumentError(
                    f'{where}: the weight "{variable.name}" of "{model.name}" has '
                    "values that are not finite, which a file would hold without a "
                    "word.\n  Fix: train with a lower learning rate or clipnorm, or "
                    "load weights from before they became NaN."
                )


def _range_quantizers(layer: Layer):
    """`(what for, quantizer, its variables)` of each of a layer's range quantizers."""
    found = []
    if isinstance(layer, QuantizeLayer) and layer.quantizer is not None:
        found.append(("input", layer.quantizer, layer.quantizer_vars))
    if isinstance(layer, QuantizeWrapperV2):
        found.extend(("weight", q, v) for _, q, v, _ in layer.weight_slots)
        found.extend(layer.value_quantizers)
    return [entry for entry in found if has_range(entry[1])]


def _require_width(layer, role, quantizer, where) -> None:
    if quantizer.num_bits > STORED_BITS:
        raise ArgumentError(
            f'{where}: the {role} of "{layer.name}" is quantized to {quantizer.num_bits} '
            "bits, for which TFLite has no fake quantization that stays exact.\n"
            f"  Fix: {STORED_BITS} bits or fewer, or leave that layer float: a scheme "
            f'{{"{layer.name}": "float", "*": "int8"}}.'
        )


def _require_zero_point(layer, role, quantizer, where) -> None:
    """A kernel of TFLite has its zero at code 0; only a matrix product can do without."""
    if role != "weight" or quantizer.num_bits < STORED_BITS or is_symmetric(quantizer):
        return
    inner = layer.layer
    if type(inner) in (tf_keras.layers.Dense, tf_keras.layers.Embedding):
        if layer.ends_in_range or not hasattr(inner, "kernel"):
            return
    elif not is_made_of_kernel(inner):
        return
    raise ArgumentError(
        f'{where}: the kernel of "{layer.name}" has an asymmetric range of '
        f"{quantizer.num_bits} bits, which TFLite has no codes for.\n"
        f"  Fix: {type(quantizer).__name__}(num_bits={quantizer.num_bits}, "
        "symmetric=True, narrow_range=True), or 7 bits."
    )
