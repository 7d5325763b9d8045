"""larqlite's Quant layers as plain Keras layers whose kernels are of few bits already."""

from __future__ import annotations

import functools

import numpy as np
import tf_keras

from larqlite import quantizers
from larqlite.context import quantized_scope
from larqlite.errors import UnknownQuantizerError
from larqlite.graph import LayerEntry, LayerGraph, LayerUse, facts_of
from larqlite.integer.layers import PaddedConv2D
from larqlite.integer.layers.internal import quantized_class
from larqlite.integer.models.transforms import _flatten_nested, _split_activations
from larqlite.integer.models.transforms._sanitize import sanitize
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    label,
    named_weights,
    new,
    transformed,
)
from larqlite.layers import QuantLayer
from larqlite.primitives import other_axes
from larqlite.qat.wrapper import name_of
from larqlite.quantizers import Quantizer

_BINARY, _TERNARY = 1, 2
_LOW_BIT_BIAS = 16

# The weights of integer layers, and the quantizers that they go through.
_SLOTS = {
    "kernel": "weight_quantizer",
    "depthwise_kernel": "weight_quantizer",
    "pointwise_kernel": "pw_weight_quantizer",
}


def plain_layers(model: tf_keras.Model) -> tuple[tf_keras.Model, dict[str, dict]]:
    """The model with plain layers for larqlite's, and what they need to stay exact.

    `QuantConv2D(input_quantizer="ste_sign", kernel_quantizer="ste_sign")` becomes the
    layer `SteSign`, followed by a `Conv2D` whose kernel holds the quantized values: as a
    kernel of 1 bit (or 2, if ternary) it is exactly the same in integers.

    Returns:
        The model, and for the layers with such kernels `{name: quant_config}`.
    """
    configs: dict[str, dict] = {}
    passes = (
        _flatten_nested.run,
        _split_activations.run,
        functools.partial(_run, configs=configs),
    )
    if not any(map(_is_ours, model.submodules)):
        return model, configs
    return transformed(model, "sanitize", passes), configs


def prepared(model: tf_keras.Model) -> tuple[tf_keras.Model, dict[str, dict]]:
    """The model with larqlite's layers as plain ones, sanitized.

    Returns:
        The model, and configurations `{name: quant_config}` for the kernels that are of
        few bits already.
    """
    model, configs = plain_layers(model)
    return sanitize(model), configs


def _is_ours(layer) -> bool:
    if type(layer) is tf_keras.layers.Activation:
        return _activation_quantizer(layer) is not None
    return isinstance(layer, QuantLayer)


def _run(graph: LayerGraph, surgery: Surgery, configs: dict) -> bool:
    is_changed = False
    for use in list(graph.uses):
        if surgery.is_shared(use.entry) or not _is_ours(use.layer):
            continue
        chain = _chain(use, surgery, configs)
        if chain:
            graph.replace(use, chain)
            is_changed = True
    return is_changed


def _chain(use: LayerUse, surgery: Surgery, configs: dict) -> list[LayerEntry]:
    layer = use.layer
    if type(layer) is tf_keras.layers.Activation:
        return [_quantizer(_activation_quantizer(layer), label(use.entry))]
    chain = []
    if layer.input_quantizer is not None:
        if not _has_integer_form(layer.input_quantizer):
            return []
        name = surgery.new_name(f"{label(use.entry)}_input")
        chain.append(_quantizer(layer.input_quantizer, name))
    kernel_layer = _without_quantizers(use.entry)
    if kernel_layer is None:
        return []
    configs[label(use.entry)] = _low_bit_config(kernel_layer)
    return [*chain, kernel_layer]


def _has_integer_form(quantizer) -> bool:
    return isinstance(quantizer, Quantizer) and quantized_class(quantizer) is not None


def _activation_quantizer(layer) -> Quantizer | None:
    """The quantizer that an Activation layer applies, if it has an integer form."""
    try:
        quantizer = quantizers.get(name_of(layer.activation))
    except (UnknownQuantizerError, TypeError):
        return None
    return quantizer if _has_integer_form(quantizer) else None


def _quantizer(quantizer: Quantizer, name: str) -> LayerEntry:
    config = {**quantizer.get_config(), "name": name}
    return new(type(quantizer).from_config(config))


def _without_quantizers(entry: LayerEntry) -> LayerEntry | None:
    """The plain layer that computes with the quantized kernel; None if there is none."""
    layer = entry.layer
    cls = next(c for c in type(layer).__mro__ if c.__module__.startswith("tf_keras."))
    if quantized_class(cls) is None:
        return None
    config = {**layer.get_config(), **entry.changes}
    pad_value = config.pop("pad_values", 0.0)
    for role in ("input_quantizer", *layer.quantized_weights.values()):
        config.pop(role, None)
    if pad_value:
        if cls is not tf_keras.layers.Conv2D:
            return None
        cls, config["padding_value"] = PaddedConv2D, float(pad_value)
    for key in [key for key in config if key.endswith(("_constraint", "_regularizer"))]:
        config[key] = None
    with quantized_scope(True):
        weights = named_weights(layer, layer.weights) or {}
        values = {name: np.array(value) for name, value in weights.items()}
    if len(values) != len(layer.weights):
        return None
    return new(cls.from_config(config), **values)


def _low_bit_config(entry: LayerEntry) -> dict:
    """The bits of the kernels that are binary or ternary, as a `quant_config`."""
    config = {}
    kernels = {axes.name: axes for axes in facts_of(entry.layer).kernels}
    for name, values in entry.copies:
        if name not in kernels:
            continue
        slot, axis = _SLOTS[name], kernels[name].channels_out[0]
        if len(kernels) > 1 and name == "depthwise_kernel":
            slot, axis = "dw_weight_quantizer", None
        bits = _bits_of(values, axis)
        if bits is not None:
            config[slot] = {"bitwidth": bits}
            config["bias_quantizer"] = {"bitwidth": _LOW_BIT_BIAS}
    return config


def _bits_of(kernel: np.ndarray, axis: int | None) -> int | None:
    """1 for a kernel of -a and a, 2 for one of -a, 0 and a; None for any other."""
    axes = None
    if axis is not None:
        axes = tuple(other_axes(kernel.ndim, axis))
    magnitudes = np.abs(kernel)
    largest = np.max(magnitudes, axis=axes, keepdims=True)
    is_full = np.isclose(magnitudes, largest, rtol=1e-5, atol=0)
    if np.all(is_full) and np.all(largest > 0):
        return _BINARY
    return _TERNARY if np.all(is_full | (magnitudes == 0)) else None
