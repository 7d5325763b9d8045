"""Shiftmax and the softmax made of it: powers of two, their sum, its logarithm."""

from __future__ import annotations

import math

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, TensorQParams, whole
from larqlite.integer.export._writer import IntegerWriter, onnx_kind
from larqlite.integer.export.onnx._arithmetic import aligned, rounded, saturated, times
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.layers.internal import exponent_precision, log2e_factor
from larqlite.integer.tensors.internal import MAX_VALUE_BITS


@converts(layers.QuantizedShiftmax)
def convert_shiftmax(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`BitShift`s and sums of integers along the last axis."""
    return shiftmax(graph, layer, x, -1, **layer.quant_config)


@converts(layers.QuantizedSoftmax)
def convert_softmax(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """A multiplication by log2(e), then the shiftmax."""
    settings = dict(layer.quant_config)
    bits = settings.pop("log2e_bits")
    if bits:
        qparams = x.qparams
        x = aligned(graph, x, layer.buffer_bits)
        frac_bits = np.max(qparams.frac_bits) + bits
        x = times(graph, x, log2e_factor(bits), "log2e")
        x = saturated(graph, x, layer.buffer_bits)
        new = TensorQParams(layer.buffer_bits, 2**layer.buffer_bits, frac_bits)
        x = graph.like(x, x.name, qparams=new)
    return shiftmax(graph, layer, x, layer.axis, **settings)


def shiftmax(
    graph: IntegerWriter,
    layer,
    x: Integers,
    axis,
    exp_bitwidth: int,
    buffer_bitwidth: int,
) -> Integers:
    """The shiftmax, along one axis or several, of integers that stand for known numbers."""
    qparams = x.qparams
    x = graph.channels_last(
        aligned(graph, x, max(buffer_bitwidth - 1, qparams.value_bits))
    )
    axes = [a % x.rank for a in (axis if isinstance(axis, (list, tuple)) else [axis])]
    sizes = [x.shape[a] for a in axes]
    precision = exponent_precision(sizes, exp_bitwidth, buffer_bitwidth, layer.where)
    y = rounded(
        graph,
        x,
        whole(1),
        whole(-int(np.max(qparams.frac_bits))),
        MAX_VALUE_BITS,
        half=False,
    )
    y = graph.as_kind(y, "int64")
    over = graph.constant(axes)
    largest = graph.node("ReduceMax", [y.name, over], keepdims=1)
    below = graph.node("Sub", [y.name, largest])
    exponent = graph.node("Max", [below, _int64(graph, -precision - 1)])
    terms = _power(graph, exponent, precision)
    total = graph.node("ReduceSum", [terms, over], keepdims=1)
    most = math.prod(sizes) << precision
    shift = _round_log2(graph, total, most)
    places = graph.node("Sub", [exponent, shift])
    codes = _power(graph, places, exp_bitwidth + precision)
    name = graph.node("Cast", [codes], to=onnx_kind("int32"))
    return graph.integers(name, x.shape, "int32", 0, 2**exp_bitwidth, False)


def _power(graph: IntegerWriter, exponent: str, places: int) -> str:
    """`floor(2^(exponent + places))`, int64, of exponents below 60 - places."""
    place = graph.node("Add", [exponent, _int64(graph, places + 1)])
    place = graph.node("Max", [place, _int64(graph, 0)])
    place = graph.node("Cast", [place], to=onnx_kind("uint64"))
    one = graph.stored(np.uint64(1), "one")
    twice = graph.node("BitShift", [one, place], direction="LEFT")
    power = graph.node("BitShift", [twice, one], direction="RIGHT")
    return graph.node("Cast", [power], to=onnx_kind("int64"))


def _round_log2(graph: IntegerWriter, total: str, most: int) -> str:
    """`round(log2(total))`: how many of the powers of two less half a step it reaches."""
    steps = range(1, most.bit_length() + 1)
    reached = np.array([math.isqrt(1 << 2 * k - 1) + 1 for k in steps], np.int64)
    last = graph.constant([-1])
    column = graph.node("Unsqueeze", [total, last])
    is_reached = graph.node(
        "GreaterOrEqual", [column, graph.stored(reached, "roots_of_powers")]
    )
    counts = graph.node("Cast", [is_reached], to=onnx_kind("int64"))
    return graph.node("ReduceSum", [counts, last], keepdims=0)


def _int64(graph: IntegerWriter, number: int) -> str:
    return graph.stored(np.int64(number), str(number))
