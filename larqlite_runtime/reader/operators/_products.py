"""Float convolutions and matrix products: sizes, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from larqlite_runtime._errors import shape_text
from larqlite_runtime._graph import Shape
from larqlite_runtime.format import (
    CONVOLUTION,
    flag,
    integers,
    number,
    only,
)
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)

FLOAT_BYTES = 4


def window_sizes(
    call: NodeCall,
    spatial: Sequence[int],
    kernel: Sequence[int],
    dilations: Sequence[int] | None = None,
) -> list[int]:
    """What a sliding window leaves of each axis; it must fit at least once.

    Args:
        call: the node.
        spatial, kernel: sizes of its image and of its window.
        dilations: of the window; those of the node by default.
    """
    rank = len(spatial)
    strides = call.windows("strides", rank, 1)
    dilations = dilations or call.windows("dilations", rank, 1)
    pads = call.windows("pads", 2 * rank, 0)
    result = []
    for axis, length in enumerate(spatial):
        padded = length + pads[axis] + pads[axis + rank]
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        if extent > padded:
            call.fail(
                f"the kernel {list(kernel)} with dilations {dilations} is larger than "
                f"its padded input {list(spatial)} with pads {pads}"
            )
        result.append((padded - extent) // strides[axis] + 1)
    return result


def transposed_sizes(
    call: NodeCall, spatial: Sequence[int], kernel: Sequence[int]
) -> list[int]:
    """What a transposed convolution makes of each axis."""
    rank = len(spatial)
    strides = call.windows("strides", rank, 1)
    dilations = call.windows("dilations", rank, 1)
    pads = call.windows("pads", 2 * rank, 0)
    added = call.windows("output_padding", rank, 0)
    result = []
    for axis, length in enumerate(spatial):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        if added[axis] >= strides[axis]:
            call.fail(f"output_padding {added} must be smaller than strides {strides}")
        full = (length - 1) * strides[axis] + extent
        out = full - pads[axis] - pads[axis + rank] + added[axis]
        if out < 1 or max(pads[axis], pads[axis + rank]) >= full:
            call.fail(f"pads {pads} cut off all of what comes out")
        result.append(out)
    return result


def count_convolution(
    call: NodeCall,
    image: Shape,
    kernel: Sequence[int],
    out: Sequence[int],
    weights: int,
) -> None:
    """Notes products and scratch memory.

    Args:
        call: the node.
        image: `(batch, channels, ...)`, what the kernel is laid on.
        kernel: sizes of the window.
        out: sizes of what it leaves.
        weights: values of the whole kernel.
    """
    rank = len(kernel)
    pads = call.attribute("pads")
    padded = [n + pads[i] + pads[i + rank] for i, n in enumerate(image[2:])]
    call.macs = weights * math.prod(out)
    columns = size(image[:2]) * math.prod(kernel) * math.prod(out)
    call.scratch = FLOAT_BYTES * (columns + size(image[:2]) * math.prod(padded))


def _kernel(call: NodeCall, shape: Shape) -> list[int]:
    """Sizes of the window; of the attribute too, if there is one."""
    weights = call.shape(1)
    if call.has_batch(1) or len(weights) != len(shape):
        call.fail(
            f"the kernel {shape_text(weights)} does not fit the input "
            f"{shape_text(shape)}"
        )
    kernel = list(weights[2:])
    if call.attribute("kernel_shape") not in (None, kernel):
        call.fail(
            f"kernel_shape {call.attribute('kernel_shape')} is not that of the kernel "
            f"{shape_text(weights)}"
        )
    call.node.attributes["kernel_shape"] = kernel
    return kernel


def _require_bias(call: NodeCall, channels: int) -> None:
    if call.has(2) and call.shape(2) != (channels,):
        call.fail(f"the bias {shape_text(call.shape(2))} is not ({channels},)")


def _convolution(call: NodeCall) -> Results:
    shape = call.float_image()
    dtype = call.same_dtype(call.given, "f")
    kernel = _kernel(call, shape)
    channels, per_group = call.shape(1)[:2]
    group = call.attribute("group")
    if shape[1] != per_group * group or channels % group:
        call.fail(
            f"the kernel {shape_text(call.shape(1))} with group {group} does not fit the "
            f"input {shape_text(shape)}"
        )
    _require_bias(call, channels)
    out = window_sizes(call, shape[2:], kernel)
    count_convolution(call, shape, kernel, out, size(call.shape(1)))
    return [((None, channels, *out), dtype)]


def _transposed_convolution(call: NodeCall) -> Results:
    shape = call.float_image()
    dtype = call.same_dtype(call.given, "f")
    kernel = _kernel(call, shape)
    inputs, per_group = call.shape(1)[:2]
    group = call.attribute("group")
    if shape[1] != inputs or inputs % group:
        call.fail(
            f"the kernel {shape_text(call.shape(1))} with group {group} does not fit the "
            f"input {shape_text(shape)}"
        )
    channels = per_group * group
    _require_bias(call, channels)
    out = transposed_sizes(call, shape[2:], kernel)
    count_convolution(
        call, (None, channels, *out), kernel, shape[2:], size(call.shape(1))
    )
    return [((None, channels, *out), dtype)]


def _matrix_product(call: NodeCall) -> Results:
    dtype = call.same_dtype([0, 1], "f")
    left, right = call.shape(0), call.shape(1)
    text = f"{shape_text(left)} and {shape_text(right)} have no matrix product"
    call.require(min(len(left), len(right)) >= 2, text)
    call.require(left[-1] == right[-2] and None not in right[-2:], text)
    outer = call.broadcast(left[:-2], right[:-2])
    # The batch may be the rows of the left one, if nothing else comes before them.
    call.require(left[-2] is not None or not outer, text)
    shape = (*outer, left[-2], right[-1])
    call.macs = size(shape) * left[-1]
    return [(shape, dtype)]


def _gemm(call: NodeCall) -> Results:
    dtype = call.same_dtype(call.given, "f")
    left, right = call.shape(0), call.shape(1)
    text = f"{shape_text(left)} and {shape_text(right)} have no matrix product"
    call.require(len(left) == len(right) == 2 and right[0] is not None, text)
    if call.attribute("transB"):
        right = right[::-1]
    call.require(left[1] == right[0], text)
    shape = (left[0], right[1])
    if call.has(2) and call.broadcast(shape, call.shape(2)) != shape:
        call.fail(
            f"the bias {shape_text(call.shape(2))} does not fit {shape_text(shape)}"
        )
    call.macs = size(shape) * left[1]
    return [(shape, dtype)]


_FLOAT_CONVOLUTION = {
    **CONVOLUTION,
    "kernel_shape": integers(1),
    "auto_pad": only("NOTSET"),
}
TABLE: dict[str, Operator] = {
    "Conv": Operator(_convolution, (2, 3), _FLOAT_CONVOLUTION),
    "ConvTranspose": Operator(
        _transposed_convolution,
        (2, 3),
        {**_FLOAT_CONVOLUTION, "output_padding": integers(0)},
    ),
    "MatMul": Operator(_matrix_product, (2, 2)),
    "Gemm": Operator(
        _gemm,
        (2, 3),
        {
            "alpha": number(1.0),
            "beta": number(1.0),
            "transA": only(0),
            "transB": flag(),
        },
    ),
}
