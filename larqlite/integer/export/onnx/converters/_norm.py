"""Normalizations: by stored statistics, and by the mean magnitude."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, bias_of, integers_of, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import (
    aligned,
    clipped,
    plus,
    saturated,
    times,
)
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.export.onnx.converters._simple import product_of


@converts(layers.QuantizedBatchNormalization)
def convert_batch_normalization(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`Mul`, saturation, `Add`."""
    probe = layer.in_buffer(x.probe())
    a = tf.math.rsqrt(layer.moving_variance + layer.epsilon)
    if layer.gamma is not None:
        a *= layer.gamma
    b = -a * layer.moving_mean
    if layer.beta is not None:
        b += layer.beta
    a = layer.a_quantizer(a)
    y = times(graph, aligned(graph, x, layer.buffer_bits), integers_of(a), "a")
    y = saturated(graph, y, layer.buffer_bits)
    return plus(graph, y, bias_of(layer.b_quantizer, b, probe * a), "b")


@converts(layers.QuantizedLayerNormalization)
def convert_layer_normalization(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """The sum of magnitudes by `Abs` and `ReduceSum`, then `Div` and `Mul`."""
    bits, channels = layer.buffer_bits, x.shape[-1]
    probe = x.probe()
    x = graph.channels_last(aligned(graph, x, bits))
    gamma = tf.ones(channels) if layer.gamma is None else layer.gamma
    gamma = layer.gamma_quantizer(gamma)
    limit = getattr(gamma, "fp", gamma).limit
    shift = layer._free_bits(limit * channels)
    largest = limit * channels << shift

    total = _magnitudes(graph, x, bits)
    is_proven = total.ends[1] < 2**bits
    total = saturated(graph, total, bits)
    total = graph.as_kind(clipped(graph, total, 1, max(total.ends[1], 1)), "int64")
    dividends = whole(integers_of(gamma)) * (channels << shift)
    dividend = graph.along_channels(dividends, x, "dividend", "int64")
    most = int(np.max(abs(dividends)))
    name = graph.node("Div", [dividend, total.name])
    factor = graph.integers(name, x.shape, "int64", -most, most, False)
    y = product_of(graph, graph.as_kind(x, "int64"), factor)
    if is_proven:
        y = graph.like(y, y.name, low=whole(-largest), high=whole(largest))
    if layer.beta is None:
        return y
    y = saturated(graph, y, bits)
    product = _without_beta(layer, probe)
    return plus(graph, y, bias_of(layer.beta_quantizer, layer.beta, product), "beta")


def _magnitudes(graph: IntegerWriter, x: Integers, bits: int) -> Integers:
    """The sum of |x| over the channels, int64."""
    wide = graph.as_kind(x, "int64")
    most = int(np.max(x.most))
    name = graph.node("Abs", [wide.name])
    magnitude = graph.like(wide, name, low=whole(0), high=whole(most))
    magnitude = clipped(graph, magnitude, 0, 2**bits - 1)
    magnitude = graph.as_kind(magnitude, "int64")
    axes = graph.constant([-1])
    name = graph.node("ReduceSum", [magnitude.name, axes], keepdims=1)
    high = magnitude.ends[1] * x.shape[-1]
    return graph.integers(name, (*x.shape[:-1], 1), "int64", 0, high, False)


def _without_beta(layer, probe):
    """The probe of the normalized input, on which beta is aligned."""
    beta, layer.beta = layer.beta, None
    try:
        return layer.compute(probe)
    finally:
        layer.beta = beta
