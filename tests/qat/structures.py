"""What is quantized in each layer of a model, in the words of the golden file."""

from larqlite import qat
from larqlite.qat import quantizers

SHORT = {"per_axis": "per_axis", "symmetric": "symmetric", "narrow_range": "narrow"}


def quantizer(found: quantizers.Quantizer) -> str:
    config = found.get_config()
    traits = [short for key, short in SHORT.items() if config.get(key)]
    return " ".join([type(found).__name__, str(config["num_bits"]), *traits])


def structure(layer) -> dict:
    """As `structure` in tests/fixtures/make_qat_structures.py, from our layers."""
    kind = type(layer).__name__
    found = {"name": layer.name, "class": kind, "params": layer.count_params()}
    if isinstance(layer, qat.QuantizeLayer):
        found["output"] = quantizer(layer.quantizer)
    if not isinstance(layer, qat.QuantizeWrapperV2):
        return found
    config, inner = layer.quantize_config, layer.layer
    held = {v.name.split("/")[-1].split(":")[0] for v in layer.weights}
    for weight, by in config.get_weights_and_quantizers(inner):
        name = weight.name.split("/")[-1].split(":")[0]
        assert {f"{name}_min", f"{name}_max"} <= held
        found.setdefault("weights", {})[name] = quantizer(by)
    for _, by in config.get_activations_and_quantizers(inner):
        for part in ("pre_activation", "post_activation"):
            if f"{part}_min" in held:
                found[part] = quantizer(by)
    for by in config.get_output_quantizers(inner):
        assert {"output_min", "output_max"} <= held
        found["output"] = quantizer(by)
    return {**found, "layer": type(inner).__name__}
