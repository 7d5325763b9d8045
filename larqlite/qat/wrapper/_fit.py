"""Quantizers that depend on the values of the weight they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from larqlite.qat.config import LayerQuantizeConfig, QuantizeConfig, resolve

__all__ = ["fitted", "values_of"]


def fitted(
    config: QuantizeConfig, value_of: Callable[[str], Any], layer
) -> QuantizeConfig:
    """The config with each quantizer that has `for_weight` replaced by what that gives.

    Args:
        config: as given; a class of one's own is left as it is.
        value_of: attribute path -> values of the weight, or None if it is not known.
        layer: the layer, for messages.
    """
    if not isinstance(config, LayerQuantizeConfig):
        return config
    weights = dict(config.weights)
    for path, quantizer in config.weights.items():
        if hasattr(quantizer, "for_weight"):
            value = value_of(path)
            if value is not None:
                value = np.asarray(tf.convert_to_tensor(value))
                weights[path] = quantizer.for_weight(
                    value, f'{path} of {type(layer).__name__} "{layer.name}"'
                )
    if all(weights[path] is config.weights[path] for path in weights):
        return config
    return type(config)(
        weights, config.activations, config.outputs, config.inputs, config.reason
    )


def values_of(layer, copies: tuple = ()) -> Callable[[str], Any]:
    """Attribute path -> weight of a layer that has weights, or that is to take copies.

    Args:
        layer: the layer.
        copies: pairs (attribute path, variable) whose values a new layer takes.
    """
    by_path = dict(copies)

    def value_of(path: str):
        if path in by_path or not layer.weights:
            return by_path.get(path)
        owner, name = resolve(layer, path)
        return getattr(owner, name, None)

    return value_of
