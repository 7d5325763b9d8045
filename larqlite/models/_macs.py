"""Formulas: the multiply-accumulates of one use of a layer, for one sample.

A formula takes a `Call` and yields products `(count, weight bits, input bits)`.
Additions of biases, elementwise products, normalizations and pooling count 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.models._bits import weight_bits
from larqlite.models._call import (
    FLOAT_BITS,
    Call,
    Shape,
    TensorProfile,
    UnknownCost,
    count,
    size,
)

Product = tuple[int, int, int]
Formula = Callable[[Call], Iterable[Product]]


def no_macs(call: Call) -> Iterator[Product]:
    """Nothing is multiplied and accumulated."""
    return iter(())


def dense(call: Call) -> Iterator[Product]:
    """Every weight once per position, where all axes but the last are positions."""
    yield _used(call.layer.kernel, call, times=size(call.output_shape[1:-1]))


def convolution(call: Call) -> Iterator[Product]:
    """Every weight once per output position (so groups count by themselves)."""
    yield _used(
        call.layer.kernel, call, times=_positions(call.output_shape, call.layer)
    )


def depthwise_convolution(call: Call) -> Iterator[Product]:
    """Every weight once per output position."""
    kernel = call.layer.depthwise_kernel
    yield _used(kernel, call, times=_positions(call.output_shape, call.layer))


def separable_convolution(call: Call) -> Iterator[Product]:
    """A depthwise convolution, then a pointwise one on its sums.

    The input quantizer does not reach the second: its input is a sum of
    products, which no quantizer makes narrow again.
    """
    layer, positions = call.layer, _positions(call.output_shape, call.layer)
    yield _used(layer.depthwise_kernel, call, times=positions)
    yield _used(layer.pointwise_kernel, call, times=positions, input_bits=FLOAT_BITS)


def transposed_convolution(call: Call) -> Iterator[Product]:
    """Every weight once per input position."""
    yield _used(call.layer.kernel, call, times=_positions(call.input_shape, call.layer))


def locally_connected(call: Call) -> Iterator[Product]:
    """Every weight once; the dense form of implementation 2 stores unused ones too."""
    layer = call.layer
    kernel_bits = weight_bits(layer.kernel)
    if layer.implementation != 2:
        yield count(layer.kernel), kernel_bits, call.input_bits
        return
    channels = call.input_shape[1 if layer.data_format == "channels_first" else -1]
    used = int(tf.math.count_nonzero(layer.kernel_mask))
    yield size((used, channels, layer.filters)), kernel_bits, call.input_bits


def einsum_dense(call: Call) -> Iterator[Product]:
    """One product per combination of all the indices of the equation."""
    kernel = call.layer.kernel
    shapes = call.input_shape, tuple(kernel.shape.as_list())
    macs = einsum(call.layer.equation, shapes)
    yield macs, weight_bits(kernel), call.input_bits


def recurrent(call: Call) -> Iterator[Product]:
    """Input and recurrent kernels once per time step, for each cell of the stack."""
    layer, shape = call.layer, call.input_shape
    steps = size([shape[0 if getattr(layer, "time_major", False) else 1]])
    bits = call.input_bits
    for cell in getattr(layer.cell, "cells", [layer.cell]):
        if not isinstance(cell, _COUNTED_CELLS):
            raise UnknownCost(f"no formula for the cell {type(cell).__name__}")
        yield steps * count(cell.kernel), weight_bits(cell.kernel), bits
        yield (
            steps * count(cell.recurrent_kernel),
            weight_bits(cell.recurrent_kernel),
            FLOAT_BITS,
        )
        bits = FLOAT_BITS


def convolutional_recurrent(call: Call) -> Iterator[Product]:
    """Input and recurrent kernels once per output position and time step."""
    layer, steps = call.layer, size([call.input_shape[1]])
    frame = call.output_shape
    if layer.return_sequences:
        frame = (frame[0], *frame[2:])
    times = steps * _positions(frame, layer)
    yield _used(layer.cell.kernel, call, times)
    yield _used(layer.cell.recurrent_kernel, call, times, input_bits=FLOAT_BITS)


def dot(call: Call) -> Iterator[Product]:
    """One product per element of the output and of the axis that is summed."""
    axes = call.layer.axes
    axis = axes if isinstance(axes, int) else axes[0]
    summed = size([call.input_shape[axis]])
    left, right = call.inputs[:2]
    yield _of_activations(size(call.output_shape[1:]) * summed, left, right)


def attention(call: Call) -> Iterator[Product]:
    """Scores `queries x keys x depth`, then values `queries x keys x value depth`."""
    query, value, *rest = call.inputs[:3]
    key = rest[0] if rest else value
    return dot_product_attention(query, key, value)


def dot_product_attention(
    query: TensorProfile,
    key: TensorProfile,
    value: TensorProfile,
    scores: TensorProfile | None = None,
) -> Iterator[Product]:
    """Products of queries with keys, and of their softmax with values, over all heads."""
    pairs = size(query.shape[1:-1]) * size([value.shape[-2]])
    yield _of_activations(pairs * size([query.shape[-1]]), query, key)
    scores = TensorProfile(None) if scores is None else scores
    yield _of_activations(pairs * size([value.shape[-1]]), scores, value)


def multi_head_attention(call: Call) -> Iterator[Product]:
    """Four projections, and per head the scores and the weighted sum of values."""
    layer, config = call.layer, call.layer.get_config()
    query, value = call.argument("query").shape, call.argument("value").shape
    key = call.argument("key")
    key = value if key is None else key.shape
    queries, keys = size(query[1:-1]), size(key[1:-1])
    axes = config["attention_axes"] or range(1, len(query) - 1)
    attended = size(value[axis] for axis in axes)
    sizes = {"query": queries, "key": keys, "value": size(value[1:-1])}
    for part in layer.submodules:
        if isinstance(part, tf_keras.layers.EinsumDense):
            is_output = part.name == "attention_output"
            bits = FLOAT_BITS if is_output else call.input_bits
            times = queries if is_output else sizes[part.name]
            yield times * count(part.kernel), weight_bits(part.kernel), bits
    pairs = config["num_heads"] * queries * attended
    yield pairs * config["key_dim"], FLOAT_BITS, FLOAT_BITS
    yield pairs * (config["value_dim"] or config["key_dim"]), FLOAT_BITS, FLOAT_BITS


def einsum(equation: str, shapes: Sequence[Shape]) -> int:
    """Products of an einsum over shapes whose first one has the batch axis first.

    Args:
        equation: as `tf.einsum` takes it, with an arrow.
        shapes: one per operand.

    Returns:
        The product of the sizes of all indices but the batch.

    Raises:
        UnknownCost: a size is open.

    Example:
        >>> from larqlite.models._macs import einsum
        >>> einsum("...x,xy->...y", [(None, 7, 3), (3, 5)])
        105
    """
    operands = equation.replace(" ", "").partition("->")[0].split(",")
    named = [
        _indices(op, len(shape)) for op, shape in zip(operands, shapes, strict=True)
    ]
    sizes: dict[str, int | None] = {}
    for indices, shape in zip(named, shapes, strict=True):
        for index, length in zip(indices, shape, strict=True):
            sizes[index] = sizes.get(index) or length
    batch = named[0][0]
    return size(length for index, length in sizes.items() if index != batch)


def _indices(operand: str, rank: int) -> list[str]:
    """Names of an operand's axes; those under an ellipsis are counted from the right."""
    before, dots, after = operand.partition("...")
    hidden = rank - len(before) - len(after) if dots else 0
    return [*before, *(f"...{i}" for i in range(hidden, 0, -1)), *after]


def _positions(shape: Shape, layer: tf_keras.layers.Layer) -> int:
    """Number of pixels of a feature map."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return size(shape[2:] if first else shape[1:-1])


def _used(
    kernel: Any, call: Call, times: int, input_bits: int | None = None
) -> Product:
    bits = call.input_bits if input_bits is None else input_bits
    return times * count(kernel), weight_bits(kernel, call.layer), bits


def _of_activations(macs: int, *operands: TensorProfile) -> Product:
    """Products of two activations: each side has its own precision."""
    left, right = (FLOAT_BITS if v.bits is None else v.bits for v in operands)
    return macs, right, left


_COUNTED_CELLS = (
    tf_keras.layers.SimpleRNNCell,
    tf_keras.layers.GRUCell,
    tf_keras.layers.LSTMCell,
)
