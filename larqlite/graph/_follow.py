"""How a Keras model is followed: call by call, the models inside of it too; and its ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies import is_end, is_functional

Layer = tf_keras.layers.Layer


@dataclasses.dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of a layer in a model that is followed.

    Attributes:
        layer: a layer, an operator such as `tf.reshape`, or a model inside.
        path: the names of the models around it and its own, with "/" between.
        args: what it is called with, values in the place of Keras tensors.
        kwargs: likewise.
        inputs: the values among those, in order; constants are in the arguments only.
        input_tensors: the Keras tensors that they stand for.
        output_tensors: those that come out, in order.
        recorded: the positional arguments as Keras recorded them.
    """

    layer: Layer
    path: str
    args: tuple
    kwargs: dict
    inputs: list
    input_tensors: list
    output_tensors: list
    recorded: tuple

    @property
    def sources(self) -> list:
        """For a model inside, the Keras tensors or constants that it is called with, in the
        order of its inputs."""
        return in_order(self.layer, self.recorded[0])


def follow(
    model: tf_keras.Model,
    inputs: Sequence,
    apply: Callable[[LayerCall], Any],
    enter: Callable[[LayerCall, Callable[[], list]], Any] | None = None,
    *,
    tensors: Sequence | None = None,
) -> list:
    """What comes out of a model for values of any kind in the place of its tensors.

    Each call is met once, after those whose outputs it reads; a layer that is called
    several times is met as often, and calls of the same layers in other models are not.
    Models inside are followed too, their inputs in the order in which Keras takes them.

    Args:
        model: a built Sequential or functional model.
        inputs: a value for each of `model.inputs`.
        apply: gives what comes out of a call, nested in any way.
        enter: asked in place of `apply` for calls of functional models, with the call
            and a function that follows the model and returns its outputs. None does
            just that; `lambda call, inside: apply(call)` takes a model inside as one
            layer.
        tensors: Keras tensors of the model to compute in place of its outputs.

    Returns:
        A value for each of `model.outputs`, or of `tensors`.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.Input((2,)), tf_keras.layers.Dense(3, name="fc")])
        >>> follow(model, [["x"]], lambda call: f"{call.path} of {call.inputs[0]}")
        ["fc of ['x']"]
    """
    return _Follower(apply, enter).outputs_of(model, inputs, tensors)


@dataclasses.dataclass
class _Follower:
    apply: Callable[[LayerCall], Any]
    enter: Callable[[LayerCall, Callable[[], list]], Any] | None
    # Inputs of models inside that are called with constants, by `id`.
    constants: set[int] = dataclasses.field(default_factory=set)

    def outputs_of(
        self,
        model: tf_keras.Model,
        inputs: Sequence,
        tensors: Sequence | None = None,
        prefix: str = "",
    ) -> list:
        known = dict(zip(map(id, model.inputs), inputs, strict=True))
        for node in _nodes_of(model, tensors):
            args, kwargs = tf.nest.map_structure(
                lambda leaf: known.get(id(leaf), leaf),
                (node.call_args, node.call_kwargs),
            )
            read = [t for t in node.keras_inputs if id(t) not in self.constants]
            call = LayerCall(
                *(node.layer, f"{prefix}{node.layer.name}", args, kwargs),
                [known[id(tensor)] for tensor in read],
                read,
                tf.nest.flatten(node.outputs),
                node.call_args,
            )
            results = tf.nest.flatten(self._result_of(call))
            known.update(zip(map(id, call.output_tensors), results, strict=True))
        wanted = model.outputs if tensors is None else tensors
        return [known[id(tensor)] for tensor in wanted]

    def _result_of(self, call: LayerCall) -> Any:
        if not is_functional(call.layer):
            return self.apply(call)

        def inside() -> list:
            model, values = call.layer, in_order(call.layer, call.args[0])
            read = set(map(id, call.input_tensors))
            for tensor, source in zip(model.inputs, call.sources, strict=True):
                # A model may be called again, with a tensor where a constant was.
                self.constants.discard(id(tensor))
                if id(source) not in read:
                    self.constants.add(id(tensor))
            values = list(map(_conformed, values, model.inputs))
            return self.outputs_of(model, values, prefix=f"{call.path}/")

        return inside() if self.enter is None else self.enter(call, inside)


