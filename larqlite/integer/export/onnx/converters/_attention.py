"""Attention: two matrix products of integers around a shiftmax."""

from __future__ import annotations

import math

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, TensorQParams, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import aligned, requantized, saturated
from larqlite.integer.export.onnx._integer_converters import converts, gated
from larqlite.integer.export.onnx._products import dense, matmul
from larqlite.integer.export.onnx.converters._shiftmax import shiftmax
from larqlite.integer.layers.internal import bits_of_root


@converts(layers.QuantizedAttention, is_whole=True)
def convert_attention(graph: IntegerWriter, layer, inputs) -> list[Integers]:
    """`IntMatMul`, the shiftmax, `IntMatMul`; the output and the mask."""
    inputs = [gated(graph, x) for x in inputs]
    qparams_of_both = [
        TensorQParams.of(x) for x in layer.compute([x.probe() for x in inputs])
    ]
    bits = layer.buffer_bits
    frac_bits = sum(int(np.max(x.qparams.frac_bits)) for x in inputs[:2])
    query, key, value = (_heads(graph, layer, aligned(graph, x, bits)) for x in inputs)
    across = graph.node("Transpose", [key.name], perm=[0, 1, 3, 2])
    key = graph.like(key, across, shape=(*key.shape[:2], key.shape[3], key.shape[2]))
    name, kind, most = matmul(graph, query, key)
    shape = (*query.shape[:3], key.shape[3])
    scores = graph.integers(name, shape, kind, -most, most, False)
    scores = saturated(graph, scores, bits)
    frac_bits = np.int32(frac_bits + bits_of_root(layer.dim))
    scores = graph.like(
        scores, scores.name, qparams=TensorQParams(bits, 2**bits, frac_bits)
    )
    mask = shiftmax(graph, layer, scores, -1, **layer.softmax_op.quant_config)

    # A row of the mask adds up to no more than the root of two.
    row = math.isqrt(2 * mask.ends[1] ** 2) + 1
    most = row * int(np.max(value.most))
    name, kind = dense(graph, mask, value.name, most)
    y = graph.integers(name, (*mask.shape[:3], layer.dim), kind, -most, most, False)
    y = saturated(graph, _merged(graph, layer, y), bits)
    y = graph.like(y, y.name, qparams=qparams_of_both[0])
    if layer.out_quantizer is not None:
        y = requantized(graph, y, layer.out_quantizer)
    return [y, graph.like(mask, mask.name, qparams=qparams_of_both[1])]


def _heads(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`(batch, tokens, hidden)` as `(batch, num_heads, tokens, dim)`."""
    x = graph.channels_last(x)
    low, high = x.ends
    sizes = graph.constant([-1, x.shape[1], layer.num_heads, layer.dim])
    name = graph.node("Reshape", [x.name, sizes])
    name = graph.node("Transpose", [name], perm=[0, 2, 1, 3])
    shape = (None, layer.num_heads, x.shape[1], layer.dim)
    return graph.like(x, name, shape=shape, low=whole(low), high=whole(high))


def _merged(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`(batch, num_heads, tokens, dim)` as `(batch, tokens, hidden)`."""
    name = graph.node("Transpose", [x.name], perm=[0, 2, 1, 3])
    hidden = layer.num_heads * layer.dim
    sizes = graph.constant([-1, x.shape[2], hidden])
    name = graph.node("Reshape", [name, sizes])
    return graph.like(x, name, shape=(None, x.shape[2], hidden))
