"""Sizes by tracing: what Keras knows of a layer only once it has been called.

Each function calls a layer once on symbolic tensors inside a `tf.function`;
nothing is computed and no variable changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite.models._call import TensorProfile, static_shape, value_of, values_in
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

    inputs: list[tuple[tf.Tensor, TensorProfile]]
    events: list[Event]
    outputs: Any
    own_ops: tuple[str, ...]


def output_values(
    layer: tf_keras.layers.Layer,
    args: tuple,
    kwargs: dict,
    template: Sequence[TensorProfile],
) -> tuple[TensorProfile, ...]:
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
        filled = [
            next(left) if isinstance(leaf, TensorProfile) else leaf for leaf in flat
        ]
        new_args, new_kwargs = tf.nest.pack_sequence_as((args, kwargs), filled)
        recorder = _CallRecorder(result.events)
        with recorder.watching(watched):
            result.outputs = layer(*new_args, **new_kwargs)
        result.own_ops = recorder.ops_elsewhere()

    specs = [tf.TensorSpec(value.shape, value.dtype) for value in values]
    tf.function(call, autograph=False).get_concrete_function(*specs)
    return result


class _CallRecorder:
    """Hears of the calls of layers and of the graph operations they create."""

    def __init__(self, events: list[Event]):
        self._events = events
        self._depth = 0
        self._inside: set[int] = set()

    @contextlib.contextmanager
    def watching(self, watched: Iterable[tf_keras.layers.Layer]) -> Iterator[None]:
        """Lets layers report for the length of a `with` block."""
        with contextlib.ExitStack() as stack:
            for layer in {id(layer): layer for layer in watched}.values():
                stack.enter_context(patch_object(layer, "call", self._call_of(layer)))
                # Keras may run a model once more for its mask.
                mask = self._mask_of(layer.compute_mask)
                stack.enter_context(patch_object(layer, "compute_mask", mask))
            yield

    def ops_elsewhere(self) -> tuple[str, ...]:
        """Types of operations, outside the layers, that may multiply and accumulate."""
        ops = tf.compat.v1.get_default_graph().get_operations()
        types = {op.type for i, op in enumerate(ops) if i not in self._inside}
        return tuple(sorted(t for t in types if t.startswith(_COUNTING_OPS)))

    def _call_of(self, layer: tf_keras.layers.Layer) -> Callable:
        original = layer.call

        # Keras converts `call` with AutoGraph; what stands around the layer's own
        # code stays as it is.
        @tf.autograph.experimental.do_not_convert
        def begin():
            return self._enter()

        @tf.autograph.experimental.do_not_convert
        def end(first_op, args, kwargs, outputs):
            self._leave(first_op)
            if not self._depth:
                self._events.append(Event(layer, args, kwargs, outputs))

        def call(*args, **kwargs):
            first_op = begin()
            outputs = original(*args, **kwargs)
            end(first_op, args, kwargs, outputs)
            return outputs

        return call

    def _mask_of(self, original: Callable) -> Callable:
        def compute_mask(*args, **kwargs):
            first_op = self._enter()
            mask = original(*args, **kwargs)
            self._leave(first_op)
            return mask

        return compute_mask

    def _enter(self) -> int:
        self._depth += 1
        return _ops_so_far()

    def _leave(self, first_op: int) -> None:
        self._depth -= 1
        self._inside.update(range(first_op, _ops_so_far()))


def _ops_so_far() -> int:
    return len(tf.compat.v1.get_default_graph().get_operations())


def _all_values(structure: Any) -> bool:
    return all(isinstance(leaf, TensorProfile) for leaf in tf.nest.flatten(structure))


def values_of_tensors(structure: Any, known: dict[int, TensorProfile]) -> Any:
    """The structure with a value in place of each tensor: the known one, or a new."""

    def value(leaf):
        if not tf.is_tensor(leaf) or isinstance(leaf, tf.Variable):
            return leaf
        return known.get(id(leaf)) or value_of(leaf)

    return tf.nest.map_structure(value, structure)
