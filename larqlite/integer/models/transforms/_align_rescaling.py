"""The offset of a Rescaling becomes part of the layer after it."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.layers._padded_conv import PaddedConv2D
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    common_config,
    give,
    new,
    setting,
    shape_of,
    transformed,
    weights_of,
)
from larqlite.qat._graph import Graph, Use

__all__ = ["align_rescaling"]

layers = tf_keras.layers


def align_rescaling(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model whose first Rescaling has one scale and no offset.

    A `Conv2D`, `Dense`, or `Flatten` and `Dense`, after `s x + o` takes the offset into its bias,
    $b + \sum w o$, and a scale for each channel into its kernel, $s w$. A convolution with
    "same" padding becomes a `PaddedConv2D` that pads with $-o$ (with $-o / s$ where the
    scale moved), so that what it pads is 0 after the offset, as before.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same; or the given one, if it has no Rescaling or an
        aligned one.

    Raises:
        ArgumentError: a `ValueError`: what reads the Rescaling is not one Conv2D or Dense
            layer with channels last.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Rescaling(1 / 127.5, -1.0, input_shape=(8, 8, 3)),
        ...     tf_keras.layers.Conv2D(2, 3, padding="same")])
        >>> aligned = lq.integer.models.transforms.align_rescaling(model)
        >>> aligned.layers[0].offset, aligned.layers[1].padding_value
        (0.0, 1.0)
    """
    return transformed(model, "align_rescaling", [run])


def run(graph: Graph, surgery: Surgery) -> bool:
    """Aligns the first Rescaling of a graph."""
    use = next((u for u in graph.uses if type(u.layer) is layers.Rescaling), None)
    if use is None:
        return False
    scale = _plain(use.layer.scale)
    offset = _plain(use.layer.offset)
    if scale.size == 1 and not offset.any():
        return False
    reader = _reader(graph, surgery, use)
    *places, channels = shape_of(use.inputs[0])[1:]
    where = f'{surgery.where}: Rescaling "{use.layer.name}"'
    scale, offset = (_for_channels(x, channels, where) for x in (scale, offset))
    is_moved = scale.size > 1
    is_flat = reader.inputs[0] is not use.outputs[0]
    spread = [
        np.broadcast_to(x, (*places, channels)).ravel() if is_flat else x
        for x in (scale, offset)
    ]
    _take_over(reader, spread[0] if is_moved else None, spread[1])
    if (
        type(reader.layer) is layers.Conv2D
        and setting(reader.entry, "padding") == "same"
    ):
        if (is_moved and (scale == 0).any()) or channels is None:
            raise ArgumentError(
                f"{where}: a scale of 0 beside an offset cannot be padded.\n"
                "  Fix: leave the channel out of the input."
            )
        _pad(reader, -offset / scale if is_moved else -offset)
    use.entry.changes.update(scale=1.0 if is_moved else float(scale), offset=0.0)
    return True


def _plain(value) -> np.ndarray:
    return np.asarray(tf_keras.backend.get_value(value), np.float64)


def _for_channels(value: np.ndarray, channels: int | None, where: str) -> np.ndarray:
    """A number, or a vector with one for each channel."""
    if value.size == 1:
        return value.reshape(())
    if value.size != channels or value.shape[-1] != channels:
        raise ArgumentError(
            f"{where}: a scale or offset of shape {value.shape} for {channels} channels.\n"
            "  Fix: give one number, or one for each channel."
        )
    return value.reshape(-1)


def _reader(graph: Graph, surgery: Surgery, use: Use) -> Use:
    """The layer that takes the offset.

    Raises:
        ArgumentError: there is none.
    """
    reader = surgery.reads_alone(graph, use)
    if _is_flatten(reader) and None not in shape_of(use.inputs[0])[1:]:
        reader = surgery.reads_alone(graph, reader)
    is_ours = reader is not None and type(reader.layer) in (layers.Conv2D, layers.Dense)
    if (
        is_ours
        and getattr(reader.layer, "data_format", "channels_last") == "channels_last"
    ):
        return reader
    found = [
        r.layer.name if r else "the output" for r in graph.consumers(use.outputs[0])
    ]
    raise ArgumentError(
        f'{surgery.where}: Rescaling "{use.layer.name}" has an offset, or a scale for each '
        "channel, which only one Conv2D or Dense layer with channels last, called once, "
        f"can take over; it is read by {', '.join(found)}.\n"
        "  Fix: Rescaling(scale) with one number and no offset, or a Conv2D or Dense "
        "right after it (a Flatten may stand before the Dense)."
    )


def _is_flatten(use: Use | None) -> bool:
    return (
        use is not None
        and type(use.layer) is layers.Flatten
        and use.layer.data_format == "channels_last"
    )


def _take_over(use: Use, scale: np.ndarray | None, offset: np.ndarray) -> None:
    weights = weights_of(use.entry)
    kernel = np.asarray(weights["kernel"], np.float64)
    groups = setting(use.entry, "groups") or 1
    own = kernel.shape[-2]
    # Filters belong to one group of channels each: (places, channels, groups, filters).
    split = kernel.reshape(-1, own, groups, kernel.shape[-1] // groups)
    spread = np.broadcast_to(offset, own * groups).reshape(groups, own)
    bias = np.einsum("pcgf,gc->gf", split, spread).reshape(-1)
    if setting(use.entry, "use_bias"):
        bias = bias + np.asarray(weights["bias"], np.float64)
    if scale is not None:
        split = split * scale.reshape(groups, own).T[..., None]
    give(use.entry, {"use_bias": True}, kernel=split.reshape(kernel.shape), bias=bias)


def _pad(use: Use, value: np.ndarray) -> None:
    entry = use.entry
    config = {**entry.layer.get_config(), **entry.changes, **common_config(entry)}
    layer = PaddedConv2D.from_config({**config, "padding_value": value.tolist()})
    use.entry = new(layer, **dict(entry.copies))
