"""From a float model that is ready, to one of integer layers and what stays float."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError, LarqliteError, near_matches
from larqlite.graph import (
    Builder,
    LayerEntry,
    LayerGraph,
    LayerUse,
    facts_of,
    recorded_training,
)
from larqlite.integer._quantization_params import QuantizationParams, quantization
from larqlite.integer.layers import Dequantizer, QuantizedRescaling
from larqlite.integer.layers.internal import (
    KernelLayer,
    QuantizedLayer,
    quantized_class,
)
from larqlite.integer.models import _weights
from larqlite.integer.models._attached_quantizers import output_quantizers
from larqlite.integer.models._model_graph import consumers_of
from larqlite.integer.tensors import FixedPoint, QFloat
from larqlite.quantizers import ApproxSign, SteSign, SwishSign
from larqlite_runtime.names import unique_name

Layer = tf_keras.layers.Layer
_SIGNS = (SteSign, ApproxSign, SwishSign)
_LOW_BITS = 2

_READY = (Dequantizer, tf_keras.layers.InputLayer)


@dataclasses.dataclass
class Conversion:
    """What becomes of the layers of a model.

    Attributes:
        graph: the float model.
        classes: the quantized class of each entry (by `id`) that is quantized.
        stays_float: names of the layers that are not, with the reason.
    """

    graph: LayerGraph
    classes: dict[int, type]
    stays_float: dict[str, str]


def conversion_of(model: tf_keras.Model) -> Conversion:
    """Which layers can be quantized: those known, behind nothing that is not.

    A layer that is called more than once needs all its calls to be so.
    """
    graph = LayerGraph.of(model)
    reasons = {
        id(use.entry): "a loss or metric of the model calls it on floats"
        for use in graph.beside
    }
    changed = True
    while changed:
        changed = False
        for use in graph.uses:
            reason = None if id(use.entry) in reasons else _reason(use, reasons, graph)
            if reason:
                reasons[id(use.entry)] = reason
                changed = True
    classes = {
        id(entry): class_for(entry.layer)
        for entry in graph.entries()
        if id(entry) not in reasons and not isinstance(entry.layer, _READY)
    }
    stays = {
        entry.name: reasons[id(entry)]
        for entry in graph.entries()
        if id(entry) in reasons and not isinstance(entry.layer, _READY)
    }
    return Conversion(graph, classes, stays)


def class_for(layer: Layer) -> type | None:
    """The quantized class for a layer; its own if it is quantized already."""
    if isinstance(layer, QuantizedLayer):
        return type(layer)
    return quantized_class(layer)


def _reason(use: LayerUse, reasons: dict[int, str], graph: LayerGraph) -> str | None:
    """Why a use of a layer cannot be quantized, or None."""
    layer = use.entry.layer
    if recorded_training(layer, use.args, use.kwargs) not in (None, False):
        return "it is called with training=True, and integers are for inference"
    if class_for(layer) is None and not isinstance(layer, _READY):
        return f"there is no integer {type(layer).__name__}"
    refuse = getattr(class_for(layer), "refuses", None)
    is_float = not isinstance(layer, QuantizedLayer)
    reason = refuse(layer) if refuse and is_float else None
    if reason:
        return reason
    ends = graph.consumers(use.outputs[0]) == [None]
    if ends and is_float and _stays_at_the_end(layer):
        return "it is the last layer, and needs no approximation there"
    accepts = getattr(class_for(layer), "accepts", None)
    for edge in use.inputs:
        source = edge.source
        if source is not None and (
            isinstance(source.entry.layer, Dequantizer) or id(source.entry) in reasons
        ):
            return f'it comes after "{source.entry.name}", which is float'
        if accepts is not None and _arriving(edge) not in accepts:
            return _NOT_ACCEPTED[_arriving(edge)]
    return None


def _stays_at_the_end(layer) -> bool:
    """Whether a layer stays float where only its outputs are probabilities."""
    answer = getattr(class_for(layer), "float_at_the_end", False)
    return answer(layer) if callable(answer) else answer


_NOT_ACCEPTED = {
    tf.Tensor: "it works on what a quantized layer gives, not on the model's input",
    QFloat: "its input is the scaled input of the model, not yet of a quantized layer",
    FixedPoint: "it works on the model's input, not on what a quantized layer gives",
}


def _arriving(edge) -> type:
    """The type of the tensor that will come along an edge."""
    while edge.source is not None:
        cls = class_for(edge.source.layer)
        if cls is None or cls.holds_output_quantizer or cls.gives_few_bits:
            return FixedPoint
        if issubclass(cls, QuantizedRescaling):
            return QFloat
        (edge, *_) = edge.source.inputs
    return tf.Tensor


def converted(
    conversion: Conversion,
    q_config: dict,
    params: QuantizationParams,
    low_bit: dict,
    large_sums: Collection[str] = (),
) -> tf_keras.Model:
    """The quantized model, not calibrated; what stays float comes after Dequantizers.

    Args:
        conversion: what becomes of the layers.
        q_config: configurations by name of the layer, in place of the defaults.
        params: bit widths for the others.
        low_bit: configurations of kernels that are of few bits already.
        large_sums: names of layers whose sums do not fit if accumulators come in.
    """
    graph, classes = conversion.graph, conversion.classes
    _check_names(q_config, graph)
    attached = output_quantizers(graph, classes, params, large_sums)
    is_first, pairs = True, []
    with quantization(params):
        for entry in list(graph.entries()):
            cls = classes.get(id(entry))
            if cls is None:
                continue
            if entry.name in q_config:
                config = q_config[entry.name]
            elif isinstance(entry.layer, QuantizedLayer):
                config = entry.layer.quant_config
            else:
                bits = params.input_weight_bits if is_first else params.weight_bits
                config = _default(cls, entry, attached, bits, params)
                config.update(low_bit.get(entry.name, {}))
            is_first = is_first and not facts_of(entry.layer, ()).kernels
            source = entry.layer
            entry.layer, entry.is_new = twin(source, cls, config), True
            pairs.append((source, entry.layer))
        _dequantize(graph, classes)
        model = Builder("lq.integer.quantize").model(graph)
    for source, target in pairs:
        _weights.copy_by_name(source, target)
    if low_bit:
        _make_sign_biases_exact(model)
    return model


def twin(layer: Layer, cls: type, quant_config: dict | None) -> Layer:
    """The quantized layer with the arguments of a float one."""
    config = layer.get_config()
    if hasattr(cls, "config_from"):
        config = cls.config_from(layer)
    if not isinstance(layer, QuantizedLayer):
        # Whatever floats it was trained in: integers are made of float32.
        config = {**config, "dtype": "float32"}
    try:
        return cls.from_config({**config, "quant_config": quant_config})
    except TypeError as error:
        # Keras puts the whole configuration around the layer's own words.
        cause = error.__cause__ or error.__context__
        raise cause if isinstance(cause, LarqliteError) else error from None


def _default(cls, entry: LayerEntry, attached, bits: int, params) -> dict:
    config: dict = {slot: {"bitwidth": bits} for slot in cls.weight_quantizers}
    if id(entry) in attached:
        config["output_quantizer"] = attached[id(entry)].config(entry.layer, params)
    return config


def _dequantize(graph: LayerGraph, classes: dict[int, type]) -> None:
    """Puts a Dequantizer where integers leave the quantized layers, one for each use."""
    names = {entry.name for entry in graph.entries()}
    names |= {layer.name for layer, _ in graph.inputs}
    for use in list(graph.uses):
        if id(use.entry) not in classes:
            continue
        for position, edge in enumerate(list(use.outputs)):
            readers = graph.consumers(edge)
            leaving = [r for r in readers if r is None or id(r.entry) not in classes]
            leaving = [
                r for r in leaving if r is None or not isinstance(r.layer, Dequantizer)
            ]
            if leaving:
                suffix = f"_{position}" if position else ""
                name = unique_name(f"{use.entry.name}{suffix}_dequantizer", names)
                names.add(name)
                entry = LayerEntry(Dequantizer(name=name), is_new=True)
                graph.insert_for(edge, entry, leaving)


def _check_names(q_config: dict, graph: LayerGraph) -> None:
    names = [entry.name for entry in graph.entries()]
    for name in q_config:
        if name not in names:
            raise ArgumentError(
                f'lq.integer.quantize: q_config names the layer "{name}", which '
                f'"{graph.model.name}" does not have.{near_matches(name, names)}\n'
                "  Fix: the names are those of the model after `transforms.sanitize`; "
                "`dump_config` of a quantized model lists them."
            )


def _make_sign_biases_exact(model: tf_keras.Model) -> None:
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
    while facts_of(source).keeps_signs and isinstance(source, QuantizedLayer):
        source = source.input.node.layer
    few_bits = getattr(source, "gives_few_bits", False)
    return few_bits and layer.weight_quantizer.bitwidth <= _LOW_BITS


def _only_signs_read(layer, consumers) -> bool:
    readers = consumers.get(layer.name, [])
    return bool(readers) and all(
        isinstance(reader, _SIGNS)
        or (facts_of(reader).keeps_signs and _only_signs_read(reader, consumers))
        for reader in readers
    )
