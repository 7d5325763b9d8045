"""Whether the layer around a quantizer is training now, and at which step."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from larqlite.qat.quantizers._call import invoke


@dataclasses.dataclass(frozen=True)
class Moment:
    """One call of a quantized layer.

    Attributes:
        training: bool or boolean tensor.
        step: variable that counts training steps from 0; -1 before the first.
    """

    training: Any = False
    step: Any = None

    def quantize(self, quantizer, inputs, weights):
        """The quantizer on a tensor, at this moment."""
        if is_ours(quantizer):
            return as_it_is(self._quantize, quantizer, inputs, weights)
        return self._quantize(quantizer, inputs, weights)

    def _quantize(self, quantizer, inputs, weights):
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


_now: contextvars.ContextVar[Moment] = contextvars.ContextVar(
    "larqlite_qat_moment",
    default=Moment(),  # noqa: B039  frozen
)


def now() -> Moment:
    """The present moment; not training outside of a quantized layer."""
    return _now.get()


@contextlib.contextmanager
def at(moment: Moment) -> Iterator[None]:
    """Within the block, the present moment is this one."""
    token = _now.set(moment)
    try:
        yield
    finally:
        _now.reset(token)
