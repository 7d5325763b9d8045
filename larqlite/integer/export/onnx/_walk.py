"""Follows an integer model, use by use, and has every layer written."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from larqlite.deploy import converters as float_converters  # noqa: F401  (registers)
from larqlite.deploy.converters import ConverterWalk, in_inference
from larqlite.graph import LayerCall
from larqlite.integer.export._integers import Integers
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx import converters  # noqa: F401  (registers them)
from larqlite.integer.export.onnx._integer_converters import CONVERTERS, convert
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.onnx_graph import Value, refuse


class IntegerWalk(ConverterWalk):
    """Converts an integer model into a graph.

    Integer layers have converters of their own; float layers those of
    `larqlite.deploy`.
    """

    _graph: IntegerWriter

    def _apply(self, call: LayerCall) -> list[Value]:
        graph, layer, path = self._graph, call.layer, self._path_of(call)
        graph.path, graph.layer = path, layer
        if type(layer) in CONVERTERS:
            args, extra = in_inference(layer, path, call.args, call.kwargs)
            values = convert(graph, layer, args[0] if args else extra["inputs"])
            results = tf.nest.flatten(values)
            # Of a layer that is called more than once, the first call is compared.
            graph.layers.setdefault(path, results)
            return results
        self._refuse(layer, path, call.inputs)
        args, kwargs = tf.nest.map_structure(self._as_float, (call.args, call.kwargs))
        return super()._apply(dataclasses.replace(call, args=args, kwargs=kwargs))

    def _refuse(self, layer, path: str, given: list) -> None:
        if isinstance(layer, QuantizedLayer):
            raise refuse(
                layer,
                path,
                "this integer layer has no converter",
                "put it behind a Dequantizer as a float layer, by leaving it out of the "
                "layers that are quantized",
            )
        if any(isinstance(x, Integers) and x.qparams is not None for x in given):
            raise refuse(
                layer,
                path,
                "integers reach it, and it is no integer layer",
                "put lq.integer.layers.Dequantizer() before it",
            )

    def _as_float(self, x: Any) -> Any:
        """A model's input of integers as floats, for a float layer."""
        if not isinstance(x, Integers):
            return x
        name = self._graph.node("Cast", [x.name], to=1)
        return self._graph.value(name, x.shape, is_moved=x.is_moved)
