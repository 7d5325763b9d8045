"""Upsampling and resizing of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._shape import sliced
from larqlite.onnx_graph import refuse, spatial_shape

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

layers = tf_keras.layers

# What TensorFlow's methods are in ONNX where the new size is a multiple of the old one.
METHODS = {
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


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
    return resized(graph, value, lengths, method)


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
    return resized(graph, value, lengths, layer.interpolation)


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
    graph: Writer,
    value: Value,
    lengths: Sequence[int],
    method: str,
    antialias: bool = False,
) -> Value:
    """A value that is stored channels first with other sizes in space.

    `Resize` to a multiple of the size; else a `MatMul` for each axis, since resizing is
    linear, with the weights that TensorFlow uses.

    Args:
        graph: the graph.
        value: images, or volumes that are repeated.
        lengths: the new sizes in space.
        method: one of `tf.image.ResizeMethod`.
        antialias: as in `tf.image.resize`.
    """
    space = spatial_shape(value)
    if list(lengths) == list(space) and method in METHODS:
        return value
    is_multiple = all(new % old == 0 for new, old in zip(lengths, space, strict=True))
    levels = value.levels if method == "nearest" else None
    if is_multiple and method in METHODS:
        factors = np.floor_divide(lengths, space)
        scales = graph.constant(np.array([1, 1, *factors], np.float32))
        name = graph.node("Resize", [value.name, "", scales], **METHODS[method])
        return _with_space(graph, name, value, lengths).with_levels(levels)
    rows, columns = (
        _weights(old, new, method, antialias)
        for old, new in zip(space, lengths, strict=True)
    )
    name = graph.node("MatMul", [graph.constant(rows), value.name])
    value = _with_space(graph, name, value, [lengths[0], space[1]])
    name = graph.node("MatMul", [value.name, graph.constant(columns.T)])
    return _with_space(graph, name, value, lengths).with_levels(levels)


def _weights(old: int, new: int, method: str, antialias: bool) -> np.ndarray:
    """`(new, old)`: how much of each pixel of a column is in each pixel of the new one."""
    pixels = np.eye(old, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    columns = tf.image.resize(pixels, (new, 1), method, antialias=antialias)
    return columns.numpy()[..., 0, 0].T


def _with_space(
    graph: Writer, name: str, value: Value, lengths: Sequence[int]
) -> Value:
    """A value like another one, but of other sizes in space."""
    stored = (*value.stored_shape[:2], *lengths)
    shape = (stored[0], *lengths, stored[1]) if value.is_moved else stored
    return graph.value(name, shape, like=value)


def repeated(graph: Writer, value: Value, factors: dict[int, int]) -> Value:
    """Each number several times along axes of the Keras tensor."""
    scales, shape = np.ones(value.rank, np.float32), list(value.shape)
    for axis, factor in factors.items():
        scales[value.stored_axis(axis)] = factor
        shape[axis] *= factor
    inputs = [value.name, "", graph.constant(scales)]
    name = graph.node("Resize", inputs, **METHODS["nearest"])
    return graph.value(name, tuple(shape), like=value, levels=value.levels)
