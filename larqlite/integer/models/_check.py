"""`check_quantization`: what is wrong with a quantized model, in words."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.integer.layers import WeightQuantizer
from larqlite.integer.models._calibrate import output_quantizers_of
from larqlite.integer.models._load import record_quantization_variables

__all__ = ["check_quantization"]

MOST_SCALE_ERROR = 0.05


def check_quantization(model: tf_keras.Model) -> list[str]:
    """Looks for faults that another configuration can mend.

    - output quantizers that are not calibrated,
    - accumulators that may have saturated: the output takes their highest bits, so that
      they had none to spare,
    - scales that their bits describe by more than 5 % wrong.

    `data_report` counts what does saturate on given samples.

    Args:
        model: a quantized model.

    Returns:
        A sentence for each fault; an empty list when there is none.

    Example:
        >>> layer = tf_keras.layers.Dense(2, input_shape=(3,))
        >>> model = lq.integer.models.quantize(tf_keras.Sequential([layer]))
        >>> lq.integer.models.check_quantization(model)
        []
    """
    record_quantization_variables(model)
    issues = []
    for name, quantizer in output_quantizers_of(model).items():
        layer = model.get_layer(name)
        if not quantizer.is_calibrated:
            issues.append(f"{name}/{quantizer.name} is not calibrated.")
            continue
        issues.extend(_saturation(layer, quantizer))
        issues.extend(_scale_error(layer, quantizer))
    return issues


def _saturation(layer, quantizer) -> list[str]:
    shift = quantizer.shift.value
    buffer_bits = (
        layer.quant_config.get("buffer_bitwidth") if layer != quantizer else None
    )
    if shift is None or buffer_bits is None:
        return []
    most = quantizer.value_bits - (buffer_bits - 1)
    channels = np.flatnonzero(np.ravel(shift.numpy()) <= most)
    if not channels.size:
        return []
    where = ""
    if quantizer.axis == "per-axis":
        where = f" in {channels.size} channels, such as {channels[:5].tolist()}"
    return [
        f"Possible saturation detected in {layer.name}{where}: the output keeps the "
        f"highest {quantizer.bitwidth} of the {buffer_bits} bits of the accumulator. "
        "Use fewer weight bits, or fewer bits of the input."
    ]


def _scale_error(layer, quantizer) -> list[str]:
    scales = quantizer.qscales.value
    ideal = _ideal_scales(layer, quantizer)
    if scales is None or ideal is None:
        return []
    error = float(np.mean(np.abs(ideal - scales.to_float().numpy()) / ideal))
    if error <= MOST_SCALE_ERROR:
        return []
    return [
        f"Scales quantization relative error is high in {layer.name}: {error:.1%}. "
        f"Use more than scale_bits={quantizer.scale_bits} in its output_quantizer."
    ]


def _ideal_scales(layer, quantizer) -> np.ndarray | None:
    """The scales of the accumulator: those of the layer's weights, and the rate."""
    product, found = quantizer.rescaling_rate.numpy(), False
    for slot in getattr(layer, "weight_quantizers", ()):
        weights = getattr(layer, slot)
        codes = weights.qweights.value if isinstance(weights, WeightQuantizer) else None
        if hasattr(codes, "scales"):
            product, found = product * np.ravel(codes.scales.numpy()), True
    return product if found else None
