"""From an edited graph to a new model with the weights of the old one."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies import (
    add_end,
    carry,
    carry_model,
    layer_like,
    model_around,
    sequential_like,
)
from larqlite.graph._attributes import resolve
from larqlite.graph._layer_graph import LayerEntry, LayerGraph
from larqlite_runtime.names import unique_name

Layer = tf_keras.layers.Layer


class Builder:
    """Makes new layers for the entries of a graph, each once, and calls them.

    Args:
        where: the public function on whose behalf it works, for messages.
    """

    _prefix = ""  # goes before the names of wrapped layers

    def __init__(self, where: str):
        self._where = where
        self._made: dict[int, Layer] = {}
        self._copied: list[tuple[LayerEntry, Layer]] = []
        self._names: dict[int, str] = {}
        self._models: list[tuple[LayerGraph, tf_keras.Model]] = []

    def model(self, graph: LayerGraph) -> tf_keras.Model:
        """The new model, with the weights and all else that the old one holds.

        Raises:
            UnsupportedModelError: a layer that cannot be copied whole.
        """
        model = self._model(graph)
        self._carry_all()
        return model

    def _carry_all(self) -> None:
        flags = [(layer, layer.trainable) for _, layer in self._copied]
        for part, model in reversed(self._models):
            # From the outside in: a model's flag sets those of its layers.
            model.trainable = part.model.trainable
        for layer, trainable in flags:
            layer.trainable = trainable
        for entry, layer in self._copied:
            self._carry(entry, layer)
        for part, model in self._models:
            carry_model(part.model, model, self._where)

    def _carry(self, entry: LayerEntry, layer: Layer) -> None:
        """Gives a new layer the values that a pass has for it, or all of the old layer."""
        if entry.copies:
            for path, source in entry.copies:
                owner, name = resolve(layer, path)
                _assign(getattr(owner, name), source)
            if hasattr(layer, "start_quantizers"):  # they follow the kernels
                layer.start_quantizers()
            layer.finalize_state()
        elif layer is not entry.layer and (entry.layer.built or not entry.is_new):
            carry(entry.layer, layer, self._where, changed=entry.changes)

    def _model(self, graph: LayerGraph) -> tf_keras.Model:
        self._name(graph)
        model = self._chain(graph) if _is_chain(graph) else None
        if model is None:
            model = self._functional(graph)
        self._models.append((graph, model))
        return model

    def _name(self, graph: LayerGraph) -> None:
        """Gives each new layer of a model a name that no other one has.

        Those that stay as they are keep theirs.
        """
        entries = list(dict.fromkeys(use.entry for use in graph.calls()))
        renamed = [e for e in entries if e.is_new or e.is_wrapped]
        taken = {layer.name for layer, _ in graph.inputs}
        taken |= {e.label for e in entries} - {e.label for e in renamed}
        for entry in renamed:
            if id(entry) in self._made:
                continue  # in another model before
            prefix = self._prefix if entry.is_wrapped else ""
            base = prefix + entry.label
            name = unique_name(base, taken)
            taken.add(name)
            if entry.is_wrapped:
                self._names[id(entry)] = name
            elif name != base:
                entry.changes = {**entry.changes, "name": name}

    def _chain(self, graph: LayerGraph) -> tf_keras.Sequential:
        model = sequential_like(graph.model, self._where)
        ((source, _),) = graph.inputs
        model.add(layer_like(source, self._where))
        for use in graph.uses:
            model.add(self._layer(use.entry))
        return model

    def _functional(self, graph: LayerGraph) -> tf_keras.Model:
        known, inputs = {}, []
        for source, edge in graph.inputs:
            inputs.append(layer_like(source, self._where).output)
            known[id(edge)] = inputs[-1]
        for use in graph.calls():
            args, kwargs = tf.nest.map_structure(
                lambda leaf: known.get(id(leaf), leaf), (use.args, use.kwargs)
            )
            outputs = tf.nest.flatten(self._layer(use.entry)(*args, **kwargs))
            known.update(zip(map(id, use.outputs), outputs, strict=False))
        old = graph.model
        model = model_around(
            old,
            tf.nest.pack_sequence_as(old.input, inputs),
            tf.nest.pack_sequence_as(old.output, [known[id(e)] for e in graph.outputs]),
            self._where,
        )
        for end, edge in graph.ends:
            add_end(model, end, known[id(edge)])
        return model

    def _layer(self, entry: LayerEntry) -> Layer:
        if id(entry) not in self._made:
            self._made[id(entry)] = self._made_for(entry)
        return self._made[id(entry)]

    def _made_for(self, entry: LayerEntry) -> Layer:
        if entry.graph is not None:
            return self._model(entry.graph)
        layer = self._copy_of(entry)
        self._copied.append((entry, layer))
        return layer

    def _copy_of(self, entry: LayerEntry) -> Layer:
        # What a pass made is in no model yet: it is used itself, as long as no other
        # pass has changed it.
        if entry.is_new and not entry.changes:
            return entry.layer
        return layer_like(entry.layer, self._where, entry.changes)


def _is_chain(graph: LayerGraph) -> bool:
    """Whether each layer does nothing but read the one before it, as in a Sequential."""
    if not isinstance(graph.model, tf_keras.Sequential) or graph.ends:
        return False
    edges = [graph.inputs[0][1], *(use.outputs[0] for use in graph.uses)]
    return all(
        use.inputs == [edge]
        and len(use.args) == 1
        and not any(value is not None for value in use.kwargs.values())
        for use, edge in zip(graph.uses, edges, strict=False)
    ) and len({id(use.entry) for use in graph.uses}) == len(graph.uses)


def _assign(variable: tf.Variable, value: Any) -> None:
    if isinstance(value, (tf.Variable, tf.Tensor)) and value.dtype != variable.dtype:
        value = tf.cast(value, variable.dtype)
    variable.assign(value)
