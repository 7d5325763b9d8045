"""A model as a graph that passes edit: uses of layers, and the edges between them.

`LayerGraph.of(model)` reads a Sequential or functional model; `_rebuild.Builder` makes a new
model from what the passes left. The layers of the model that was read are never called.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies import is_functional
from larqlite.graph._follow import LayerCall, ends_of, follow

Layer = tf_keras.layers.Layer
# Wrappers that only mark the layer inside, by class: what each notes in its entry.
MARKS: dict[type, Callable[[Layer, LayerEntry], None]] = {}


@dataclasses.dataclass(eq=False)
class Edge:
    """A tensor between two uses of layers.

    Attributes:
        source: the use it comes out of; None for an input of the model.
        tensor: the Keras tensor of the model that was read, or None for a new edge.
    """

    source: LayerUse | None
    tensor: Any = None


@dataclasses.dataclass(eq=False)
class LayerEntry:
    """A layer of the model, and what becomes of it.

    Attributes:
        layer: the layer that was read, or a new one.
        config: how it is quantized, a `QuantizeConfig`; None leaves it as it is.
        is_annotated: whether the user asked for it to be quantized.
        scheme: the scheme that `config` comes from; None for a user's own config.
        changes: what is different in the configuration of the new layer.
        is_new: whether `layer` was made by a pass, so that it is in no model yet.
        copies: pairs (attribute path of the new layer, values that it takes).
        graph: for a nested model, its own graph.
        reason: a remark for `qat.report`.
    """

    layer: Layer
    config: Any = None
    is_annotated: bool = False
    scheme: Any = None
    changes: dict = dataclasses.field(default_factory=dict)
    is_new: bool = False
    copies: tuple = ()
    graph: LayerGraph | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The name of the layer that was read."""
        return self.layer.name

    @property
    def is_operator(self) -> bool:
        """Whether the layer is a function of TensorFlow, such as `a + b`."""
        return isinstance(getattr(self.layer, "symbol", None), str)

    @property
    def is_wrapped(self) -> bool:
        """Whether the new model holds the layer in a wrapper; operators have none."""
        return self.config is not None and not self.is_operator

    @property
    def label(self) -> str:
        """The name that the layer will have in the new model, without a prefix."""
        return self.changes.get("name", self.name)


@dataclasses.dataclass(eq=False)
class LayerUse:
    """One call of a layer.

    Attributes:
        entry: the layer.
        args: positional arguments, edges in place of tensors.
        kwargs: keyword arguments, likewise.
        outputs: the edges that come out.
        structure: how Keras nests them.
    """

    entry: LayerEntry
    args: tuple
    kwargs: dict
    outputs: list[Edge]
    structure: Any = None

    @property
    def layer(self) -> Layer:
        return self.entry.layer

    @property
    def inputs(self) -> list[Edge]:
        """The edges that go in, in order."""
        flat = tf.nest.flatten((self.args, self.kwargs))
        return [leaf for leaf in flat if isinstance(leaf, Edge)]


