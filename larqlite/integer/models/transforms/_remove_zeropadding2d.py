"""Zeros around an image become the "same" padding of the convolution after them."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph, LayerUse, facts_of
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    setting,
    shape_of,
    transformed,
)
from larqlite.layers import QuantLayer
from larqlite.layers.internal import same_padding

__all__ = ["remove_zeropadding2d"]

layers = tf_keras.layers


def remove_zeropadding2d(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model without the ZeroPadding2D layers that are a convolution's "same" padding.

    A `ZeroPadding2D` right before a "valid" convolution goes if it adds exactly what
    "same" padding adds to an input of that size: for length $i$, stride $s$ and dilated
    kernel $k$, $p = \max((\lceil i/s \rceil - 1) s + k - i, 0)$, of it
    $\lfloor p/2 \rfloor$ before and the rest after. Otherwise it stays: one row on either
    side of an even image is not what a stride of 2 pads.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.ZeroPadding2D(1, input_shape=(8, 8, 1)),
        ...     tf_keras.layers.Conv2D(2, 3)])
        >>> removed = lq.integer.models.transforms.remove_zeropadding2d(model)
        >>> [(type(layer).__name__, layer.padding) for layer in removed.layers]
        [('Conv2D', 'same')]
    """
    return transformed(model, "remove_zeropadding2d", [run])


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Removes paddings that the next convolution can do."""
    is_changed = False
    for use in list(graph.uses):
        if type(use.layer) is not layers.ZeroPadding2D:
            continue
        convolution = surgery.reads_alone(graph, use)
        if convolution is not None and _is_same(use, convolution):
            convolution.entry.changes["padding"] = "same"
            graph.remove(use)
            is_changed = True
    return is_changed


def _is_convolution(layer) -> bool:
    """Whether a float layer gathers a window of an image, of zeros beyond its edges."""
    kernels = facts_of(layer).kernels
    is_image = bool(kernels) and kernels[0].spatial == 2
    if not is_image or kernels[0].is_transposed:
        return False
    return not isinstance(layer, (QuantLayer, QuantizedLayer))


def _is_same(padding: LayerUse, convolution: LayerUse) -> bool:
    layer = convolution.layer
    if (
        not _is_convolution(layer)
        or setting(convolution.entry, "padding") != "valid"
        or getattr(layer, "padding_value", None) is not None
        or padding.layer.data_format != layer.data_format
    ):
        return False
    shape = shape_of(padding.inputs[0])
    sizes = shape[1:3] if layer.data_format == "channels_last" else shape[2:4]
    wanted = zip(
        sizes, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
    )
    for given, (size, kernel, stride, dilation) in zip(
        padding.layer.padding, wanted, strict=True
    ):
        if size is None and stride > 1:
            return False
        # With a stride of 1 the amount is the same for all lengths.
        if tuple(given) != same_padding(size or 1, kernel, stride, dilation):
            return False
    return True
