"""The offset of a Rescaling becomes part of the layer after it."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.graph import LayerGraph, LayerUse
from larqlite.integer.layers import PaddedConv2D
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
from larqlite.layers.internal import same_padding

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


def run(graph: LayerGraph, surgery: Surgery, of_inputs: bool = False) -> bool:
    """Aligns the first Rescaling of a graph, or those that read the model's inputs.

    Args:
        graph, surgery: as for all passes.
        of_inputs: only those; one behind other layers is no part of the integers.
    """
    uses = [use for use in graph.uses if type(use.layer) is layers.Rescaling]
    uses = (
        [use for use in uses if use.inputs[0].source is None] if of_inputs else uses[:1]
    )
    is_changed = False
    for use in uses:
        is_changed |= _align(graph, surgery, use)
    return is_changed


def _align(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> bool:
    scale = _plain(use.layer.scale)
    offset = _plain(use.layer.offset)
    if scale.size == 1 and scale > 0 and not offset.any():
        return False
    reader = _reader(graph, surgery, use)
    *places, channels = shape_of(use.inputs[0])[1:]
    where = f'{surgery.where}: Rescaling "{use.layer.name}"'
    scale, offset = (_for_channels(x, channels, where) for x in (scale, offset))
    is_moved = scale.size > 1 or bool(scale <= 0)
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
    config = {**use.layer.get_config(), **use.entry.changes}
    config.update(scale=1.0 if is_moved else float(scale), offset=0.0)
    use.entry = new(layers.Rescaling.from_config(config))
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


def _reader(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> LayerUse:
    """The layer that takes the offset.

    Raises:
        ArgumentError: there is none.
    """
    _pad_by_the_kernel(graph, surgery, use)
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


def _pad_by_the_kernel(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> None:
    """Lets the convolution behind a ZeroPadding2D pad, with a kernel that zeros enlarge.

    One row on either side of an even image is not what "same" padding adds for 3 rows and
    a stride of 2; for 4 rows it is, and the last may be zeros.
    """
    padding = surgery.reads_alone(graph, use)
    if padding is None or type(padding.layer) is not layers.ZeroPadding2D:
        return
    reader = surgery.reads_alone(graph, padding)
    if reader is None or type(reader.layer) is not layers.Conv2D:
        return
    layer, sizes = reader.layer, shape_of(use.outputs[0])[1:3]
    if (
        setting(reader.entry, "padding") != "valid"
        or {layer.data_format, padding.layer.data_format} != {"channels_last"}
        or tuple(layer.dilation_rate) != (1, 1)
        or None in sizes
    ):
        return
    enlarged = []
    for given, size, kernel, stride in zip(
        padding.layer.padding, sizes, layer.kernel_size, layer.strides, strict=True
    ):
        fitting = [
            more
            for more in range(stride)
            if same_padding(size, kernel + more, stride, 1) == tuple(given)
            and -(-size // stride) == (size + sum(given) - kernel) // stride + 1
        ]
        if not fitting:
            return
        enlarged.append(fitting[0])
    kernel = np.asarray(weights_of(reader.entry)["kernel"])
    kernel = np.pad(kernel, [*((0, more) for more in enlarged), (0, 0), (0, 0)])
    give(
        reader.entry,
        {"padding": "same", "kernel_size": kernel.shape[:2]},
        kernel=kernel,
    )
    graph.remove(padding)


def _is_flatten(use: LayerUse | None) -> bool:
    return (
        use is not None
        and type(use.layer) is layers.Flatten
        and use.layer.data_format == "channels_last"
    )


def _take_over(use: LayerUse, scale: np.ndarray | None, offset: np.ndarray) -> None:
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
        scale = np.broadcast_to(scale, own * groups)
        split = split * scale.reshape(groups, own).T[..., None]
    give(use.entry, {"use_bias": True}, kernel=split.reshape(kernel.shape), bias=bias)


def _pad(use: LayerUse, value: np.ndarray) -> None:
    entry = use.entry
    config = {**entry.layer.get_config(), **entry.changes, **common_config(entry)}
    layer = PaddedConv2D.from_config({**config, "padding_value": value.tolist()})
    use.entry = new(layer, **dict(entry.copies))
