"""Which function writes which integer layer, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from larqlite._registration import Registry
from larqlite.integer.export._integers import (
    Integers,
    Meaning,
    integers_of,
    whole,
)
from larqlite.integer.export._writer import IntegerWriter, onnx_kind
from larqlite.integer.export.onnx._arithmetic import clipped, requantized, saturated
from larqlite.integer.tensors import QTensor
from larqlite.onnx_graph import Value

CONVERTERS: dict[type, tuple[Callable, bool]] = Registry()


def converts(*classes: type, is_whole: bool = False) -> Callable:
    """Decorator: the function writes layers of these classes, matched exactly.

    The function takes the graph, the layer and its inputs as `Integers`, writes what the
    layer's `compute` does, and returns `Integers`. What they stand for, saturation at the
    end and the output quantizer come by themselves.

    Args:
        *classes: of integer layers.
        is_whole: whether the function does all of that itself.
    """

    def decorator(function: Callable) -> Callable:
        CONVERTERS.update(dict.fromkeys(classes, (function, is_whole)))
        return function

    return decorator


def convert(graph: IntegerWriter, layer: Any, inputs: Any) -> Any:
    """Writes a layer.

    Args:
        graph: the graph, whose `path` is that of the layer.
        layer: an integer layer.
        inputs: its input, or a list of them.

    Returns:
        Its output, or a list of them.
    """
    function, is_whole = CONVERTERS[type(layer)]
    if is_whole:
        return function(graph, layer, inputs)
    inputs = tf.nest.map_structure(lambda x: gated(graph, x), inputs)
    probes = tf.nest.map_structure(Integers.probe, inputs)
    meaning = Meaning.of(layer.compute(probes))
    return finished(graph, layer, function(graph, layer, inputs), meaning)


def finished(graph: IntegerWriter, layer, x: Integers, meaning: Meaning) -> Integers:
    """What a layer computed, saturated, with its meaning, and requantized."""
    x = saturated(graph, x, meaning.value_bits)
    x = graph.like(x, x.name, meaning=meaning)
    if layer.out_quantizer is None:
        return x
    return requantized(graph, x, layer.out_quantizer)


def gated(graph: IntegerWriter, x: Value) -> Integers:
    """The input of an integer layer; floats are cut to integers of 8 value bits."""
    if not isinstance(x, Integers):
        name = graph.node("Cast", [x.name], to=onnx_kind("int32"))
        x = graph.integers(name, x.shape, "int32", -(2**31), 2**31 - 1, x.is_moved)
    elif x.meaning is not None:
        return x
    cut = clipped(graph, x, -256, 255)
    return graph.like(cut, cut.name, meaning=of_plain(8))


def of_plain(value_bits: int) -> Meaning:
    """What plain integers stand for: themselves."""
    return Meaning(value_bits, 2**value_bits, np.int32(0))


def bias_of(quantizer, weights, other: QTensor) -> np.ndarray:
    """The integers of a bias that is aligned on an accumulator, one for each channel."""
    aligned = integers_of(quantizer(weights, other))
    return np.broadcast_to(whole(aligned), (other.shape[-1],))
