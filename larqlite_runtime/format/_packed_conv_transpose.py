"""`BConvTranspose2D` and its sisters: transposed convolutions of packed weights."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from larqlite_runtime.format._attributes import CONVOLUTION, integer, integers
from larqlite_runtime.format._operation import Attributes
from larqlite_runtime.format._packed_conv import windows_of
from larqlite_runtime.format._packed_layer import (
    KINDS,
    LayerOperation,
    QonnxLayers,
    attributes_of,
    body_of,
)

_LINES = """
    kernel = Transpose <perm: ints = {kernel_order}> (w)
    {integers}
    sums = ConvTranspose <strides: ints = @strides, dilations: ints = @dilations,
        group: int = @group, pads: ints = @pads,
        output_padding: ints = @output_padding> (integers, kernel)"""


def _sums_of(x: np.ndarray, w: np.ndarray, attributes: Attributes) -> np.ndarray:
    """`(batch, channels_in, *size)` and `(channels_out, *window, channels_in)`."""
    rank = x.ndim - 2
    given = windows_of(attributes, rank)
    strides, dilations, pads = given["strides"], given["dilations"], given["pads"]
    more = attributes.get("output_padding") or [0] * rank
    window = w.shape[1:-1]
    whole = [
        (size - 1) * stride + (taps - 1) * dilation + 1 + extra
        for size, stride, taps, dilation, extra in zip(
            x.shape[2:], strides, window, dilations, more, strict=True
        )
    ]
    sums = np.zeros((x.shape[0], w.shape[0], *whole), w.dtype)
    for tap in itertools.product(*map(range, window)):
        written = tuple(
            slice(at * dilation, at * dilation + (size - 1) * stride + 1, stride)
            for at, dilation, size, stride in zip(
                tap, dilations, x.shape[2:], strides, strict=True
            )
        )
        weights = w[(slice(None), *tap)]
        sums[(..., *written)] += np.einsum("bi...,oi->bo...", x, weights)
    kept = (
        slice(begin, length - end)
        for begin, end, length in zip(pads[:rank], pads[rank:], whole, strict=True)
    )
    return sums[(..., *kept)]


def _to_qonnx(graph: QonnxLayers, node: Any) -> None:
    attributes = node.attributes
    source, _ = graph.input_of(node)
    rank = len(attributes["weight_shape"])
    kernel = graph.kernel_of(node, (rank - 1, 0, *range(1, rank - 1)))
    names = ("strides", "dilations", "group", "pads", "output_padding")
    kept = {name: attributes[name] for name in names if name in attributes}
    kept["kernel_shape"] = list(attributes["weight_shape"][1:-1])
    graph.add("ConvTranspose", [source, kernel], node.name, node.outputs[0], **kept)


def _convolution(kind: str, rank: int) -> LayerOperation:
    name = f"{kind}ConvTranspose{rank}D"
    order = [rank + 1, 0, *range(1, rank + 1)]
    own = "strides, dilations, group, pads, output_padding, "
    lines = _LINES.replace("{kernel_order}", str(order))
    only_one_group = {"group": integer(1, 1, 1), "output_padding": integers(0)}
    return LayerOperation(
        name=name,
        kind=kind,
        family="ConvTranspose",
        inputs=2,
        uses=("Unpack",),
        attributes={**attributes_of(kind), **CONVOLUTION, **only_one_group},
        sums_of=_sums_of,
        to_qonnx=_to_qonnx,
        body=body_of(kind, name, own, lines, "x"),
    )


PACKED_CONV_TRANSPOSE = [
    _convolution(kind, rank) for kind in KINDS for rank in (1, 2, 3)
]
