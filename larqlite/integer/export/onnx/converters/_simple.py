"""Layers that compute element by element: ReLU, sums, products, rescaling, the way out."""

from __future__ import annotations

import functools

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, integers_of, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import (
    clipped,
    saturated,
    shifted_left,
    wide,
)
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.onnx_graph import Value, in_one_order
from larqlite.primitives import float_type


@converts(layers.QuantizedRescaling, layers.QuantizedDropout)
def convert_identity(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """Nothing: the integers stay."""
    return x


@converts(layers.QuantizedReLU)
def convert_relu(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntClip` from 0 to the largest value."""
    largest = x.ends[1] if layer.max_value is None else _largest(layer, x)
    return clipped(graph, x, 0, np.maximum(whole(largest), 0))


def _largest(layer, x: Integers) -> np.ndarray:
    probe = layer.in_buffer(x.probe(), layer.quant_config["buffer_bitwidth"])
    return whole(integers_of(layer.max_value_quantizer(layer.max_value, probe)))


@converts(layers.QuantizedAdd)
def convert_add(graph: IntegerWriter, layer, values: list[Integers]) -> Integers:
    """Shifts to the left, and sums, each of which saturates."""
    probes = [x.probe() for x in values]
    bits = max(layer.buffer_bits, *(x.value_bits for x in probes))
    frac_bits = functools.reduce(
        np.maximum, [whole(x.qparams.frac_bits) for x in values]
    )
    total = None
    for x in in_one_order(graph, values):
        part = shifted_left(graph, x, frac_bits - x.qparams.frac_bits, bits)
        total = (
            part
            if total is None
            else saturated(graph, sum_of(graph, total, part), bits)
        )
    return total


@converts(layers.QuantizedMultiply)
def convert_multiply(graph: IntegerWriter, layer, values: list[Integers]) -> Integers:
    """Products, each of which saturates."""
    bits = max(layer.buffer_bits, *(x.qparams.value_bits for x in values))
    if len({x.rank for x in values}) > 1:
        raise graph.refusal(
            "its inputs are of several ranks",
            "Reshape layers that make them of one rank",
        )
    first, *others = in_one_order(graph, values)
    return functools.reduce(
        lambda a, b: saturated(graph, product_of(graph, a, b), bits), others, first
    )


@converts(layers.Dequantizer, is_whole=True)
def convert_dequantizer(graph: IntegerWriter, layer, inputs):
    """`IntDequantize` of each input: the integers times a power of two and a scale."""
    if isinstance(inputs, (list, tuple)):
        return [dequantized(graph, x) for x in inputs]
    return dequantized(graph, inputs)


def dequantized(graph: IntegerWriter, x: Value) -> Value:
    """The float32 numbers that integers stand for."""
    if not isinstance(x, Integers) or x.qparams is None:
        return x
    qparams = x.qparams
    through = float_type(qparams.limit)
    unit = np.exp2(-qparams.frac_bits.astype(np.float64)).astype(through)
    scale = np.float32(1) if qparams.scales is None else qparams.scales
    names = [
        graph.stored(x.per_channel(array), name)
        for array, name in ((unit, "unit"), (scale, "scale"))
    ]
    name = graph.function("IntDequantize", [x.name, *names], through=through)
    return graph.value(name, x.shape, is_moved=x.is_moved)


def sum_of(graph: IntegerWriter, a: Integers, b: Integers) -> Integers:
    """The sum of two tensors of the same order."""
    return _of_two(graph, "Add", a, b, a.low + b.low, a.high + b.high)


def product_of(graph: IntegerWriter, a: Integers, b: Integers) -> Integers:
    """The product of two tensors of the same order."""
    ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    low, high = functools.reduce(np.minimum, ends), functools.reduce(np.maximum, ends)
    return _of_two(graph, "Mul", a, b, low, high)


def _of_two(graph: IntegerWriter, op: str, a, b, low, high) -> Integers:
    low, high = whole(low), whole(high)
    a, b = wide(graph, a, low, high), wide(graph, b, low, high)
    if a.kind != b.kind:
        a, b = graph.as_kind(a, "int64"), graph.as_kind(b, "int64")
    shape = (None, *np.broadcast_shapes(a.shape[1:], b.shape[1:]))
    name = graph.node(op, [a.name, b.name])
    return graph.like(a, name, shape=shape, low=low, high=high)
