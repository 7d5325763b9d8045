"""Annotations: which layers of a model shall be quantized, and how."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._copies import (
    add_end,
    carry_model,
    config_of,
    layer_like,
    model_around,
    sequential_like,
)
from larqlite._registration import deserialize_object, register_object
from larqlite.errors import (
    ArgumentError,
    require_tf_keras,
)
from larqlite.from_keras import as_tf_keras
from larqlite.graph import MARKS, LayerCall, LayerEntry, ends_of, follow, require_model
from larqlite.qat.config import QuantizeConfig
from larqlite.qat.wrapper import layer_from

__all__ = ["QuantizeAnnotate", "quantize_annotate_layer", "quantize_annotate_model"]

Layer = tf_keras.layers.Layer


@register_object(bare=False)
class QuantizeAnnotate(tf_keras.layers.Wrapper):
    """Marks a layer for `quantize_apply`; computes what the layer computes.

    Args:
        layer: a layer, or a model used as one.
        quantize_config: how it is quantized; None leaves that to the scheme.
        **kwargs: those of a Keras layer.

    Example:
        >>> marked = lq.qat.quantize_annotate_layer(tf_keras.layers.Dense(2, name="fc"))
        >>> marked.name, marked(tf.ones((1, 3))).shape.as_list()
        ('quantize_annotate_fc', [1, 2])
    """

    def __init__(self, layer, quantize_config=None, **kwargs):
        kwargs.setdefault("name", f"quantize_annotate_{layer.name}")
        if not isinstance(layer, tf_keras.Model):
            shape = config_of(layer).get("batch_input_shape")
            if shape is not None:
                kwargs.setdefault("batch_input_shape", shape)
        super().__init__(layer, **kwargs)
        self.quantize_config = quantize_config

    def call(self, inputs, *args, **kwargs):
        return self.layer(inputs, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def get_config(self) -> dict:
        config = self.quantize_config
        if config is not None:
            config = tf_keras.saving.serialize_keras_object(config)
        return {**super().get_config(), "quantize_config": config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        layer = layer_from(config.pop("layer"), custom_objects)
        if config["quantize_config"] is not None:
            config["quantize_config"] = deserialize_object(
                config["quantize_config"], custom_objects=custom_objects
            )
        return cls(layer, **config)


def _mark(annotation: QuantizeAnnotate, entry: LayerEntry) -> None:
    entry.is_annotated, entry.config = True, annotation.quantize_config


MARKS[QuantizeAnnotate] = _mark


def quantize_annotate_layer(
    to_annotate: Layer, quantize_config: QuantizeConfig | None = None
) -> QuantizeAnnotate:
    """Marks one layer to be quantized by `quantize_apply`.

    Args:
        to_annotate: a tf_keras layer, or a model used as a layer.
        quantize_config: how it is quantized; None takes the scheme's default for its
            class.

    Returns:
        A layer that wraps the given one and computes the same.

    Raises:
        ArgumentError: the first is no layer, or the second no QuantizeConfig instance.
        KerasVersionError: a Keras 3 layer.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.qat.quantize_annotate_layer(tf_keras.layers.Dense(20, input_shape=(20,))),
        ...     tf_keras.layers.Flatten()])
        >>> lq.qat.quantize_apply(model).count_params()
        428
    """
    where = "lq.qat.quantize_annotate_layer"
    require_tf_keras(to_annotate, where)
    if not isinstance(to_annotate, Layer):
        raise ArgumentError(
            f"{where}: `to_annotate` must be a tf_keras layer, got {to_annotate!r}."
        )
    if quantize_config is not None and not isinstance(quantize_config, QuantizeConfig):
        hint = ""
        if isinstance(quantize_config, type):
            hint = f" Did you mean {quantize_config.__name__}()?"
        raise ArgumentError(
            f'{where}: `quantize_config` of "{to_annotate.name}" must be an instance of '
            f"QuantizeConfig, got {quantize_config!r}.{hint}"
        )
    return QuantizeAnnotate(to_annotate, quantize_config)


def quantize_annotate_model(to_annotate: tf_keras.Model) -> tf_keras.Model:
    """Marks every layer of a model to be quantized; layers marked already stay as they are.

    Args:
        to_annotate: a Sequential or functional tf_keras model. Its layers are used in
            the annotated model too, with their weights.

    Returns:
        A model that computes the same, for `quantize_apply`.

    Raises:
        ArgumentError: it is no model.
        UnsupportedModelError: it is subclassed.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(20, input_shape=(20,)), tf_keras.layers.Flatten()])
        >>> annotated = lq.qat.quantize_annotate_model(model)
        >>> [layer.name.startswith("quantize_annotate") for layer in annotated.layers]
        [True, True]
    """
    where = "lq.qat.quantize_annotate_model"
    to_annotate = as_tf_keras(to_annotate, where)
    require_model(to_annotate, where, unbuilt=True)

    def annotate(layer):
        operator = isinstance(getattr(layer, "symbol", None), str)
        if operator or isinstance(
            layer, (QuantizeAnnotate, tf_keras.layers.InputLayer)
        ):
            return layer
        return QuantizeAnnotate(layer)

    if isinstance(to_annotate, tf_keras.Sequential):
        annotated = sequential_like(to_annotate, where)
        if to_annotate.built and to_annotate.inputs and not ends_of(to_annotate):
            annotated.add(layer_like(to_annotate.inputs[0].node.layer, where))
        for layer in to_annotate.layers:
            annotated.add(annotate(layer))
    if not isinstance(to_annotate, tf_keras.Sequential) or ends_of(to_annotate):
        annotated = _functional(to_annotate, annotate, where)
    carry_model(to_annotate, annotated, where)
    return annotated


def _functional(model: tf_keras.Model, annotate, where: str) -> tf_keras.Model:
    """A functional model of the same calls, each of what `annotate` gives for a layer."""
    made = {}

    def apply(call: LayerCall):
        if id(call.layer) not in made:
            made[id(call.layer)] = annotate(call.layer)
        return made[id(call.layer)](*call.args, **call.kwargs)

    inputs = [layer_like(tensor.node.layer, where).output for tensor in model.inputs]
    ends = ends_of(model)
    outputs = follow(
        *(model, inputs, apply, lambda call, inside: apply(call)),
        tensors=[*model.outputs, *(tensor for _, tensor in ends)],
    )
    tensors = outputs[len(model.outputs) :]
    inputs = tf.nest.pack_sequence_as(model.input, inputs)
    outputs = tf.nest.pack_sequence_as(model.output, outputs[: len(model.outputs)])
    annotated = model_around(model, inputs, outputs, where)
    for (end, _), tensor in zip(ends, tensors, strict=True):
        add_end(annotated, end, tensor)
    return annotated
