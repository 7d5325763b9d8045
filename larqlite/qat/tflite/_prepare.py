"""The copy of a model that is traced: float32, unrolled, with signs and barriers of int8."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import math, quantizers as larqlite_quantizers
from larqlite._registration import register_object
from larqlite.errors import UnsupportedLayerError
from larqlite.graph import (
    LayerEntry,
    LayerFacts,
    LayerGraph,
    LayerUse,
    add_layer_facts,
    facts_of,
)
from larqlite.layers import QuantLayer
from larqlite.primitives import fake_quant
from larqlite.qat.graph import Builder
from larqlite.qat.passes import is_made_of_kernel
from larqlite.qat.wrapper import QuantizeWrapperV2

__all__ = ["FloatBarrier", "Prepared", "prepared"]

Layer = tf_keras.layers.Layer
RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN")


@register_object(bare=False)
class FloatBarrier(tf_keras.layers.Layer):
    """Gives out what comes in, by an operation that TFLite only has in float32.

    $x = elu(\\max(x, 0)) - elu(\\max(-x, 0))$, since elu(x) = x for x >= 0. Without it,
    the converter makes a float layer between quantized ones int8, by ranges of its own.
    """

    def call(self, inputs):
        positive, negative = tf.nn.relu(inputs), tf.nn.relu(-inputs)
        return tf.nn.elu(positive) - tf.nn.elu(negative)


add_layer_facts(FloatBarrier, LayerFacts(values="reshaped", is_monotone=True))


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What is traced.

    Attributes:
        model: the model itself, or a copy of it.
        alone: names of wrapped normalizations that no convolution can take in.
        notes: what is different in the file.
    """

    model: tf_keras.Model
    alone: frozenset[str]
    notes: tuple[str, ...]


def prepared(model: tf_keras.Model, where: str) -> Prepared:
    """A model that computes the same, as the converter can follow it."""
    graph, notes = LayerGraph.of(model), []
    changed = False
    for part in graph.graphs():
        for entry in part.entries():
            if entry.graph is None:
                changed |= _change(entry, where, notes)
        for use in list(part.uses):
            changed |= _fence(part, use, notes)
    parts = list(graph.graphs())
    alone = frozenset(u.layer.name for part in parts for u in _alone(part))
    if changed:
        own = {part.name for part in model.submodules if _is_unrolled(part)}
        model = Builder("", where).model(graph)
        for part in model.submodules:
            if _is_unrolled(part) and part.name not in own:
                _read_backwards(part)
    return Prepared(model, alone, tuple(notes))


def _change(entry: LayerEntry, where: str, notes: list[str]) -> bool:
    """Says what is different in the copy of a layer; whether anything is."""
    layer = entry.layer
    if isinstance(layer, tf_keras.layers.InputLayer) or _is_operator(layer):
        return False
    config = layer.get_config()
    rewritten = _in_float32(config)
    if rewritten != config:
        notes.append(f'"{layer.name}": computes in float32, not {layer.compute_dtype}')
    steps = _steps(layer)
    if any(_unrollable(c) for c in _configs(layer, rewritten)):
        if steps is None:
            raise UnsupportedLayerError(
                f'{where}: the recurrent layer "{layer.name}" reads sequences of '
                "unknown length, and TFLite has its loops only unrolled.\n"
                "  Fix: give the Input the number of steps, e.g. Input((28, 8)), and "
                "build the model again."
            )
        for part in _configs(layer, rewritten):
            if _unrollable(part):
                part["unroll"] = True
        notes.append(f'"{layer.name}": its {steps} steps are unrolled')
    if isinstance(layer, QuantLayer) and _is_sign(layer.input_quantizer):
        rewritten["input_quantizer"] = _stored_sign
        entry.changes = rewritten
        return True
    if rewritten != config:
        entry.changes = rewritten
        return True
    return False


def _is_operator(layer: Layer) -> bool:
    return isinstance(getattr(layer, "symbol", None), str)


