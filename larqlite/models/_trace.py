"""Sizes by tracing: what Keras knows of a layer only once it has been called.

Each function calls a layer once on symbolic tensors inside a `tf.function`;
nothing is computed and no variable changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.models._call import Value, static_shape, value_of, values_in
from larqlite.utils import patch_object

_COUNTING_OPS = (
    "BatchMatMul",
    "Conv",
    "Depthwise",
    "Einsum",
    "MatMul",
    "SparseTensorDense",
    "While",
    "StatelessWhile",
    "If",
    "StatelessIf",
    "PyFunc",
    "EagerPyFunc",
)


@dataclasses.dataclass
class Event:
    """A call of one layer inside another, with the tensors themselves."""

    layer: tf_keras.layers.Layer
    args: tuple
    kwargs: dict[str, Any]
    outputs: Any = None
    first_op: int = 0
    last_op: int = 0


@dataclasses.dataclass
class Trace:
    """What happened while a layer was traced.

    Attributes:
        inputs: the symbolic tensors put in the place of values, as (tensor, value).
        events: the calls of watched layers, in order.
        outputs: what the layer returned.
        own_ops: types of the operations outside watched layers that may multiply
            and accumulate.
    """

    inputs: list[tuple[tf.Tensor, Value]]
    events: list[Event]
    outputs: Any
    own_ops: tuple[str, ...]


def output_values(
    layer: tf_keras.layers.Layer, args: tuple, kwargs: dict, template: Sequence[Value]
) -> tuple[Value, ...]:
    """What a layer returns for inputs of other sizes than it was first called with.

    Args:
        layer: the layer.
        args: positional arguments, values in place of tensors.
        kwargs: keyword arguments, likewise.
        template: its outputs for the first sizes.
    """
    only_input = len(args) == 1 and not any(values_in(kwargs))
    if only_input and _all_values(args) and not hasattr(layer, "symbol"):
        given = tf.nest.map_structure(lambda v: tf.TensorShape(v.shape), args[0])
        shapes = layer.compute_output_shape(given)
        shapes = [shapes] if len(template) == 1 else list(shapes)
    else:
        traced = trace(layer, args, kwargs, watched=())
        shapes = [tensor.shape for tensor in tf.nest.flatten(traced.outputs)]
    return tuple(
        value.with_shape(static_shape(shape))
        for value, shape in zip(template, shapes, strict=True)
    )


def trace(
    layer: tf_keras.layers.Layer,
    args: tuple,
    kwargs: dict[str, Any],
    watched: Iterable[tf_keras.layers.Layer],
) -> Trace:
    """Calls a layer once on symbolic tensors and records the calls inside it.

    Args:
        layer: the layer.
        args: positional arguments, values in place of tensors.
        kwargs: keyword arguments, likewise.
        watched: layers inside it whose calls are recorded; calls inside one of
            these are its own affair.
    """
    flat = tf.nest.flatten((args, kwargs))
    values = list(values_in(flat))
    result = Trace([], [], None, ())

    def call(*tensors):
        result.inputs = list(zip(tensors, values, strict=True))
        left = iter(tensors)
        filled = [next(left) if isinstance(leaf, Value) else leaf for leaf in flat]
        new_args, new_kwargs = tf.nest.pack_sequence_as((args, kwargs), filled)
        with _recording(watched, result.events):
            result.outputs = layer(*new_args, **new_kwargs)
        result.own_ops = _own_ops(result.events)

    specs = [tf.TensorSpec(value.shape, value.dtype) for value in values]
    tf.function(call, autograph=False).get_concrete_function(*specs)
    return result


@contextlib.contextmanager
def _recording(watched: Iterable[tf_keras.layers.Layer], events: list[Event]):
    """Lets every watched layer report its calls for the length of a `with` block."""
    open_events: list[Event] = []
    with contextlib.ExitStack() as stack:
        for layer in {id(layer): layer for layer in watched}.values():
            reporting = _reporting(layer, layer.call, open_events, events)
            stack.enter_context(patch_object(layer, "call", reporting))
        yield


def _reporting(layer, original: Callable, open_events: list, events: list) -> Callable:
    # Keras converts `call` with AutoGraph; these two stay as they are, so that
    # only the layer's own code is converted.
    @tf.autograph.experimental.do_not_convert
    def begin(args, kwargs):
        open_events.append(Event(layer, args, kwargs, first_op=_ops_so_far()))

    @tf.autograph.experimental.do_not_convert
    def end(outputs):
        event = open_events.pop()
        if not open_events:
            event.outputs, event.last_op = outputs, _ops_so_far()
            events.append(event)

    def call(*args, **kwargs):
        begin(args, kwargs)
        outputs = original(*args, **kwargs)
        end(outputs)
        return outputs

    return call


def _ops_so_far() -> int:
    return len(tf.compat.v1.get_default_graph().get_operations())


def _own_ops(events: Sequence[Event]) -> tuple[str, ...]:
    inside = {i for event in events for i in range(event.first_op, event.last_op)}
    ops = tf.compat.v1.get_default_graph().get_operations()
    types = {op.type for i, op in enumerate(ops) if i not in inside}
    return tuple(sorted(t for t in types if t.startswith(_COUNTING_OPS)))


def _all_values(structure: Any) -> bool:
    return all(isinstance(leaf, Value) for leaf in tf.nest.flatten(structure))


def values_of_tensors(structure: Any, known: dict[int, Value]) -> Any:
    """The structure with a value in place of each tensor: the known one, or a new."""

    def value(leaf):
        if not tf.is_tensor(leaf) or isinstance(leaf, tf.Variable):
            return leaf
        return known.get(id(leaf)) or value_of(leaf)

    return tf.nest.map_structure(value, structure)
