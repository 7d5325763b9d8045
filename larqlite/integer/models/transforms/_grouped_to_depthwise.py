"""A convolution with a group for each channel becomes a depthwise one."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.graph import LayerEntry, LayerGraph
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    common_config,
    new,
    setting,
    transformed,
    weights_of,
)

__all__ = ["grouped_to_depthwise"]

layers = tf_keras.layers

_SAME_SETTINGS = (
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "use_bias",
    "activation",
    "bias_initializer",
    "bias_regularizer",
    "bias_constraint",
    "activity_regularizer",
)
_OF_KERNEL = ("initializer", "regularizer", "constraint")


def grouped_to_depthwise(model: tf_keras.Model) -> tf_keras.Model:
    """A model in which a `Conv2D` with as many groups as channels is a `DepthwiseConv2D`.

    The kernel `(height, width, 1, channels * M)` becomes `(height, width, channels, M)`,
    number for number.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Conv2D(6, 3, groups=3, input_shape=(8, 8, 3))])
        >>> new = lq.integer.models.transforms.grouped_to_depthwise(model)
        >>> type(new.layers[0]).__name__, new.layers[0].depth_multiplier
        ('DepthwiseConv2D', 2)
    """
    return transformed(model, "grouped_to_depthwise", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Changes the class of layers, however often they are called."""
    changed: dict[int, LayerEntry] = {}
    for use in graph.uses:
        entry = use.entry
        if id(entry) not in changed and _is_depthwise(entry):
            changed[id(entry)] = _depthwise(entry)
        use.entry = changed.get(id(entry), entry)
    return bool(changed)


def _is_depthwise(entry: LayerEntry) -> bool:
    layer = entry.layer
    return (
        type(layer) is layers.Conv2D
        and setting(entry, "groups") > 1
        and weights_of(entry)["kernel"].shape[2] == 1
        and layer.strides[0] == layer.strides[1]
    )


def _depthwise(entry: LayerEntry) -> LayerEntry:
    weights = weights_of(entry)
    kernel = np.asarray(weights.pop("kernel"))
    groups = setting(entry, "groups")
    kernel = kernel.reshape(*kernel.shape[:2], groups, -1)
    config = {**entry.layer.get_config(), **entry.changes}
    layer = layers.DepthwiseConv2D.from_config(
        {
            **{key: config[key] for key in _SAME_SETTINGS},
            **{f"depthwise_{key}": config[f"kernel_{key}"] for key in _OF_KERNEL},
            **common_config(entry),
            "depth_multiplier": kernel.shape[-1],
        }
    )
    return new(layer, depthwise_kernel=kernel, **weights)