def _in_float32(config: Any) -> Any:
    """The same configuration in float32."""
    if isinstance(config, dict):
        return {
            key: "float32"
            if key == "dtype" and _is_other_float(value)
            else _in_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [_in_float32(value) for value in config]
    if isinstance(config, tuple):
        return tuple(_in_float32(value) for value in config)
    return config


def _is_other_float(dtype: Any) -> bool:
    name = dtype["config"].get("name", "") if isinstance(dtype, dict) else dtype
    return isinstance(name, str) and "float" in name and name != "float32"


def _configs(layer: Layer, config: dict):
    """The configurations of the recurrent layers in that of a layer."""
    if type(layer).__name__ in RECURRENT:
        yield config
    yield from _inner_configs(config)


def _inner_configs(config: Any):
    if isinstance(config, dict):
        if config.get("class_name") in RECURRENT and isinstance(config["config"], dict):
            yield config["config"]
        for value in config.values():
            yield from _inner_configs(value)


def _unrollable(config: dict) -> bool:
    return not config.get("unroll", False)


def _is_unrolled(part: tf.Module) -> bool:
    return isinstance(part, tf_keras.layers.RNN) and part.unroll


def _read_backwards(layer: tf_keras.layers.RNN) -> None:
    """Turns what goes in, in place of the loop.

    An unrolled loop of Keras that goes backwards sets outputs to zero by the mask as it
    goes in, not as it is read; the loop that is not unrolled turns it.
    """
    if not (layer.go_backwards and layer.zero_output_for_mask):
        return
    layer.go_backwards, forwards = False, layer.call
    axis = 0 if layer.time_major else 1

    def call(inputs, mask=None, **kwargs):
        turned, *states = tf.nest.flatten(inputs)
        turned = tf.reverse(turned, [axis])
        if mask is not None:
            mask = tf.reverse(mask, [axis])
        return forwards([turned, *states] if states else turned, mask=mask, **kwargs)

    layer.call = call


def _steps(layer: Layer) -> int | None:
    shape = layer.input_shape
    return shape[1] if isinstance(shape, tuple) and len(shape) == 3 else None


def _is_sign(quantizer) -> bool:
    """Whether a quantizer gives -1 and +1, by what it makes of some values."""
    if quantizer is None or getattr(quantizer, "weights", None):
        return False
    values = np.array([-3.0, -1.0, -0.4, -0.0, 0.0, 0.4, 1.0, 3.0], "float32")
    signs = larqlite_quantizers.get(quantizer)(tf.constant(values))
    return np.array_equal(signs, math.sign(values))


def _stored_sign(inputs):
    """The sign, as a comparison, which integers have too, with the range -1 to 1."""
    signs = tf.where(inputs >= 0, 1.0, -1.0)
    return fake_quant(signs, tf.constant(-1.0), tf.constant(1.0), 8, True)


def _fence(graph: LayerGraph, use: LayerUse, notes: list[str]) -> bool:
    """Puts a barrier after what shall stay float between quantized layers."""
    if not _is_float(use.layer) or len(use.outputs) != 1:
        return False
    last = use
    while (reader := graph.only_consumer(last)) is not None:
        if isinstance(reader.layer, (QuantizeWrapperV2, QuantLayer)):
            break
        if not _is_fused(reader.layer):
            break
        last = reader
    if last.outputs[0] in graph.outputs and not graph.is_nested:
        return False
    name = f"{last.layer.name}_float_barrier"
    graph.insert_after(
        last.outputs[0], LayerEntry(FloatBarrier(name=name), is_new=True)
    )
    notes.append(f'"{use.layer.name}": stays float32, as it is not quantized')
    return True


def _is_float(layer: Layer) -> bool:
    """Whether a layer has a kernel that nothing quantizes, or is to be kept in float."""
    if isinstance(layer, QuantizeWrapperV2):
        inner = layer.layer
        has_kernel = is_made_of_kernel(inner) and not layer.weight_slots
        return has_kernel and not layer.ends_in_range
    return is_made_of_kernel(layer) and not isinstance(layer, QuantLayer)


def _is_fused(layer: Layer) -> bool:
    """Whether the converter computes a layer with the kernel before it."""
    facts = facts_of(layer, ())
    is_function = facts.activation == "fused"
    is_function |= isinstance(layer, tf_keras.layers.Activation)
    return is_function or facts.is_batch_normalization


def _alone(graph: LayerGraph):
    """The normalizations that quantize their output and follow no open sum."""
    for use in graph.uses:
        layer = use.layer
        if not isinstance(layer, QuantizeWrapperV2):
            continue
        if not facts_of(layer.layer, ()).is_batch_normalization:
            continue
        source = use.inputs[0].source
        inner = getattr(source and source.layer, "layer", None)
        open_sum = (
            isinstance(source and source.layer, QuantizeWrapperV2)
            and is_made_of_kernel(inner)
            and not source.layer.ends_in_range
        )
        if not open_sum:
            yield use
