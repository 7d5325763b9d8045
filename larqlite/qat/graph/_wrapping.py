"""From a float model to a layer graph, and from that to a quantization-aware model."""

from __future__ import annotations

import tf_keras

from larqlite.errors import UnbuiltModelError, UnsupportedModelError
from larqlite.from_keras import as_tf_keras
from larqlite.graph import Builder, LayerEntry, LayerGraph, require_model
from larqlite.qat import _quantized_views
from larqlite.qat.wrapper import (
    QuantizeLayer,
    QuantizeWrapperV2,
    fitted,
    only_shapes,
    values_of,
)

Layer = tf_keras.layers.Layer


def read(model: tf_keras.Model, where: str) -> LayerGraph:
    """The graph of a float model, with what annotations say of its layers.

    Raises:
        ArgumentError, UnbuiltModelError, UnsupportedModelError: it cannot be quantized.
    """
    model = as_tf_keras(model, where)
    require_model(model, where, unbuilt=True)
    if not model.built or not model.inputs:
        raise UnbuiltModelError(
            f'{where}: the model "{model.name}" is not built: its input shape is not '
            "known.\n"
            "  Fix: begin it with tf_keras.Input(shape) or give the first layer an "
            "input_shape."
        )
    graph = LayerGraph.of(model)
    for part in graph.graphs():
        for entry in part.entries():
            if isinstance(entry.layer, (QuantizeWrapperV2, QuantizeLayer)):
                raise UnsupportedModelError(
                    f'{where}: "{model.name}" is quantization-aware already: its layer '
                    f'"{entry.name}" is a {type(entry.layer).__name__}.\n'
                    "  Fix: pass the float model it was made from; to train this one, "
                    "compile it and call fit. What its wrapped layers have learnt goes "
                    "back by\n"
                    "      for wrapper in quantized.layers:\n"
                    '          if hasattr(wrapper, "quantize_config"):\n'
                    "              layer = float_model.get_layer(wrapper.layer.name)\n"
                    "              layer.set_weights(wrapper.layer.get_weights())"
                )
    return graph


class WrappingBuilder(Builder):
    """A `Builder` that puts a wrapper around each layer that is quantized.

    Args:
        prefix: goes before the names of wrapped layers.
        where: the public function on whose behalf it works, for messages.
    """

    def __init__(self, prefix: str, where: str):
        super().__init__(where)
        self._prefix = prefix
        self._wrapped: list[QuantizeWrapperV2] = []

    def model(self, graph: LayerGraph) -> tf_keras.Model:
        """As a `Builder`; the wrappers know the weights that they start from."""
        model = super().model(graph)
        for wrapper in self._wrapped:
            wrapper.capture_weights()
        return model

    def _model(self, graph: LayerGraph) -> tf_keras.Model:
        with only_shapes():
            return super()._model(graph)

    def _made_for(self, entry: LayerEntry) -> Layer:
        if entry.graph is not None or not entry.is_wrapped:
            return super()._made_for(entry)
        with _quantized_views.viewed_variables():
            inner = self._copy_of(entry)
        config = fitted(entry.config, values_of(entry.layer, entry.copies), inner)
        wrapper = QuantizeWrapperV2(
            inner, config, name_prefix=self._prefix, name=self._names[id(entry)]
        )
        # The wrapper has made a layer of its own if this one had weights already.
        self._copied.append((entry, wrapper.layer))
        self._wrapped.append(wrapper)
        return wrapper
