"""Walks a model with sizes and precisions instead of numbers, use by use.

Functional and Sequential models are followed along Keras' public nodes, so a
shared layer is met once per use and only with this model's own uses. Other
models and layers made of layers are traced once.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence

import tensorflow as tf
import tf_keras

from larqlite.graph import (
    LayerCall,
    facts_of,
    follow,
    in_order,
    inner_layers,
    is_functional,
    is_restored,
)
from larqlite.models import _bits, _trace
from larqlite.models._call import FLOAT_BITS, Call, TensorProfile, value_of, values_in
from larqlite.models._kinds import known_formula

Layer = tf_keras.layers.Layer


@dataclasses.dataclass(frozen=True)
class RepeatedCall:
    """A call of a layer, and how often it is repeated because a model around it runs
    once per time step (None: unknown)."""

    call: Call
    repeats: int | None


class Walk:
    """The uses of every layer of a model.

    Attributes:
        uses: for each layer (by `id`) its uses, in order.
        unknown: for each layer (by `id`) why its uses could not be followed.
        notes: remarks about the model as a whole.
    """

    def __init__(self):
        self.uses: dict[int, list[RepeatedCall]] = defaultdict(list)
        self.unknown: dict[int, str] = {}
        self.notes: list[str] = []
        self._repeats: int | None = 1

    def apply(
        self,
        layer: Layer,
        args: tuple,
        kwargs: dict,
        outputs: Sequence[TensorProfile] | None,
    ) -> tuple[TensorProfile, ...]:
        """Follows one use of a layer.

        Args:
            layer: a layer or model.
            args: positional arguments, values in place of tensors.
            kwargs: keyword arguments, likewise.
            outputs: what comes out, if its shapes are known.

        Returns:
            What comes out, with precisions.
        """
        if is_leaf(layer):
            return self._use(layer, args, kwargs, outputs or ())
        if is_functional(layer):
            given = in_order(layer, args[0])
            profiles = [
                x if isinstance(x, TensorProfile) else value_of(x) for x in given
            ]
            values = self._follow_nodes(layer, profiles)
        elif isinstance(layer, tf_keras.layers.TimeDistributed):
            values = self._repeat(layer, args, outputs or ())
        else:
            values = self._follow_trace(layer, args, kwargs, outputs or ())
        self.uses[id(layer)].append(
            RepeatedCall(Call(layer, args, kwargs, values), self._repeats)
        )
        return values

    def give_up(self, layer: Layer, reason: str) -> None:
        """Marks all layers inside a model as of unknown use."""
        for leaf, _ in leaves(layer):
            self.unknown[id(leaf)] = reason

    def _use(self, layer, args, kwargs, outputs) -> tuple[TensorProfile, ...]:
        inputs = tuple(values_in((args, kwargs)))
        keeps_values = facts_of(layer).keeps_values
        outputs = _bits.output_of(layer, inputs, outputs, keeps_values)
        source = _bits.input_of(layer, inputs)
        bits = source.bits if source and source.bits is not None else FLOAT_BITS
        call = Call(layer, args, kwargs, outputs, bits)
        self.uses[id(layer)].append(RepeatedCall(call, self._repeats))
        return outputs

    def _follow_nodes(
        self, model, inputs: Sequence[TensorProfile]
    ) -> tuple[TensorProfile, ...]:
        for tensor, value in zip(model.inputs, inputs, strict=True):
            if isinstance(tensor.node.layer, tf_keras.layers.InputLayer):
                self._use(tensor.node.layer, (value,), {}, (value,))
        # Models inside come back here by way of `apply`, as those in traces do.
        return tuple(
            follow(model, inputs, self._call, lambda call, _: self._call(call))
        )

    def _call(self, call: LayerCall) -> tuple[TensorProfile, ...]:
        layer, args, kwargs = call.layer, call.args, call.kwargs
        outputs = tuple(map(value_of, call.output_tensors))
        pairs = zip(call.inputs, call.input_tensors, strict=True)
        if any(value.shape != value_of(tensor).shape for value, tensor in pairs):
            outputs = self._resized(layer, args, kwargs, outputs)
        return self.apply(layer, args, kwargs, outputs)

    def _resized(self, layer, args, kwargs, outputs) -> tuple[TensorProfile, ...]:
        if is_functional(layer):
            return outputs
        try:
            return _trace.output_values(layer, args, kwargs, outputs)
        except Exception as error:
            self.notes.append(
                f"the output shape of {layer.name} is unknown: with inputs of this size "
                f"it fails with {_in_short(error)}"
            )
            return tuple(value.with_shape(None) for value in outputs)

    def _repeat(self, layer, args, outputs) -> tuple[TensorProfile, ...]:
        (sequence,) = values_in(args[:1])
        steps = sequence.shape[1] if sequence.shape else None
        outer = self._repeats
        self._repeats = None if steps is None or outer is None else outer * steps
        try:
            step_outputs = tuple(map(_one_step, outputs))
            values = self.apply(layer.layer, (_one_step(sequence),), {}, step_outputs)
        finally:
            self._repeats = outer
        return tuple(
            TensorProfile(output.shape, output.dtype, value.bits, value.note)
            for output, value in zip(outputs, values, strict=True)
        )

    def _follow_trace(self, layer, args, kwargs, outputs) -> tuple[TensorProfile, ...]:
        try:
            traced = _trace.trace(layer, args, kwargs, watched=units(layer))
        except Exception as error:
            self.give_up(
                layer,
                f"calling {layer.name} on inputs of its size fails: {_in_short(error)}",
            )
            return tuple(outputs)
        for part in (layer, *layer.submodules):
            if is_restored(part) and inner_layers(part):
                self.give_up(
                    part,
                    f"{part.name} comes from a SavedModel without its class "
                    f"({type(part).__name__}), so that its call cannot be looked into; "
                    "load it with lq.models.load(path, custom_objects="
                    f"{{'{type(part).__name__}': {type(part).__name__}}})",
                )
        known = {id(tensor): value for tensor, value in traced.inputs}
        for event in traced.events:
            inner = _trace.values_of_tensors((event.args, event.kwargs), known)
            tensors = tf.nest.flatten(event.outputs)
            values = self.apply(event.layer, *inner, tuple(map(value_of, tensors)))
            known.update(zip(map(id, tensors), values, strict=True))
        if traced.own_ops:
            self.notes.append(
                f"{layer.name}: its own call() contains {', '.join(traced.own_ops)}, "
                "which are not in the counts; only its layers are"
            )
        results = _trace.values_of_tensors(traced.outputs, known)
        return tuple(values_in(results))


def is_leaf(layer: Layer) -> bool:
    """Whether a layer is a row of its own: of known kind, or without layers inside."""
    if isinstance(layer, tf_keras.layers.TimeDistributed):
        return is_leaf(layer.layer)
    return known_formula(layer) is not None or not inner_layers(layer)


def leaves(layer: Layer, path: str = "") -> Iterator[tuple[Layer, str]]:
    """The rows of a model: each layer without layers inside, with its path.

    A model or layer whose weights are not all those of its inner layers is a row
    too, after them.
    """
    for part in inner_layers(layer):
        here = f"{path}{part.name}"
        if is_leaf(part):
            yield part, here
        else:
            yield from leaves(part, f"{here}/")
            yield part, here


def units(layer: Layer) -> Iterator[Layer]:
    """The parts that a trace of a layer records: leaves and functional models."""
    for part in inner_layers(layer):
        if (
            is_leaf(part)
            or is_functional(part)
            or isinstance(part, tf_keras.layers.TimeDistributed)
        ):
            yield part
        else:
            yield from units(part)


def _one_step(sequence: TensorProfile) -> TensorProfile:
    shape = sequence.shape
    return sequence.with_shape(shape and (shape[0], *shape[2:]))


def _in_short(error: Exception) -> str:
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"
