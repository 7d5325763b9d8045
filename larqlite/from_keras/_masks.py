"""The masks of Keras 3 models, followed as Keras 3 runs them, and made in tf_keras.

tf_keras hands masks on by rules of its own. Where they give a layer another mask than
Keras 3 does, a layer before it attaches the one that Keras 3 computes, or takes it away.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras
import tf_keras

from larqlite.from_keras import _own_layers, _walk
from larqlite.from_keras._config import refusal
from larqlite.from_keras._sample_inputs import sample_inputs

L = tf_keras.layers
# Layers of tf_keras whose masks are those that Keras 3's layers of the name make.
SOURCES = (L.Embedding, L.Masking)
# And those that hand the mask of their input on though they have a rule of their own.
HANDING_ON = (L.RNN, L.Bidirectional)


def has_masks(graph: Any) -> bool:
    """Whether any tensor of a graph of Keras 3 carries a mask."""
    return any(
        _walk.mask_of(tensor) is not None
        for call in _walk.calls_of(graph)
        for tensor in [*call.outputs, *_outputs_inside(call.operation)]
    )


def _outputs_inside(operation: Any) -> list:
    return operation.outputs if _walk.is_model(operation) else []


class Masks:
    """What is attached to the tensors of one graph, in Keras 3 and here.

    Args:
        graph: of Keras 3.
        known: our Keras tensors by the `id` of theirs; filled while the model is built.
        convert: gives what computes a call of an operation.
        where: for messages.
    """

    def __init__(self, graph: Any, known: dict, convert: Callable, where: str):
        self._known, self._convert, self._where = known, convert, where
        self._ours: dict[int, Any] = {}
        self._live = _live(graph, where) if has_masks(graph) else {}

    def tensor(self, step: Any, tensor: Any) -> Any:
        """Our tensor for one of Keras 3, with the mask that a layer is to see."""
        ours = self._known[id(tensor)]
        if not self._live or not _reads_masks(step):
            return ours
        wanted = self._wanted(step, tensor)
        if self._ours.get(id(tensor)) == (None if wanted is None else id(wanted)):
            return ours
        if wanted is None:
            return _own_layers.Unmasked()(ours)
        return _own_layers.Masked()([ours, self._mask(wanted)])

    def note(self, step: Any) -> None:
        """Enters what is attached to the outputs of a call that was made."""
        if not self._live:
            return
        first = next(iter(step.call.inputs), None)
        for tensor in step.call.outputs:
            ours = self._known[id(tensor)]
            token: Any = None
            if getattr(ours, "_keras_mask", None) is not None:
                theirs = _walk.mask_of(tensor)
                if isinstance(step.layer, SOURCES) and theirs is not None:
                    token = id(theirs)
                elif _hands_on(step.layer) and first is not None:
                    seen = self._wanted(step, first)
                    token = id(seen) if seen is not None else self._ours.get(id(first))
                else:
                    token = object()
            self._ours[id(tensor)] = token

    def _wanted(self, step: Any, tensor: Any) -> Any:
        """The mask of a tensor that Keras 3 hands to the layer of a call, or None."""
        if not step.masked:
            return None
        if is_recorded(step.call):
            return _walk.mask_of(tensor)
        live = self._live.get((id(step.call.outputs[0]), id(tensor)), False)
        return _walk.mask_of(tensor) if live else None

    def _mask(self, mask: Any) -> Any:
        """Our tensor for a mask, by the operations with which Keras 3 computes it."""
        if id(mask) in self._known:
            return self._known[id(mask)]
        node = _walk.producer_of(mask)
        call = _walk.recorded(node)
        args, kwargs = _walk.filled(call, self._mask)
        outputs = self._convert(call)(*args, **kwargs)
        for theirs, ours in zip(call.outputs, keras.tree.flatten(outputs), strict=True):
            self._known[id(theirs)] = ours
        return self._known[id(mask)]


def is_recorded(call: _walk.RecordedCall) -> bool:
    """Whether the `mask` of a call is the one that its first argument carries.

    Keras 3 records that for some calls, where tf_keras hands the mask on by itself.
    """
    if call.kwargs.get("mask") is None or not call.args:
        return False
    given = keras.tree.flatten(call.kwargs["mask"])
    carried = [_walk.mask_of(t) for t in keras.tree.flatten(call.args[0])]
    return len(given) == len(carried) and all(map(_is, given, carried))


def _is(a: Any, b: Any) -> bool:
    return a is b


def without_recorded(call: _walk.RecordedCall) -> _walk.RecordedCall:
    """A call without the mask that its first argument carries anyhow."""
    if not is_recorded(call):
        return call
    kwargs = {key: value for key, value in call.kwargs.items() if key != "mask"}
    flat = keras.tree.flatten((call.args, kwargs))
    inputs = [t for t in flat if isinstance(t, _walk.Tensor)]
    return dataclasses.replace(call, kwargs=kwargs, inputs=inputs)


def needed(graph: Any, calls: list[_walk.RecordedCall]) -> set[int]:
    """The first outputs, by `id`, of the calls without which a graph has no outputs.

    What computes masks only is not among them: where it is needed it is made.
    """
    wanted, found = {id(tensor) for tensor in graph.outputs}, set()
    for call in reversed(calls):
        if any(id(tensor) in wanted for tensor in call.outputs):
            found.add(id(call.outputs[0]))
            wanted.update(id(tensor) for tensor in without_recorded(call).inputs)
    return found


def uses_mask(call: _walk.RecordedCall) -> bool:
    """Whether Keras 3 hands the masks of what a layer is called with to the layer."""
    layer = call.operation
    if is_recorded(call):
        return True
    if not _walk.is_layer(layer) or "mask" in call.kwargs:
        return False
    parameters = list(inspect.signature(layer.call).parameters)
    given = [*parameters[: len(call.args)], *call.kwargs]
    values = [*call.args, *call.kwargs.values()]
    with_tensors = [
        name
        for name, value in zip(given, values, strict=True)
        if any(isinstance(x, _walk.Tensor) for x in keras.tree.flatten(value))
    ]
    if len(with_tensors) == 1:
        return "mask" in parameters
    return any(f"{name}_mask" in parameters for name in with_tensors)


def _reads_masks(step: Any) -> bool:
    """Whether the layer of tf_keras reads the masks of what it is called with."""
    layer = step.layer
    if layer is None or "mask" in without_recorded(step.call).kwargs:
        return False
    is_model = isinstance(layer, tf_keras.Model)
    reads = "mask" in inspect.signature(layer.call).parameters
    return reads or is_model or isinstance(layer, L.MultiHeadAttention)


def _hands_on(layer: Any) -> bool:
    """Whether a layer of tf_keras gives out the mask of its input as it is."""
    if layer is None:
        return False
    own = type(layer).compute_mask is not L.Layer.compute_mask
    return isinstance(layer, HANDING_ON) or not own


def _live(graph: Any, where: str) -> dict[tuple[int, int], bool]:
    """Where there are masks when Keras 3 runs a graph.

    They are not all that its tensors show: `MultiHeadAttention` takes them from the
    tensors that it is called with.

    Returns:
        For the first output of each call and each of its inputs, by `id`.
    """
    values = sample_inputs(graph)
    known = {
        id(t): keras.ops.convert_to_tensor(v, dtype=t.dtype)
        for t, v in zip(graph.inputs, values, strict=True)
    }
    found = {}
    for call in _walk.calls_of(graph):
        for tensor in call.inputs:
            there = _walk.mask_of(known[id(tensor)]) is not None
            found[id(call.outputs[0]), id(tensor)] = there
        outputs = _walk.run(call, lambda t: known[id(t)])
        if _walk.is_model(call.operation):
            read = [found[id(call.outputs[0]), id(t)] for t in call.inputs]
            _refuse_through(call, any(read), any(_masked(o) for o in outputs), where)
        known.update(zip(map(id, call.outputs), outputs, strict=True))
    return found


def _masked(value: Any) -> bool:
    return _walk.mask_of(value) is not None


def _refuse_through(call: Any, goes_in: bool, comes_out: bool, where: str) -> None:
    if goes_in or comes_out:
        way = "into" if goes_in else "out of"
        raise refusal(
            call.operation,
            f"a mask goes {way} this model inside of the other.",
            "call its layers one by one in the outer model; or mask=None to what reads "
            "the mask.",
            where,
        )
