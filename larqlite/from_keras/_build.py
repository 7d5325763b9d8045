"""The tf_keras model of a Keras 3 model: layers, calls, weights, what is trainable."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import keras
import tf_keras

from larqlite.errors import LarqliteError, UnsupportedLayerError
from larqlite.from_keras import (
    _layers,
    _masks,
    _operations,
    _own_layers,
    _quantized,
    _rule,
    _walk,
)
from larqlite.from_keras._config import arrays
from larqlite.from_keras._registry import CONVERTERS

Layer = tf_keras.layers.Layer


@dataclasses.dataclass(eq=False)
class Step:
    """A call of Keras 3 and what computes it in tf_keras.

    Attributes:
        call: the call.
        apply: takes what the call takes, Keras tensors of tf_keras or values.
        layer: the one layer that does it; None for several.
        inside: for a model inside, its graph.
        masked: whether Keras 3 hands masks to the layer.
    """

    call: _walk.RecordedCall
    apply: Callable
    layer: Layer | None = None
    inside: Graph | None = None
    masked: bool = False


@dataclasses.dataclass(eq=False)
class Graph:
    """A converted model: that of Keras 3, ours, and the steps between."""

    source: keras.Model
    graph: Any
    model: tf_keras.Model
    steps: list[Step]


@dataclasses.dataclass(eq=False)
class Built:
    """What `build` made."""

    top: Graph
    notes: list[str]

    @property
    def model(self) -> tf_keras.Model:
        return self.top.model


def build(model: keras.Model, where: str) -> Built:
    """A tf_keras model for a model of Keras 3, with its weights; nothing is compared yet.

    Raises:
        UnbuiltModelError, UnsupportedModelError, UnsupportedLayerError: as `from_keras`.
    """
    maker = Maker(where)
    top = maker.graph(model)
    maker.finish()
    return Built(top, maker.notes)


class Maker:
    """Makes each layer of a conversion once.

    Args:
        where: the public function on whose behalf it is done, for messages.
    """

    def __init__(self, where: str):
        self.where = where
        self.notes: list[str] = []
        self._layers: dict[int, Layer] = {}
        self._graphs: dict[int, Graph] = {}
        self._names: dict[int, str] = {}
        # Layers of Keras 3 and ours, with what gives the weights; outer ones first.
        self._pairs: list[tuple[Any, Layer, Callable | None]] = []

    def name_of(self, operation: Any) -> str:
        """The name of a layer, with "_" for what tf_keras cannot have in one."""
        if id(operation) not in self._names:
            name = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", operation.name)
            name = name if re.match(r"[A-Za-z0-9.]", name) else f"layer{name}"
            taken = set(self._names.values())
            if name != operation.name:
                while name in taken:
                    name += "_"
                self.notes.append(f'"{operation.name}" is named "{name}" here')
            self._names[id(operation)] = name
        return self._names[id(operation)]

    def _free(self, call: _walk.RecordedCall) -> str:
        """The name of an operation, with a number from its second call on."""
        taken = set(self._names.values())
        name = free = self.name_of(call)
        number = 2
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        self._names[id(call)] = free
        return free

    def inside(self, layer: Any) -> Layer:
        """A layer that is inside another one, which gets its own weights."""
        return self.graph(layer).model if _walk.is_model(layer) else self.layer(layer)

    def alone(self, layer: Any) -> Layer:
        """A layer of which the one around it makes copies or takes the weights."""
        return self._made(layer)[0]

    def layer(self, layer: Any) -> Layer:
        """The layer of tf_keras for one of Keras 3; the same one for the same one."""
        if id(layer) not in self._layers:
            made, weights = self._made(layer)
            self._layers[id(layer)] = made
            self._pairs.append((layer, made, weights))
        return self._layers[id(layer)]

    def _made(self, layer: Any) -> tuple[Layer, Callable | None]:
        cls = type(layer)
        own = CONVERTERS.get(cls)
        if own is not None:
            made = own.convert(layer)
            if not isinstance(made, Layer):
                raise UnsupportedLayerError(
                    f'{self.where}: {cls.__name__} "{layer.name}": its converter '
                    f"returned {type(made).__name__}.\n  Fix: return a layer of tf_keras."
                )
            return made, own.weights or (lambda layer: arrays(layer.weights))
        rule = _layers.rule_of(cls)
        if rule is None:
            raise _rule.unknown(layer, self.where)
        if _quantized.is_quantized(layer):
            return _quantized.quantized(layer, self), _quantized.weights
        made = _rule.make(layer, rule, self)
        return made, rule.weights if rule.has_weights else None

    def graph(self, model: keras.Model) -> Graph:
        """The converted graph of a model; the same one for the same model."""
        if id(model) not in self._graphs:
            self._graphs[id(model)] = self._graph(model)
        return self._graphs[id(model)]

    def _graph(self, model: keras.Model) -> Graph:
        graph = _walk.graph_of(model, self.where)
        steps = [self._step(call) for call in _walk.calls_of(graph)]
        inputs = [self._input(layer) for layer in _walk.input_layers(graph)]
        name = self.name_of(model)
        needed = _masks.needed(graph, [step.call for step in steps])
        kept = [step for step in steps if id(step.call.outputs[0]) in needed]
        layers = [step.layer for step in kept]
        linear = isinstance(model, keras.Sequential) and all(map(_takes_one, kept))
        if linear and not (_masks.has_masks(graph) and self._needs_masks(model)):
            made = tf_keras.Sequential([inputs[0]._keras_history.layer, *layers], name)
        else:
            made = self._functional(graph, steps, inputs, name)
        self._pairs.insert(0, (model, made, None))
        return Graph(model, graph, made, steps)

    def _functional(self, graph: Any, steps: list, inputs: list, name: str):
        known = dict(zip(map(id, graph.inputs), inputs, strict=True))
        masks = _masks.Masks(graph, known, self._of_mask, self.where)
        needed = _masks.needed(graph, [step.call for step in steps])
        for step in steps:
            if id(step.call.outputs[0]) not in needed:
                continue
            call = _masks.without_recorded(step.call)
            args, kwargs = _walk.filled(call, functools.partial(masks.tensor, step))
            flat = keras.tree.flatten(self._called(step, args, kwargs))
            known.update(zip(map(id, call.outputs), flat, strict=True))
            masks.note(step)

        def ours(structure: Any) -> Any:
            return keras.tree.map_structure(lambda t: known[id(t)], structure)

        return tf_keras.Model(
            ours(_walk.input_structure(graph)),
            ours(_walk.output_structure(graph)),
            name=name,
        )

    def _called(self, step: Step, args: tuple, kwargs: dict) -> Any:
        """What a step gives out for Keras tensors of ours."""
        try:
            return step.apply(*args, **kwargs)
        except LarqliteError:
            raise
        except Exception as error:
            operation = step.call.operation
            said = " ".join(str(error).split())[:300]
            raise UnsupportedLayerError(
                f'{self.where}: {type(operation).__name__} "{operation.name}": tf_keras '
                f"has no such call: {said}\n  Fix: call it without the argument that it "
                "names, or register a layer that takes it: "
                f"@lq.models.keras3_converter({type(operation).__name__})."
            ) from error

    def _needs_masks(self, model: keras.Model) -> bool:
        """Whether masks have to be attached in a Sequential model, which tells a trial."""
        trial = Maker(self.where)
        graph = _walk.graph_of(model, self.where)
        steps = [trial._step(call) for call in _walk.calls_of(graph)]
        inputs = [trial._input(layer) for layer in _walk.input_layers(graph)]
        made = trial._functional(graph, steps, inputs, "trial")
        kinds = (_own_layers.Masked, _own_layers.Unmasked)
        return any(isinstance(layer, kinds) for layer in made.layers)

    def _of_mask(self, call: _walk.RecordedCall) -> Callable:
        return self._step(call).apply

    def _input(self, layer: Any) -> Any:
        return tf_keras.Input(
            batch_shape=layer.batch_shape,
            dtype=layer.dtype,
            name=self.name_of(layer),
            sparse=layer.sparse,
        )

    def _step(self, call: _walk.RecordedCall) -> Step:
        operation = call.operation
        if _walk.is_model(operation):
            inside = self.graph(operation)
            return Step(call, inside.model, inside.model, inside)
        if _walk.is_layer(operation):
            layer = self.layer(operation)
            return Step(call, layer, layer, masked=_masks.uses_mask(call))
        return Step(call, _operations.applied(call, self._free(call), self.where))

    def finish(self) -> None:
        """Gives the layers their weights, and what is trainable, from the outside in."""
        for layer3, layer, weights in self._pairs:
            if weights is not None:
                _give(layer3, layer, weights(layer3), self.where)
                layer.finalize_state()
        for layer3, layer, _ in self._pairs:
            if layer.trainable != layer3.trainable:
                layer.trainable = layer3.trainable


def _takes_one(step: Step) -> bool:
    """Whether one layer takes one tensor, as all in a Sequential model do."""
    call = _masks.without_recorded(step.call)
    return step.layer is not None and len(call.args) == 1 and not call.kwargs


def _give(layer3: Any, layer: tf_keras.layers.Layer, values: list, where: str) -> None:
    """Sets the weights of a layer; all of them are compared before the first is set.

    Raises:
        UnsupportedLayerError: the two do not hold weights of the same shapes.
    """
    have, want = [w.shape for w in values], [tuple(w.shape) for w in layer.weights]
    if have != want:
        raise UnsupportedLayerError(
            f'{where}: {type(layer3).__name__} "{layer3.name}": its weights have the '
            f"shapes {have}, those of tf_keras' {type(layer).__name__} {want}.\n"
            "  Fix: register how it is to be converted, weights included: "
            "@lq.models.keras3_converter(cls, weights=function)."
        )
    for variable, value in zip(layer.weights, values, strict=True):
        variable.assign(value)
