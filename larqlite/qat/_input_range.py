"""Fixed ranges for the inputs and outputs of a quantization-aware model, or none."""

from __future__ import annotations

import tf_keras

from larqlite._registration import deserialize_object, register_object
from larqlite.errors import UnsupportedModelError
from larqlite.graph import LayerEntry, LayerGraph, require_model
from larqlite.qat.config import LayerQuantizeConfig, QuantizeConfig
from larqlite.qat.graph import Builder
from larqlite.qat.quantizers import FixedQuantizer
from larqlite.qat.wrapper import BEFORE, QuantizeLayer, QuantizeWrapperV2, name_of

__all__ = ["FixedOutputQuantizeConfig", "fix_input_output_range", "remove_input_range"]

Layer = tf_keras.layers.Layer


@register_object(bare=False)
class FixedOutputQuantizeConfig(QuantizeConfig):
    """Another config, with a quantizer of its own for the outputs.

    Args:
        config: the `QuantizeConfig` that says the rest.
        quantizer: the quantizer of the outputs.

    Example:
        >>> fixed = lq.qat.quantizers.FixedQuantizer(8, 0.0, 1.0)
        >>> config = lq.qat.FixedOutputQuantizeConfig(lq.qat.NoOpQuantizeConfig(), fixed)
        >>> config.get_output_quantizers(tf_keras.layers.ReLU()) == [fixed]
        True
    """

    def __init__(self, config: QuantizeConfig, quantizer):
        self.config = config
        self.quantizer = quantizer

    def get_weights_and_quantizers(self, layer):
        return self.config.get_weights_and_quantizers(layer)

    def get_activations_and_quantizers(self, layer):
        return self.config.get_activations_and_quantizers(layer)

    def get_activation_places(self, layer):
        return self.config.get_activation_places(layer)

    def get_input_quantizers(self, layer):
        return self.config.get_input_quantizers(layer)

    def set_quantize_weights(self, layer, quantize_weights):
        self.config.set_quantize_weights(layer, quantize_weights)

    def set_quantize_activations(self, layer, quantize_activations):
        self.config.set_quantize_activations(layer, quantize_activations)

    def get_output_quantizers(self, layer):
        return [self.quantizer]

    def get_config(self) -> dict:
        serialized = tf_keras.saving.serialize_keras_object
        return {
            "config": serialized(self.config),
            "quantizer": serialized(self.quantizer),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{key: deserialize_object(value) for key, value in config.items()})


def fix_input_output_range(
    model: tf_keras.Model,
    num_bits: int = 8,
    input_min: float = 0.0,
    input_max: float = 1.0,
    output_min: float = 0.0,
    output_max: float = 1.0,
    narrow_range: bool = False,
) -> tf_keras.Model:
    """A copy whose inputs and outputs have ranges that training does not change.

    Args:
        model: a quantization-aware model.
        num_bits: bits of the inputs and outputs.
        input_min: lower end of the inputs' range.
        input_max: upper end of the inputs' range.
        output_min: lower end of the outputs' range.
        output_max: upper end of the outputs' range.
        narrow_range: whether the lowest code is left out.

    Returns:
        A new, uncompiled model with the same weights.

    Raises:
        ArgumentError: a range that does not hold 0, or a width out of 1 to 16.
        UnsupportedModelError: the model's inputs are not quantized.

    Example:
        >>> model = lq.qat.quantize_model(tf_keras.Sequential(
        ...     [tf_keras.layers.ReLU(input_shape=(3,))]))
        >>> fixed = lq.qat.fix_input_output_range(model, num_bits=4, input_max=15.0,
        ...                                       output_max=15.0)
        >>> fixed.predict(np.array([[0.4, 3.7, 40.0]]), verbose=0).tolist()
        [[0.0, 4.0, 15.0]]
    """
    where = "lq.qat.fix_input_output_range"
    graph = _read(model, where)
    inputs = FixedQuantizer(num_bits, input_min, input_max, narrow_range)
    outputs = FixedQuantizer(num_bits, output_min, output_max, narrow_range)
    replaced = _with_input_quantizer(graph, inputs)
    for edge in graph.outputs:
        entry = edge.source and edge.source.entry
        if entry and isinstance(entry.layer, QuantizeWrapperV2):
            replaced.append((entry, entry.layer))
            entry.layer = _with_output_quantizer(entry.layer, outputs)
            entry.is_new = True
    return _rebuilt(graph, replaced, where)


def remove_input_range(model: tf_keras.Model) -> tf_keras.Model:
    """A copy whose inputs are not quantized, as for a part of a larger model.

    Args:
        model: a quantization-aware model.

    Returns:
        A new, uncompiled model with the same weights.

    Raises:
        UnsupportedModelError: the model's inputs are not quantized.

    Example:
        >>> model = lq.qat.quantize_model(tf_keras.Sequential(
        ...     [tf_keras.layers.ReLU(input_shape=(3,))]))
        >>> lq.qat.remove_input_range(model).layers[0].quantizer is None
        True
    """
    where = "lq.qat.remove_input_range"
    graph = _read(model, where)
    return _rebuilt(graph, _with_input_quantizer(graph, None), where)


def _read(model: tf_keras.Model, where: str) -> LayerGraph:
    require_model(model, where, unbuilt=True)
    graph = LayerGraph.of(model)
    if not any(isinstance(entry.layer, QuantizeLayer) for entry in graph.entries()):
        raise UnsupportedModelError(
            f'{where}: the inputs of "{model.name}" are not quantized.\n'
            "  Fix: make the model quantization-aware first, with "
            "lq.qat.quantize_model(model)."
        )
    return graph


def _with_input_quantizer(
    graph: LayerGraph, quantizer
) -> list[tuple[LayerEntry, Layer]]:
    """Replaces the quantizers right after the inputs; the entries with their old layers."""
    replaced = []
    for _, edge in graph.inputs:
        for use in graph.consumers(edge):
            if use and isinstance(use.layer, QuantizeLayer):
                replaced.append((use.entry, use.layer))
                use.entry.layer = QuantizeLayer(quantizer, name=use.layer.name)
                use.entry.is_new = True
    return replaced


def _with_output_quantizer(wrapper: QuantizeWrapperV2, quantizer) -> QuantizeWrapperV2:
    config = wrapper.quantize_config
    # The output is quantized once, unless its function wants a quantized input.
    once = name_of(getattr(wrapper.layer, "activation", None)) not in BEFORE
    if once and isinstance(config, LayerQuantizeConfig):
        config = config.only_before()
    fixed = wrapper.get_config()
    fixed["quantize_config"] = tf_keras.saving.serialize_keras_object(
        FixedOutputQuantizeConfig(config, quantizer)
    )
    return QuantizeWrapperV2.from_config(fixed)


def _rebuilt(graph: LayerGraph, replaced: list, where: str) -> tf_keras.Model:
    model = Builder("", where).model(graph)
    for entry, old in replaced:
        kept = {_within(old, variable): variable for variable in old.weights}
        for variable in entry.layer.weights:
            source = kept.get(_within(entry.layer, variable))
            if source is not None:
                variable.assign(source)
    return model


def _within(layer: Layer, variable) -> str:
    """A variable's name inside of its layer."""
    return variable.name.split(f"{layer.name}/", 1)[-1]
