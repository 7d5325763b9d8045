"""Upsampling and resizing of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tf_keras

from larqlite.deploy._layout import spatial_shape
from larqlite.deploy._registry import converter, refuse
from larqlite.deploy.converters._padding import sliced

if TYPE_CHECKING:
    from larqlite.deploy._writer import Value, Writer

layers = tf_keras.layers

# What TensorFlow's methods are in ONNX. Repeating whole pixels is all that "nearest"
# and "area" do for a multiple of the size.
METHODS = {
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}
METHODS["area"] = METHODS["nearest"]


@converter(layers.UpSampling1D)
def convert_upsampling_1d(graph: Writer, layer, value: Value) -> Value:
    """Each time step `size` times."""
    return repeated(graph, value, {1: int(layer.size)})


@converter(layers.UpSampling2D, layers.UpSampling3D)
def convert_upsampling(graph: Writer, layer, value: Value) -> Value:
    """`Resize` to a multiple of the size."""
    value = graph.image(value, layer.data_format)
    lengths = [
        length * factor
        for length, factor in zip(spatial_shape(value), layer.size, strict=True)
    ]
    method = getattr(layer, "interpolation", "nearest")
    return resized(graph, layer, value, lengths, method)


@converter(layers.Resizing)
def convert_resizing(graph: Writer, layer, value: Value) -> Value:
    """`Resize` to a height and width."""
    value = graph.channels_first(value)
    lengths = [layer.height, layer.width]
    if layer.crop_to_aspect_ratio and list(spatial_shape(value)) != lengths:
        raise refuse(
            layer,
            graph.path,
            "crop_to_aspect_ratio=True crops and resizes in one step",
            "crop with tf_keras.layers.Cropping2D, then resize without it",
        )
    return resized(graph, layer, value, lengths, layer.interpolation)


@converter(layers.CenterCrop)
def convert_center_crop(graph: Writer, layer, value: Value) -> Value:
    """`Slice`."""
    height, width = value.shape[-3:-1]
    if value.rank != 4 or height < layer.height or width < layer.width:
        raise refuse(
            layer,
            graph.path,
            f"it makes images of {height}x{width} larger, which crops and resizes",
            "resize with tf_keras.layers.Resizing instead",
        )
    ranges = {}
    for axis, wanted in ((1, layer.height), (2, layer.width)):
        start = (value.shape[axis] - wanted) // 2
        ranges[axis] = (start, start + wanted, 1)
    return sliced(graph, value, ranges)


def resized(
    graph: Writer, layer, value: Value, lengths: Sequence[int], method: str
) -> Value:
    """A value that is stored channels first with other sizes in space.

    Raises:
        UnsupportedLayerError: a method that ONNX Runtime does not compute alike.
    """
    space = spatial_shape(value)
    if list(lengths) == list(space):
        return value
    is_multiple = all(new % old == 0 for new, old in zip(lengths, space, strict=True))
    known = METHODS.get(method)
    if known is None or (known["mode"] == "nearest" and not is_multiple):
        raise refuse(
            layer,
            graph.path,
            f'interpolation="{method}" from {space} to {tuple(lengths)} has no exact '
            "twin in ONNX Runtime",
            'interpolation="bilinear", or "nearest" to a multiple of the size',
        )
    stored = (*value.stored_shape[:2], *lengths)
    shape = (stored[0], *lengths, stored[1]) if value.is_moved else stored
    if is_multiple:
        factors = np.floor_divide(lengths, space)
        target = ["", graph.constant(np.array([1, 1, *factors], np.float32))]
    else:
        known = {**known, "axes": list(range(2, value.rank))}
        target = ["", "", graph.constant(list(lengths))]
    name = graph.node("Resize", [value.name, *target], **known)
    levels = value.levels if known["mode"] == "nearest" else None
    return graph.value(name, shape, like=value, levels=levels)


def repeated(graph: Writer, value: Value, factors: dict[int, int]) -> Value:
    """Each number several times along axes of the Keras tensor."""
    scales, shape = np.ones(value.rank, np.float32), list(value.shape)
    for axis, factor in factors.items():
        scales[value.stored_axis(axis)] = factor
        shape[axis] *= factor
    inputs = [value.name, "", graph.constant(scales)]
    name = graph.node("Resize", inputs, **METHODS["nearest"])
    return graph.value(name, tuple(shape), like=value, levels=value.levels)
