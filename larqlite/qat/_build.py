"""From an edited graph to a new model with the weights of the old one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf
import tf_keras

from larqlite.errors import UnsupportedModelError
from larqlite.qat import _slots
from larqlite.qat._attributes import resolve
from larqlite.qat._fit import fitted, values_of
from larqlite.qat._graph import Entry, Graph
from larqlite.qat._moment import only_shapes
from larqlite.qat._wrapper import QuantizeWrapperV2

Layer = tf_keras.layers.Layer


class Builder:
    """Makes new layers for the entries of a graph, each once, and calls them.

    Args:
        prefix: goes before the names of wrapped layers.
        where: the public function on whose behalf it works, for messages.
    """

    def __init__(self, prefix: str, where: str):
        self._prefix = prefix
        self._where = where
        self._made: dict[int, Layer] = {}
        self._copied: list[tuple[Entry, Layer]] = []
        self._wrapped: list[QuantizeWrapperV2] = []

    def model(self, graph: Graph) -> tf_keras.Model:
        """The new model, with the weights of the old one."""
        with only_shapes():
            model = self._model(graph)
        for entry, layer in self._copied:
            _copy_weights(entry, layer)
        for wrapper in self._wrapped:
            wrapper.capture_weights()
        return model

    def _model(self, graph: Graph) -> tf_keras.Model:
        if isinstance(graph.model, tf_keras.Sequential) and _is_chain(graph):
            model = tf_keras.Sequential(name=graph.model.name)
            ((source, _),) = graph.inputs
            model.add(_clone_of(source, self._where))
            for use in graph.uses:
                model.add(self._layer(use.entry))
            return model
        known, inputs = {}, []
        for source, edge in graph.inputs:
            inputs.append(_clone_of(source, self._where).output)
            known[id(edge)] = inputs[-1]
        for use in graph.uses:
            args, kwargs = tf.nest.map_structure(
                lambda leaf: known.get(id(leaf), leaf), (use.args, use.kwargs)
            )
            outputs = tf.nest.flatten(self._layer(use.entry)(*args, **kwargs))
            known.update(zip(map(id, use.outputs), outputs, strict=False))
        old = graph.model
        return tf_keras.Model(
            tf.nest.pack_sequence_as(old.input, inputs),
            tf.nest.pack_sequence_as(old.output, [known[id(e)] for e in graph.outputs]),
            name=old.name,
        )

    def _layer(self, entry: Entry) -> Layer:
        if id(entry) not in self._made:
            self._made[id(entry)] = self._made_for(entry)
        return self._made[id(entry)]

    def _made_for(self, entry: Entry) -> Layer:
        if entry.graph is not None:
            return self._model(entry.graph)
        inner = entry.layer
        if not entry.is_new:
            watch = (
                _slots.viewed_variables() if entry.config else contextlib.nullcontext()
            )
            with watch:
                inner = _clone_of(entry.layer, self._where, entry.changes)
        self._copied.append((entry, inner))
        if entry.config is None:
            return inner
        config = fitted(entry.config, values_of(entry.layer, entry.copies), inner)
        self._wrapped.append(QuantizeWrapperV2(inner, config, name_prefix=self._prefix))
        return self._wrapped[-1]


def _is_chain(graph: Graph) -> bool:
    """Whether each layer does nothing but read the one before it, as in a Sequential."""
    edges = [graph.inputs[0][1], *(use.outputs[0] for use in graph.uses)]
    return all(
        use.inputs == [edge]
        and len(use.args) == 1
        and not any(value is not None for value in use.kwargs.values())
        for use, edge in zip(graph.uses, edges, strict=False)
    ) and len({id(use.entry) for use in graph.uses}) == len(graph.uses)


def _copy_weights(entry: Entry, layer: Layer) -> None:
    if entry.is_new or entry.copies:
        for path, source in entry.copies:
            owner, name = resolve(layer, path)
            getattr(owner, name).assign(source)
        return
    for source, target in zip(entry.layer.weights, layer.weights, strict=True):
        target.assign(source)


def _clone_of(layer: Layer, where: str, changes: Mapping | None = None) -> Layer:
    """A new layer of the same class and configuration (but `changes`), without weights."""
    try:
        with tf_keras.saving.custom_object_scope(dict(_functions_of(layer))):
            return type(layer).from_config({**layer.get_config(), **(changes or {})})
    except (
        AttributeError,
        LookupError,
        NotImplementedError,
        TypeError,
        ValueError,
    ) as e:
        # Keras puts the whole configuration before what went wrong.
        reason = str(e).rpartition("Exception encountered: ")[2].strip()
        raise UnsupportedModelError(
            f'{where}: unable to clone the layer "{layer.name}" '
            f"({type(layer).__name__}): {reason.partition(chr(10))[0]}\n"
            "  Fix: give the class a get_config with the arguments of its __init__; "
            "objects in it that Keras does not know go into "
            "`with lq.qat.quantize_scope({'MyObject': MyObject}):` around the call."
        ) from e


def _functions_of(layer: Layer) -> Iterator[tuple[str, object]]:
    """Functions and classes that a layer holds, by the names that a config gives them."""
    for value in vars(layer).values():
        name = getattr(value, "__name__", None) or type(value).__name__
        if callable(value) and not isinstance(value, (tf.Variable, Layer)):
            yield name, value if hasattr(value, "__name__") else type(value)
