"""How many bits a weight, an input and an output have, and what remains of a weight
when the model is deployed."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies import is_table
from larqlite.graph import facts_of
from larqlite.models._call import FLOAT_BITS, TensorProfile, count
from larqlite.models._profile import WeightProfile
from larqlite.quantizers import Quantizer


def declared_precision(quantizer: Any) -> int | None:
    """The whole number of bits that an object declares as its `precision`, or None."""
    precision = getattr(quantizer, "precision", None)
    return int(precision) if isinstance(precision, numbers.Integral) else None


def weight_bits(variable: Any, layer: tf_keras.layers.Layer | None = None) -> int:
    """Bits of one value of a weight: its declared precision, else those of its dtype.

    The precision is the weight's own, or what the layer says with `weight_precision`,
    of a weight that it quantizes itself.
    """
    precision = declared_precision(variable)
    of_layer = getattr(layer, "weight_precision", None)
    if precision is None and callable(of_layer):
        precision = of_layer(variable)
    return 8 * tf.as_dtype(variable.dtype).size if precision is None else precision


def weight_note(variable: Any) -> str:
    """Why a quantized weight is counted in full, or an empty string."""
    quantizer = getattr(variable, "quantizer", None)
    if quantizer is None or declared_precision(variable) is not None:
        return ""
    return _without_precision("the weight quantizer", quantizer, weight_bits(variable))


def input_of(
    layer: tf_keras.layers.Layer, inputs: Sequence[TensorProfile]
) -> TensorProfile | None:
    """What a layer computes on: its first tensor, as its input quantizer leaves it.

    Layers with several quantized inputs count with the widest of them.
    """
    if not inputs:
        return None
    quantizer = _input_quantizer(layer)
    if quantizer is not None:
        return _quantized(inputs[0], "the input quantizer", quantizer)
    return _widest(inputs)


def output_of(
    layer: tf_keras.layers.Layer,
    inputs: Sequence[TensorProfile],
    outputs: Sequence[TensorProfile],
    keeps_values: bool,
) -> tuple[TensorProfile, ...]:
    """The values that come out, with the precision that a quantizer gave them.

    Args:
        layer: the layer.
        inputs: the tensors that go in.
        outputs: the tensors that come out, shapes and dtypes right.
        keeps_values: whether every value that comes out is one that went in.
    """
    if isinstance(layer, Quantizer):
        return tuple(_quantized(value, "the quantizer", layer) for value in outputs)
    bits = getattr(layer, "output_precision", None)
    if bits is not None:
        each = bits if isinstance(bits, tuple) else [bits] * len(outputs)
        return tuple(
            TensorProfile(value.shape, value.dtype, of_value)
            for value, of_value in zip(outputs, each, strict=True)
        )
    activation = getattr(layer, "activation", None)
    recurrent = isinstance(layer, tf_keras.layers.RNN)
    if not recurrent and (
        isinstance(activation, Quantizer) or declared_precision(activation) is not None
    ):
        return tuple(
            _quantized(value, "the activation", activation) for value in outputs
        )
    if keeps_values:
        source = _widest(inputs)
        if source is not None and source.bits is not None:
            return tuple(
                TensorProfile(value.shape, value.dtype, source.bits, source.note)
                for value in outputs
            )
    return tuple(outputs)


def deployed_weights(
    layer: tf_keras.layers.Layer, weights: Sequence[tf.Variable]
) -> Iterator[WeightProfile]:
    """Those weights of a layer as they are deployed: batch normalization fused.

    A batch normalization becomes one scale and one offset per channel, whatever
    of gamma and beta it has; they are trainable if gamma and beta are. What a layer
    names in `training_state` (ranges, counts of steps, scales that are in the levels of a
    kernel) stays behind; so does that of a quantizer that is its activation.
    """
    left = {
        id(variable)
        for owner in (layer, getattr(layer, "activation", None))
        for variable in getattr(owner, "training_state", ())
    }
    weights = [weight for weight in weights if id(weight) not in left]
    normalization = layer
    if isinstance(layer, tf_keras.layers.Wrapper) and hasattr(layer, "training_state"):
        normalization = layer.layer
    if facts_of(normalization).is_batch_normalization:
        yield from _fused(normalization) if weights else ()
        return
    trainable = {id(weight) for weight in layer.trainable_weights}
    for weight in weights:
        yield WeightProfile(
            name=_name(layer, weight),
            shape=tuple(weight.shape.as_list()),
            dtype=tf.as_dtype(weight.dtype).name,
            count=count(weight),
            bits=weight_bits(weight, layer),
            trainable=id(weight) in trainable,
        )


def trained_weights(layer: tf_keras.layers.Layer) -> list[tf.Variable]:
    """The weights that Keras trains or keeps, each once; no state of metrics, no tables."""
    of_metrics = {id(v) for metric in layer.metrics for v in metric.variables}
    unique = {id(weight): weight for weight in layer.weights if not is_table(weight)}
    return [weight for key, weight in unique.items() if key not in of_metrics]


def _name(layer: tf_keras.layers.Layer, weight: tf.Variable) -> str:
    """`layer/weight`, whatever scopes Keras was in when it created the variable."""
    parts = weight.name.partition(":")[0].split("/")
    if layer.name in parts:
        parts = parts[parts.index(layer.name) + 1 :]
    return "/".join([layer.name, *parts])


def _fused(layer: tf_keras.layers.BatchNormalization) -> Iterator[WeightProfile]:
    trainable = {id(weight) for weight in layer.trainable_weights}
    for name, source in (("scale", layer.gamma), ("offset", layer.beta)):
        kept = layer.moving_variance if name == "scale" else layer.moving_mean
        yield WeightProfile(
            name=f"{layer.name}/{name}",
            shape=tuple(kept.shape.as_list()),
            dtype=tf.as_dtype(kept.dtype).name,
            count=count(kept),
            bits=weight_bits(kept, layer),
            trainable=id(source) in trainable,
            fused=True,
        )


def _input_quantizer(layer: tf_keras.layers.Layer) -> Any:
    quantizer = getattr(layer, "input_quantizer", None)
    if quantizer is None and isinstance(layer, tf_keras.layers.Wrapper):
        return _input_quantizer(layer.layer)
    return quantizer


def _quantized(value: TensorProfile, role: str, quantizer: Any) -> TensorProfile:
    precision = declared_precision(quantizer)
    if precision is not None:
        return TensorProfile(value.shape, value.dtype, precision)
    note = _without_precision(role, quantizer, FLOAT_BITS)
    return TensorProfile(value.shape, value.dtype, FLOAT_BITS, note)


def _widest(values: Sequence[TensorProfile]) -> TensorProfile | None:
    """The value with the most bits; one that nothing quantizes beats all."""
    return max(
        values, key=lambda v: float("inf") if v.bits is None else v.bits, default=None
    )


def _without_precision(role: str, quantizer: Any, bits: int) -> str:
    name = getattr(quantizer, "__name__", None) or type(quantizer).__name__
    return (
        f"{role} `{name}` declares no precision, so {bits} bits are counted; set its "
        "`precision`, e.g. with the decorator lq.utils.set_precision(1)"
    )
