"""`BConv2D` and its sisters: convolutions of packed weights, over 1 to 3 axes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from larqlite_runtime.format._attributes import CONVOLUTION, Attribute
from larqlite_runtime.format._operation import Attributes
from larqlite_runtime.format._packed_layer import (
    KINDS,
    LayerOperation,
    QonnxLayers,
    attributes_of,
    body_of,
)

_PAD_VALUE = Attribute("float", "-1, 0 or 1", lambda value: value in (-1, 0, 1), 0.0)

_LINES = """
    kernel = Transpose <perm: ints = {kernel_order}> (w)
    around = Constant <value_ints: ints = @pads> ()
    none = Constant <value_ints: ints = [0, 0]> ()
    begins, ends = Split <axis: int = 0, num_outputs: int = 2> (around)
    amounts = Concat <axis: int = 0> (none, begins, none, ends)
    border = Constant <value_float: float = @pad_value> ()
    padded = Pad <mode: string = "constant"> (x, amounts, border)
    {integers}
    sums = Conv <strides: ints = @strides, dilations: ints = @dilations,
        group: int = @group> (integers, kernel)"""


def windows_of(attributes: Attributes, rank: int) -> dict[str, list[int]]:
    """Strides, dilations and pads, also where a node leaves them out."""
    return {
        name: [int(value) for value in attributes.get(name) or [missing] * count]
        for name, missing, count in (
            ("strides", 1, rank),
            ("dilations", 1, rank),
            ("pads", 0, 2 * rank),
        )
    }


def _sums_of(x: np.ndarray, w: np.ndarray, attributes: Attributes) -> np.ndarray:
    """`(batch, channels_in, *size)` and `(channels_out, *window, channels_in / group)`."""
    rank, groups = x.ndim - 2, int(attributes.get("group", 1))
    given = windows_of(attributes, rank)
    strides, dilations, pads = given["strides"], given["dilations"], given["pads"]
    around = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    border = attributes.get("pad_value", 0.0) * attributes.get("input_steps", 1.0)
    x = np.pad(x, around, constant_values=round(border))
    window = w.shape[1:-1]
    out = [
        (size - dilation * (taps - 1) - 1) // stride + 1
        for size, dilation, taps, stride in zip(
            x.shape[2:], dilations, window, strides, strict=True
        )
    ]
    x = x.reshape(x.shape[0], groups, -1, *x.shape[2:])
    w = w.reshape(groups, -1, *w.shape[1:])
    sums = np.zeros((x.shape[0], groups, w.shape[1], *out), w.dtype)
    for tap in itertools.product(*map(range, window)):
        read = tuple(
            slice(at * dilation, at * dilation + (length - 1) * stride + 1, stride)
            for at, dilation, length, stride in zip(
                tap, dilations, out, strides, strict=True
            )
        )
        weights = w[(slice(None), slice(None), *tap)]
        sums += np.einsum("bgi...,goi->bgo...", x[(..., *read)], weights)
    return sums.reshape(x.shape[0], -1, *out)


def _to_qonnx(graph: QonnxLayers, node: Any) -> None:
    attributes = node.attributes
    source, pad_value = graph.input_of(node)
    rank = len(attributes["weight_shape"])
    kernel = graph.kernel_of(node, (0, rank - 1, *range(1, rank - 1)))
    names = ("strides", "dilations", "group", "pads")
    kept = {name: attributes[name] for name in names if name in attributes}
    kept["kernel_shape"] = list(attributes["weight_shape"][1:-1])
    if pad_value and any(kept["pads"]):
        source = graph.padded(source, kept.pop("pads"), pad_value, node.name)
    graph.add("Conv", [source, kernel], node.name, node.outputs[0], **kept)


def _convolution(kind: str, rank: int) -> LayerOperation:
    name = f"{kind}Conv{rank}D"
    order = [0, rank + 1, *range(1, rank + 1)]
    own = "strides, dilations, group, pads, pad_value, "
    lines = _LINES.replace("{kernel_order}", str(order))
    return LayerOperation(
        name=name,
        kind=kind,
        family="Conv",
        inputs=2,
        uses=("Unpack",),
        attributes={**attributes_of(kind), **CONVOLUTION, "pad_value": _PAD_VALUE},
        sums_of=_sums_of,
        to_qonnx=_to_qonnx,
        body=body_of(kind, name, own, lines, "padded"),
    )


PACKED_CONV = [_convolution(kind, rank) for kind in KINDS for rank in (1, 2, 3)]
