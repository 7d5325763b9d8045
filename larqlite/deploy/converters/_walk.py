"""Follows a functional model, use by use, and has every layer converted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.deploy.converters._dispatch import converter_of
from larqlite.graph import is_functional, nodes_of, recorded_training, without_training
from larqlite.models.internal import leaves
from larqlite.onnx_graph import Value, Writer, refuse

_OTHER_FLOATS = ("float16", "bfloat16", "float64")


class ConverterWalk:
    """Converts a model into a graph.

    Args:
        graph: what to write to.
        model: the outermost model.
    """

    def __init__(self, graph: Writer, model: tf_keras.Model):
        self._graph = graph
        # A shared layer has one path, that of its row in the summary.
        self._paths: dict[int, str] = {}
        for layer, path in leaves(model):
            self._paths.setdefault(id(layer), path)

    def follow(
        self, model: tf_keras.Model, values: Sequence[Value], prefix: str = ""
    ) -> list[Value]:
        """The outputs of a functional model for these inputs.

        Args:
            model: a functional or Sequential model.
            values: one for each of its inputs.
            prefix: what the paths of its layers begin with.
        """
        known = {id(t): v for t, v in zip(model.inputs, values, strict=True)}
        for node in nodes_of(model):
            args, kwargs = tf.nest.map_structure(
                lambda leaf: known.get(id(leaf), leaf),
                (node.call_args, node.call_kwargs),
            )
            results = self._apply(node.layer, args, kwargs, prefix)
            tensors = tf.nest.flatten(node.outputs)
            known.update(zip(map(id, tensors), results, strict=True))
        return [known[id(tensor)] for tensor in model.outputs]

    def _apply(
        self, layer: tf_keras.layers.Layer, args: tuple, kwargs: dict, prefix: str
    ) -> list[Value]:
        path = self._paths.get(id(layer), f"{prefix}{layer.name}")
        args, kwargs = in_inference(layer, path, args, kwargs)
        if is_functional(layer):
            return self.follow(layer, _in_order(layer, args), f"{prefix}{layer.name}/")
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
        result = convert(self._graph, layer, *args, **kwargs)
        return tf.nest.flatten(result)


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


def _in_order(model: tf_keras.Model, args: tuple) -> list[Value]:
    """The values for a functional model's inputs, in their order."""
    given = args[0]
    if isinstance(given, dict) and set(given) == set(model.input_names):
        return [given[name] for name in model.input_names]
    return tf.nest.flatten(given)
