"""Follows a functional model, use by use, and has every layer converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.deploy._converter_tables import converter
from larqlite.deploy.converters._dispatch import converter_of
from larqlite.from_keras import (
    KerasOperation,
    LayerScale,
    RMSNormalization,
    ScaledSum,
)
from larqlite.graph import (
    LayerCall,
    cut_inputs,
    follow,
    recorded_training,
    without_training,
)
from larqlite.models.internal import leaves
from larqlite.onnx_graph import Value, Writer, refuse

_OTHER_FLOATS = ("float16", "bfloat16", "float64")


class ConverterWalk:
    """Converts a model into a graph.

    Args:
        graph: what to write to.
        model: the outermost model.
        within: path of the layer that the model stands for, if it does.
    """

    def __init__(self, graph: Writer, model: tf_keras.Model, within: str = ""):
        self._graph = graph
        # A shared layer has one path, that of its row in the summary.
        self._paths: dict[int, str] = {}
        for layer, path in leaves(model):
            self._paths.setdefault(id(layer), f"{within}/{path}" if within else path)

    def follow(self, model: tf_keras.Model, values: Sequence[Value]) -> list[Value]:
        """The outputs of a functional model, for a value for each of its inputs."""
        return follow(model, values, self._apply, self._enter)

    def _path_of(self, call: LayerCall) -> str:
        return self._paths.get(id(call.layer), call.path)

    def _enter(self, call: LayerCall, inside: Callable[[], list]) -> list[Value]:
        path = self._path_of(call)
        in_inference(call.layer, path, call.args, call.kwargs)
        for tensor in cut_inputs(call.layer, [source.dtype for source in call.sources]):
            raise refuse(
                call.layer,
                path,
                f'its input "{tensor.node.layer.name}" is {tensor.dtype.name}, and it is '
                "called with numbers that this does not hold, which Keras casts on the "
                "way in",
                "build it on an input of the dtype that it is called with",
            )
        return inside()

    def _apply(self, call: LayerCall) -> list[Value]:
        layer, path = call.layer, self._path_of(call)
        args, kwargs = in_inference(layer, path, call.args, call.kwargs)
        if layer.compute_dtype in _OTHER_FLOATS:
            raise refuse(
                layer,
                path,
                f"it computes in {layer.compute_dtype}, and a file holds float32",
                'build the model under the policy "float32" '
                '(tf_keras.mixed_precision.set_global_policy("float32")) and give it '
                "these weights with set_weights",
            )
        convert = converter_of(layer, path)
        self._graph.path = path
        return tf.nest.flatten(convert(self._graph, layer, *args, **kwargs))


def in_inference(
    layer: Any, path: str, args: tuple, kwargs: dict
) -> tuple[tuple, dict]:
    """The arguments that a converter takes: those that change nothing left out.

    Raises:
        UnsupportedLayerError: the call was recorded in training mode.
    """
    training = recorded_training(layer, args, kwargs)
    if training is not None and (tf.is_tensor(training) or training):
        raise refuse(
            layer,
            path,
            f"it is called with training={training!r}, and a file holds what the layer "
            "does in inference",
            "call it without `training` when you build the model",
        )
    args, kwargs = without_training(layer, args, kwargs)
    if kwargs.get("mask") is None:
        kwargs.pop("mask", None)
    return args, kwargs


@converter(KerasOperation, LayerScale, RMSNormalization, ScaledSum)
def convert_as_functions(
    graph: Writer, layer: Any, inputs: Value | list[Value]
) -> list[Value]:
    """What came in from Keras 3: each TensorFlow function that its `call` calls."""
    values = tf.nest.flatten(inputs)
    tensors = [tf_keras.Input(value.shape[1:]) for value in values]
    outputs = layer.call(tf.nest.pack_sequence_as(inputs, tensors))
    inner = tf_keras.Model(tensors, outputs)
    return ConverterWalk(graph, inner, within=graph.path).follow(inner, values)
