"""Which function writes which integer layer, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from larqlite._registration import Registry
from larqlite.integer.export._integers import (
    Integers,
    TensorQParams,
    of_plain,
)
from larqlite.integer.export._writer import IntegerWriter, onnx_kind
from larqlite.integer.export.onnx._arithmetic import clipped, requantized, saturated
from larqlite.onnx_graph import Value
from larqlite.primitives import signed_codes

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
    qparams = TensorQParams.of(layer.compute(probes))
    return finished(graph, layer, function(graph, layer, inputs), qparams)


def finished(
    graph: IntegerWriter, layer, x: Integers, qparams: TensorQParams
) -> Integers:
    """What a layer computed, saturated, with its quantization parameters, and requantized."""
    x = saturated(graph, x, qparams.value_bits)
    x = graph.like(x, x.name, qparams=qparams)
    if layer.out_quantizer is None:
        return x
    return requantized(graph, x, layer.out_quantizer)


def gated(graph: IntegerWriter, x: Value) -> Integers:
    """The input of an integer layer; floats are cut to integers of 8 value bits."""
    if not isinstance(x, Integers):
        name = graph.node("Cast", [x.name], to=onnx_kind("int32"))
        x = graph.integers(name, x.shape, "int32", *signed_codes(31), x.is_moved)
    elif x.qparams is not None:
        return x
    cut = clipped(graph, x, -256, 255)
    return graph.like(cut, cut.name, qparams=of_plain(8))
