"""TensorFlow functions on images, used as layers: pooling, resizing, blocks of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from larqlite.deploy.converters._elementwise import elementwise
from larqlite.deploy.converters._operator import first, integers, tensorflow
from larqlite.deploy.converters._pool import pooled
from larqlite.deploy.converters._upsample import resized
from larqlite.onnx_graph import refuse

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

POOLING = {
    "nn.max_pool1d": ("MaxPool", 1),
    "nn.max_pool2d": ("MaxPool", 2),
    "nn.max_pool3d": ("MaxPool", 3),
    "nn.avg_pool1d": ("AveragePool", 1),
    "nn.avg_pool2d": ("AveragePool", 2),
    "nn.avg_pool3d": ("AveragePool", 3),
}


def _register_pooling(symbol: str, op: str, rank: int) -> None:
    @tensorflow(symbol)
    def convert(graph: Writer, layer, call) -> Value:
        if not isinstance(call.padding, str):
            raise refuse(
                layer,
                graph.path,
                f"padding={call.padding!r}",
                'pad with tf.pad before, and padding="VALID"',
            )
        is_first = str(call.data_format).startswith("NC")
        data_format = "channels_first" if is_first else "channels_last"
        size, strides = (
            _of_window(integers(graph, layer, numbers, "window"), rank, is_first)
            for numbers in (call.ksize, call.strides)
        )
        value = first(call)
        return pooled(graph, value, op, size, strides, call.padding, data_format)


for _symbol, (_op, _rank) in POOLING.items():
    _register_pooling(_symbol, _op, _rank)


def _of_window(numbers: list[int], rank: int, is_first: bool) -> list[int]:
    """One number for each axis of space, of the forms that TensorFlow takes."""
    if len(numbers) == 1:
        return numbers * rank
    if len(numbers) == rank:
        return numbers
    return numbers[2:] if is_first else numbers[1:-1]


@tensorflow("nn.bias_add")
def convert_bias_add(graph: Writer, layer, call) -> Value:
    """`Add` of one number for each channel."""
    bias = np.asarray(call.bias, np.float32)
    if str(call.data_format).startswith("NC"):
        bias = bias.reshape((-1, *[1] * (call.value.rank - 2)))
    return elementwise(graph, layer, "Add", [call.value, bias])


def _register_blocks(symbol: str, op: str) -> None:
    @tensorflow(symbol)
    def convert(graph: Writer, layer, call) -> Value:
        is_first = call.data_format == "NCHW"
        data_format = "channels_first" if is_first else "channels_last"
        value = graph.image(call.input, data_format)
        block = int(call.block_size)
        _, channels, height, width = value.stored_shape
        if op == "DepthToSpace":
            stored = (channels // block**2, height * block, width * block)
            name = graph.node(op, [value.name], blocksize=block, mode="DCR")
        else:
            stored = (channels * block**2, height // block, width // block)
            name = graph.node(op, [value.name], blocksize=block)
        shape = stored if is_first else (*stored[1:], stored[0])
        return graph.value(name, (None, *shape), like=value, levels=value.levels)


for _symbol, _op in {
    "nn.depth_to_space": "DepthToSpace",
    "nn.space_to_depth": "SpaceToDepth",
}.items():
    _register_blocks(_symbol, _op)


@tensorflow("image.resize")
def convert_resize(graph: Writer, layer, call) -> Value:
    """`Resize`."""
    if call.preserve_aspect_ratio or call.images.rank != 4:
        raise refuse(
            layer,
            graph.path,
            "it keeps the aspect ratio, or resizes a single image",
            "preserve_aspect_ratio=False, on tensors (batch, height, width, channels)",
        )
    sizes = integers(graph, layer, call.size, "size")
    value = graph.channels_first(call.images)
    method = str(getattr(call.method, "value", call.method))
    return resized(graph, value, sizes, method, bool(call.antialias))
