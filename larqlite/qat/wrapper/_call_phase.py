"""The phase of a call: whether the layer around a quantizer is training, at which step."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

from larqlite.qat.lowerings import is_exporting, stored
from larqlite.qat.quantizers.internal import invoke


@dataclasses.dataclass(frozen=True)
class CallPhase:
    """One call of a quantized layer.

    Attributes:
        training: bool or boolean tensor.
        step: variable that counts training steps from 0; -1 before the first.
    """

    training: Any = False
    step: Any = None

    def quantize(self, quantizer, inputs, weights):
        """The quantizer on a tensor, in this phase."""
        if is_ours(quantizer):
            if _only_shapes.get():
                return inputs
            outputs = as_it_is(self._quantize, quantizer, inputs, weights)
        else:
            outputs = self._quantize(quantizer, inputs, weights)
        observer = _observer.get()
        if observer is not None:
            observer(weights, inputs, outputs)
        return outputs

    def _quantize(self, quantizer, inputs, weights):
        if is_exporting():
            outputs = stored(quantizer, inputs, weights)
            if outputs is not None:
                return outputs
        return invoke(
            quantizer, inputs, training=self.training, weights=weights, step=self.step
        )


def is_ours(thing) -> bool:
    """Whether a class is larqlite's own, without Python branches on tensors."""
    return type(thing).__module__.startswith("larqlite.")


@tf.autograph.experimental.do_not_convert
def as_it_is(function, *args):
    """Calls a function that AutoGraph need not read, since reading takes time."""
    return function(*args)


_phase: contextvars.ContextVar[CallPhase] = contextvars.ContextVar(
    "larqlite_qat_call_phase",
    default=CallPhase(),  # noqa: B039  frozen
)


_only_shapes: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "larqlite_qat_only_shapes", default=False
)


@contextlib.contextmanager
def only_shapes() -> Iterator[None]:
    """Within the block, tensors are not quantized: for calls that ask for shapes alone.

    Keras calls each layer once when a model is put together, and keeps nothing of the
    computation.
    """
    token = _only_shapes.set(True)
    try:
        yield
    finally:
        _only_shapes.reset(token)


_observer: contextvars.ContextVar = contextvars.ContextVar(
    "larqlite_qat_observer", default=None
)


@contextlib.contextmanager
def observing(observer: Callable[[dict, Any, Any], None]) -> Iterator[None]:
    """Within the block, each quantizer's variables, input and output are handed over."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def asks_only_for_shapes() -> bool:
    """Whether nothing is computed with the tensors of this call."""
    return _only_shapes.get()


def current_phase() -> CallPhase:
    """The present phase; not training outside of a quantized layer."""
    return _phase.get()


@contextlib.contextmanager
def in_phase(phase: CallPhase) -> Iterator[None]:
    """Within the block, the present phase is this one."""
    token = _phase.set(phase)
    try:
        yield
    finally:
        _phase.reset(token)


def counted(step: tf.Variable, quantizers: Iterable, training) -> tf.Variable:
    """`step`, one higher if the layer is training and one of its quantizers reads it.

    Args:
        step: integer variable that starts at -1.
        quantizers: those of the layer.
        training: bool, boolean tensor or None.
    """
    if training is None or training is False:
        return step
    if any("step" in inspect.signature(q).parameters for q in quantizers):
        step.assign_add(tf.cast(training, step.dtype))
    return step
