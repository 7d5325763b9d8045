"""What every transform does: read a model into a graph, edit it, build a new model.

The graph and the builder are those of `larqlite.graph`. A pass is a function
`run(graph, surgery) -> bool` that edits one graph in place and says whether it did;
nested models are graphs of their own. The model that was read is never changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.from_keras import as_tf_keras
from larqlite.graph import (
    Builder,
    Edge,
    KernelAxes,
    LayerEntry,
    LayerGraph,
    LayerUse,
    facts_of,
)
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.layers import QuantLayer
from larqlite.qat.graph import read
from larqlite.qat.wrapper import name_of
from larqlite_runtime.names import unique_name

Layer = tf_keras.layers.Layer
PACKAGE = "lq.integer.models.transforms"


class Surgery:
    """The graphs of a model, and what passes ask of all of them together.

    Args:
        model: a built Sequential or functional model.
        function: name of the public function, for messages.
    """

    def __init__(self, model: tf_keras.Model, function: str):
        self.where = f"{PACKAGE}.{function}"
        self.root = read(model, self.where)

    def is_shared(self, entry: LayerEntry) -> bool:
        """Whether a layer is called more than once, in whatever part of the model."""
        calls = Counter(
            id(use.entry) for part in self.root.graphs() for use in part.calls()
        )
        return calls[id(entry)] > 1

    def names(self) -> set[str]:
        """The names of all layers."""
        parts = list(self.root.graphs())
        sources = {layer.name for part in parts for layer, _ in part.inputs}
        return sources | {label(use.entry) for part in parts for use in part.calls()}

    def new_name(self, base: str) -> str:
        """`base`, or with a number at its end if a layer is called that."""
        return unique_name(base, self.names())

    def reads_alone(self, graph: LayerGraph, use: LayerUse) -> LayerUse | None:
        """The use that reads a layer's output, if there is one and it reads nothing else.

        Neither of the two layers is called anywhere else.
        """
        reader = graph.only_consumer(use)
        if reader is None or len(reader.inputs) != 1 or len(reader.args) != 1:
            return None
        if self.is_shared(use.entry) or self.is_shared(reader.entry):
            return None
        return reader


def transformed(
    model: tf_keras.Model, function: str, passes: Iterable[Callable]
) -> tf_keras.Model:
    """The model after some passes; the given one if they find nothing to do.

    Args:
        model: a built Sequential or functional model; it is not changed.
        function: name of the public function, for messages.
        passes: functions `(graph, surgery) -> bool`, in order.
    """
    model = as_tf_keras(model, f"{PACKAGE}.{function}")
    surgery = Surgery(model, function)
    is_changed = False
    for run in passes:
        for graph in list(surgery.root.graphs()):
            is_changed |= run(graph, surgery)
    return built(surgery) if is_changed else model


def built(surgery: Surgery) -> tf_keras.Model:
    """A new model from the edited graphs."""
    for graph in surgery.root.graphs():
        graph.drop_unused()
    return Builder(surgery.where).model(surgery.root)


def label(entry: LayerEntry) -> str:
    """The name that the layer of an entry will have."""
    return entry.label


def setting(entry: LayerEntry, key: str) -> Any:
    """A setting of the layer as it will be: what a pass changed, or the layer's own."""
    if key in entry.changes:
        return entry.changes[key]
    return getattr(entry.layer, key, None)


def is_linear(entry: LayerEntry) -> bool:
    """Whether the layer will apply no activation function."""
    activation = setting(entry, "activation")
    return activation == "linear" or name_of(activation) == "linear"


def weights_of(entry: LayerEntry) -> dict[str, Any] | None:
    """The values that the layer will have, by attribute; None if not all have a name."""
    if entry.copies:
        return dict(entry.copies)
    return named_weights(entry.layer, entry.layer.weights)


def named_weights(layer: Layer, weights: list) -> dict[str, Any] | None:
    """Weights by the attributes of a layer that hold them; None if not all have one."""
    named = {
        name: value
        for name, value in vars(layer).items()
        if not name.startswith("_") and any(value is weight for weight in weights)
    }
    return named if len(named) == len(weights) else None


def give(entry: LayerEntry, changes: dict, **values: np.ndarray) -> None:
    """Changes the settings of a layer, and the values of some of its weights.

    The values may be in float64: they are rounded once, when the model is built.
    """
    entry.copies = tuple({**weights_of(entry), **values}.items())
    entry.changes = {**entry.changes, **changes}


def new(layer: Layer, **copies: Any) -> LayerEntry:
    """The entry of a new layer, and the values for its weights."""
    return LayerEntry(layer, is_new=True, copies=tuple(copies.items()))


def shape_of(edge: Edge) -> tuple:
    """The shape of a tensor, the batch first; None for open sizes."""
    if edge.tensor is not None:
        return tuple(edge.tensor.shape)
    shapes = [tf.TensorShape(shape_of(source)) for source in edge.source.inputs]
    shapes = shapes[0] if len(shapes) == 1 else shapes
    return tuple(edge.source.layer.compute_output_shape(shapes))


def dtype_of(edge: Edge) -> tf.DType:
    """The dtype of a tensor."""
    if edge.tensor is not None:
        return edge.tensor.dtype
    return tf.as_dtype(edge.source.layer.compute_dtype)


def common_config(entry: LayerEntry) -> dict:
    """What a layer that takes the place of another keeps of its configuration."""
    config = entry.layer.get_config()
    return {key: config[key] for key in ("dtype", "trainable")} | {"name": label(entry)}


def outputs_of(layer) -> KernelAxes | None:
    """The kernel with a layer's output channels.

    None for other layers, for those of larqlite that quantize their kernels
    (`QuantConv2D` ...: a factor on the latent kernel would get lost in its sign), and for
    integer layers whose output is quantized.
    """
    if isinstance(layer, QuantLayer) or _quantizes_output(layer):
        return None
    kernels = facts_of(layer).kernels
    return kernels[-1] if kernels and kernels[-1].channels_out else None


def is_normalization(layer) -> bool:
    """Whether a layer is a batch normalization, or an integer one without a quantizer."""
    return facts_of(layer).is_batch_normalization and not _quantizes_output(layer)


def pooling_of(layer) -> str:
    """What pooling a float layer computes, as its facts say it."""
    return "" if isinstance(layer, QuantizedLayer) else facts_of(layer).pooling


def scaled(kernel, scale: np.ndarray, axes: KernelAxes) -> np.ndarray:
    """A kernel times one number for each of its output channels, in float64."""
    kernel = np.asarray(kernel, np.float64)
    shape = [1] * kernel.ndim
    for axis in axes.channels_out:
        shape[axis] = kernel.shape[axis]
    return kernel * scale.reshape(shape)


def _quantizes_output(layer) -> bool:
    return getattr(layer, "out_quantizer", None) is not None
