"""`check_quantization`: what is wrong with a quantized model, in words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tf_keras

from larqlite.errors import QuantizedTypeError
from larqlite.graph import LayerCall, facts_of, follow, require_model
from larqlite.integer.layers import (
    Dequantizer,
    OutputQuantizer,
    QuantizedRescaling,
    WeightQuantizer,
)
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models._calibrated_inputs import readers_of
from larqlite.integer.models._large_sums import fix_for
from larqlite.integer.models._load import record_quantization_variables
from larqlite.integer.models._model_graph import output_quantizers_of

__all__ = ["check_quantization"]

MOST_SCALE_ERROR = 0.05


def check_quantization(model: tf_keras.Model) -> list[str]:
    """Looks for faults that another configuration can mend.

    - layers that compute in float, but for a softmax or sigmoid at the very end,
    - inputs that were calibrated with numbers that integers do not hold,
    - output quantizers that are not calibrated,
    - accumulators that may have saturated: the output takes their highest bits, so that
      they had none to spare,
    - scales that their bits describe by more than 5 % wrong.

    `data_report` counts what does saturate on given samples.

    Args:
        model: a quantized model.

    Returns:
        A sentence for each fault; an empty list when all of the model was looked at,
        computes in integers, and has none.

    Raises:
        UnsupportedModelError: (a `ValueError`) a model that is no graph of layers.

    Example:
        >>> layer = tf_keras.layers.Dense(2, input_shape=(3,))
        >>> model = lq.integer.models.quantize(tf_keras.Sequential([layer]))
        >>> lq.integer.models.check_quantization(model)
        []
    """
    require_model(model, "lq.integer.check_quantization", refused=QuantizedTypeError)
    issues = [*_float_layers(model), *_cut_inputs(model)]
    if not any(isinstance(layer, QuantizedLayer) for layer in model.submodules):
        return issues
    record_quantization_variables(model)
    for name, quantizer in output_quantizers_of(model).items():
        layer = model.get_layer(name)
        if not quantizer.is_calibrated:
            issues.append(f"{name}/{quantizer.name} is not calibrated.")
            continue
        issues.extend(_saturation(layer, quantizer))
        issues.extend(_scale_error(layer, quantizer))
    return issues


_NEITHER = (Dequantizer, OutputQuantizer, tf_keras.layers.InputLayer)
_PROBABILITIES = (tf_keras.activations.softmax, tf_keras.activations.sigmoid)


def float_layers_of(model: tf_keras.Model) -> dict[str, bool]:
    """The layers of a model that compute in float by path, nested ones too.

    Returns:
        For each, whether it is a softmax or sigmoid at the very end, which only turns the
        outputs into probabilities. A `Dequantizer`, the way out of the integers, is none.
    """
    found: dict[str, bool] = {}
    outputs = set(map(id, model.outputs))

    def is_last(call: LayerCall) -> bool:
        return all(id(tensor) in outputs for tensor in call.output_tensors)

    def apply(call: LayerCall) -> list[None]:
        layer = call.layer
        if not isinstance(layer, (QuantizedLayer, *_NEITHER)):
            is_known = isinstance(layer, tf_keras.layers.Softmax) or (
                type(layer) is tf_keras.layers.Activation
                and layer.activation in _PROBABILITIES
            )
            is_end = found.get(call.path, True) and is_last(call) and is_known
            found[call.path] = is_end
        return [None] * len(call.output_tensors)

    def enter(call: LayerCall, inside: Callable[[], list]) -> list:
        ends = set(map(id, call.layer.outputs))
        (outputs.update if is_last(call) else outputs.difference_update)(ends)
        return inside()

    follow(model, [None] * len(model.inputs), apply, enter)
    return found


def _float_layers(model: tf_keras.Model) -> list[str]:
    names = [path for path, is_end in float_layers_of(model).items() if not is_end]
    if not names:
        return []
    count = sum(isinstance(part, QuantizedLayer) for part in model.submodules)
    more = f" and {len(names) - 10} more" if names[10:] else ""
    return [
        f"{len(names)} layers compute in float: {', '.join(names[:10])}{more}; {count} "
        "layers in integers. `quantize` says why a layer stays float."
    ]


def _cut_inputs(model: tf_keras.Model) -> list[str]:
    issues = []
    for name, readers in zip(model.input_names, readers_of(model), strict=True):
        known = [r.calibrated_inputs for r in readers if r.calibrated_inputs]
        share = max((config["cut"] for config in known), default=0)
        if share:
            low, high = known[0]["low"], known[0]["high"]
            issues.append(
                f"{name} was calibrated with numbers from {low:g} to {high:g}, of which "
                f"integers do not hold {share:.0%}: the model cuts them. Insert a "
                "Rescaling before it is quantized, and feed whole numbers."
            )
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
        f"{fix_for(layer)}"
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


def _input_scale(layer) -> float:
    """That of a Rescaling, if its integers are what a layer reads; 1 for other inputs."""
    source = layer.get_input_at(0).node.layer
    while not isinstance(source, QuantizedRescaling):
        facts = facts_of(source)
        is_kept = isinstance(source, QuantizedLayer) and source.out_quantizer is None
        if not is_kept or not facts.keeps_values or facts.merge:
            return 1.0
        source = source.get_input_at(0).node.layer
    return float(source.scale)


def _ideal_scales(layer, quantizer) -> np.ndarray | None:
    """The scales of the accumulator: those of the input and the weights, and the rate."""
    product, found = quantizer.rescaling_rate.numpy(), False
    if getattr(layer, "weight_quantizers", ()):
        product = product * _input_scale(layer)
    for slot in getattr(layer, "weight_quantizers", ()):
        weights = getattr(layer, slot)
        codes = weights.qweights.value if isinstance(weights, WeightQuantizer) else None
        if hasattr(codes, "scales"):
            product, found = product * np.ravel(codes.scales.numpy()), True
    return product if found else None