class LayerGraph:
    """The uses of layers that compute a model's outputs, each after its sources.

    Attributes:
        model: the model that was read.
        is_nested: whether it is a layer of another model.
        inputs: `(input layer, edge)` for each input.
        uses: the calls, in order of computation.
        outputs: the edges that the model returns.
        beside: the calls that only losses and metrics of `add_loss` and `add_metric`
            need; they read edges of the uses, and stay as they are.
        ends: `(layer of Keras that adds the loss or metric, edge)`.
        prefix: goes before the names of layers that are quantized.
    """

    def __init__(self, model: tf_keras.Model, is_nested: bool = False):
        self.model = model
        self.is_nested = is_nested
        self.inputs: list[tuple[Layer, Edge]] = []
        self.uses: list[LayerUse] = []
        self.outputs: list[Edge] = []
        self.beside: list[LayerUse] = []
        self.ends: list[tuple[Layer, Edge]] = []
        self.prefix = ""
        self._readers: dict[int, list] | None = None

    @classmethod
    def of(
        cls,
        model: tf_keras.Model,
        entries: dict[int, LayerEntry] | None = None,
        is_nested: bool = False,
    ) -> LayerGraph:
        """Reads a model; nested models are read into graphs of their own.

        Args:
            model: a built Sequential or functional model.
            entries: the entries made so far by `id` of the layer, so that a layer that
                is shared between models stays one.
            is_nested: whether the model is a layer of another one.
        """
        entries = {} if entries is None else entries
        graph = cls(model, is_nested)
        made: dict[int, LayerUse] = {}

        def apply(call: LayerCall) -> list[Edge]:
            if (key := id(call.output_tensors[0])) in made:
                return made[key].outputs
            if id(call.layer) not in entries:
                entries[id(call.layer)] = entry_of(call.layer, entries)
            use = LayerUse(entries[id(call.layer)], call.args, dict(call.kwargs), [])
            use.outputs += [Edge(use, tensor) for tensor in call.output_tensors]
            made[key] = use
            return use.outputs

        def followed(tensors: list) -> list[Edge]:
            enter = lambda call, inside: apply(call)  # noqa: E731
            return follow(model, edges, apply, enter, tensors=tensors)

        edges = [Edge(None, tensor) for tensor in model.inputs]
        sources = [tensor.node.layer for tensor in model.inputs]
        graph.inputs = list(zip(sources, edges, strict=True))
        graph.outputs = followed(model.outputs)
        graph.uses = list(made.values())
        ends = ends_of(model)
        read = followed([tensor for _, tensor in ends])
        graph.ends = [
            (layer, edge) for (layer, _), edge in zip(ends, read, strict=True)
        ]
        graph.beside = list(made.values())[len(graph.uses) :]
        return graph

    # Questions that passes ask.

    def consumers(self, edge: Edge) -> list[LayerUse]:
        """The uses that an edge goes into.

        None among them stands for the model's output, and for a loss or metric.
        """
        if self._readers is None:
            self._readers = defaultdict(list)
            for use in self.uses:
                for read in {id(e): e for e in use.inputs}:
                    self._readers[read].append(use)
            for output in self.outputs:
                self._readers[id(output)].append(None)
            beside = [read for use in self.beside for read in use.inputs]
            for read in (*beside, *(read for _, read in self.ends)):
                if None not in self._readers[id(read)]:
                    self._readers[id(read)].append(None)
        return self._readers.get(id(edge), [])

    def only_consumer(self, use: LayerUse) -> LayerUse | None:
        """The one use that a layer's single output goes into, or None."""
        if len(use.outputs) != 1:
            return None
        consumers = self.consumers(use.outputs[0])
        return consumers[0] if len(consumers) == 1 else None

    def is_shared(self, entry: LayerEntry) -> bool:
        """Whether a layer is called more than once."""
        return sum(use.entry is entry for use in self.calls()) > 1

    def calls(self) -> Iterator[LayerUse]:
        """All uses, those for losses and metrics last."""
        yield from self.uses
        yield from self.beside

    def entries(self) -> Iterator[LayerEntry]:
        """Each layer once, in order; nested models before their layers."""
        seen = set()
        for use in self.uses:
            if id(use.entry) not in seen:
                seen.add(id(use.entry))
                yield use.entry

    def graphs(self) -> Iterator[LayerGraph]:
        """This graph and those of the models inside, each once."""
        seen = set()

        def walk(graph):
            if id(graph) in seen:
                return
            seen.add(id(graph))
            yield graph
            for entry in graph.entries():
                if entry.graph is not None:
                    yield from walk(entry.graph)

        return walk(self)

    # Edits.

    def insert_after(self, edge: Edge, entry: LayerEntry) -> LayerUse:
        """Puts a new layer on an edge: all that read the edge now read its output."""
        return self.insert_for(edge, entry, self.consumers(edge))

    def insert_for(self, edge: Edge, entry: LayerEntry, readers: list) -> LayerUse:
        """Puts a new layer between an edge and some of what reads it.

        Args:
            edge: the edge.
            entry: the new layer.
            readers: uses, and None for the model's output, out of `consumers(edge)`.
        """
        position = 0 if edge.source is None else self.uses.index(edge.source) + 1
        use = LayerUse(entry, (edge,), {}, [])
        use.outputs.append(Edge(use))
        self._reconnect(edge, use.outputs[0], readers)
        self.uses.insert(position, use)
        return use

    def insert_before(self, use: LayerUse, entry: LayerEntry, *args: Any) -> LayerUse:
        """Puts a new layer right before a use; what it is called with follows it.

        Nothing reads its output yet.
        """
        new = LayerUse(entry, args, {}, [])
        new.outputs.append(Edge(new))
        self.uses.insert(self.uses.index(use), new)
        self._readers = None
        return new

    def replace(self, use: LayerUse, entries: list[LayerEntry]) -> list[LayerUse]:
        """Puts a chain of new layers in the place of one use."""
        position = self.uses.index(use)
        (edge, *_), chain = use.inputs, []
        for entry in entries:
            new = LayerUse(entry, (edge,), {}, [])
            edge = Edge(new)
            new.outputs.append(edge)
            chain.append(new)
        # The last edge stays the one that consumers know.
        edge = use.outputs[0]
        edge.source = chain[-1]
        chain[-1].outputs[:] = [edge]
        self.uses[position : position + 1] = chain
        self._readers = None
        return chain

    def bypass(self, use: LayerUse, consumer: LayerUse) -> None:
        """Lets a consumer of a layer read what goes into that layer instead."""
        self._reconnect(use.outputs[0], use.inputs[0], [consumer])

    def remove(self, use: LayerUse) -> None:
        """Takes a use out: all that read its output now read what goes into it."""
        self.redirect(use.outputs[0], use.inputs[0])
        self.uses.remove(use)

    def redirect(self, old: Edge, new: Edge) -> None:
        """Lets all that read an edge read another one."""
        self._reconnect(old, new, self.consumers(old))

    def rewire(self, use: LayerUse, entry: LayerEntry, *args: Any) -> None:
        """Gives a use another layer, and what that is called with."""
        use.entry, use.args, use.kwargs = entry, args, {}
        self._readers = None

    def swap(self, first: LayerUse, second: LayerUse) -> None:
        """Lets two layers in a row, each of one input, change places."""
        first.entry, second.entry = second.entry, first.entry
        first.kwargs, second.kwargs = second.kwargs, first.kwargs
        first.outputs[0].tensor = None
        self._readers = None

    def drop_unused(self) -> None:
        """Removes the uses that nothing reads any more."""
        for use in reversed(list(self.uses)):
            if not any(self.consumers(edge) for edge in use.outputs):
                self.uses.remove(use)
                self._readers = None

    def _reconnect(self, old: Edge, new: Edge, readers: list) -> None:
        """Lets uses, and where None is among them the outputs, read another edge."""
        swap = lambda leaf: new if leaf is old else leaf  # noqa: E731
        uses = [use for use in readers if use is not None]
        if None in readers:
            self.outputs = [swap(edge) for edge in self.outputs]
            self.ends = [(layer, swap(edge)) for layer, edge in self.ends]
            uses += self.beside
        for use in uses:
            use.args, use.kwargs = tf.nest.map_structure(swap, (use.args, use.kwargs))
        self._readers = None


def entry_of(layer: Layer, entries: dict[int, LayerEntry]) -> LayerEntry:
    """The entry of a layer that was just met; what marks say of it is taken over."""
    for cls, mark in MARKS.items():
        if isinstance(layer, cls):
            entry = entry_of(layer.layer, entries)
            mark(layer, entry)
            return entry
    entry = LayerEntry(layer)
    if is_functional(layer):
        entry.graph = LayerGraph.of(layer, entries, is_nested=True)
    return entry