def in_order(model: tf_keras.Model, given: Any) -> list:
    """The values that a functional model is called with, in the order of its inputs.

    Args:
        model: the model.
        given: its first argument: a value, or a list or dictionary of them. Keys are those
            of the dictionary that the model was built with, or names of its inputs.
    """
    if isinstance(given, dict):
        built = model.input
        names = sorted(built) if isinstance(built, dict) else model.input_names
        if len(names) == len(model.inputs) and set(names) <= set(given):
            return [given[name] for name in names]
    return tf.nest.flatten(given)


def cut_inputs(model: tf_keras.Model, dtypes: Sequence) -> list:
    """The inputs of a model that lose numbers when it is called with tensors of other dtypes.

    Keras casts these on the way in: fractions go, or whole numbers are limited. Casts
    between floats are not meant, which layers do anyway, nor those of numbers that only
    embeddings read, which do the same.

    Args:
        model: a functional model.
        dtypes: of what it is called with, in the order of its inputs.

    Returns:
        Keras tensors out of `model.inputs`.
    """
    return [
        tensor
        for tensor, dtype in zip(model.inputs, dtypes, strict=True)
        if _loses_numbers(tf.as_dtype(dtype), tensor.dtype)
        and not _are_indices(model, tensor)
    ]


def _loses_numbers(given: tf.DType, taken: tf.DType) -> bool:
    if given == taken or taken.is_floating or given.is_bool:
        return False
    whole = given.is_integer and taken.is_integer
    return not whole or given.min < taken.min or given.max > taken.max


def _are_indices(model: tf_keras.Model, tensor: Any) -> bool:
    reads: list[bool] = []

    def apply(call: LayerCall) -> list[bool]:
        if any(call.inputs):
            reads.append(isinstance(call.layer, tf_keras.layers.Embedding))
        return [False] * len(call.output_tensors)

    outputs = follow(model, [other is tensor for other in model.inputs], apply)
    return all(reads) and not any(outputs)


def _conformed(value: Any, reference: Any) -> Any:
    """A tensor in the dtype and rank of a model's input, as Keras makes it; other values
    as they are."""
    if not isinstance(value, tf.Tensor):
        return value
    rank = reference.shape.rank
    if value.shape.rank == rank + 1 and value.shape[-1] == 1:
        value = tf.squeeze(value, axis=-1)
    elif value.shape.rank == rank - 1 and reference.shape[-1] == 1:
        value = tf.expand_dims(value, axis=-1)
    return tf.cast(value, reference.dtype)


def _nodes_of(model: tf_keras.Model, tensors: Sequence | None = None) -> list:
    """The nodes that compute a functional model's outputs, each after its parents.

    Args:
        model: the model.
        tensors: Keras tensors of the model to compute in place of its outputs.
    """
    ordered, seen = [], set()
    given = {id(tensor) for tensor in model.inputs}
    wanted = model.outputs if tensors is None else tensors
    pending = [(t.node, False) for t in reversed(wanted) if id(t) not in given]
    while pending:
        node, parents_done = pending.pop()
        if parents_done:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            pending.append((node, True))
            pending.extend(
                (tensor.node, False)
                for tensor in reversed(node.keras_inputs)
                if id(tensor) not in given
            )
    return ordered


def ends_of(model: tf_keras.Model) -> list[tuple]:
    """The losses and metrics that were added to a model, with the tensors they read."""
    ends = []
    for layer in filter(is_end, model.layers):
        for node in layer.inbound_nodes:
            (tensor,) = tf.nest.flatten(node.call_args[:1])
            sources = [before.layer for before in _nodes_of(model, [tensor])]
            # The same layer may have been called in another model too.
            if not any(isinstance(s, tf_keras.layers.InputLayer) for s in sources):
                ends.append((layer, tensor))
                break
    return ends


def inner_layers(layer: Layer) -> list[Layer]:
    """The layers directly inside a model or layer, without metrics."""
    if isinstance(layer, tf_keras.Model):
        inside = layer.layers
    elif isinstance(layer, tf_keras.layers.Wrapper):
        inside = [layer.layer]
    else:
        inside = [part for part in layer.submodules if isinstance(part, Layer)]
        deeper = {id(below) for part in inside for below in part.submodules}
        inside = [part for part in inside if id(part) not in deeper]
    return [part for part in inside if not isinstance(part, tf_keras.metrics.Metric)]


def is_restored(layer) -> bool:
    """Whether Keras knows no class of a layer and restored what it computes only."""
    module = type(layer).__module__
    return isinstance(layer, Layer) and module.endswith("saved_model.load")
