"""Weights of a wrapped layer that read as quantized values during its call.

While a layer is made, every floating-point variable becomes a
`larqlite.variables.QuantizedVariable`. Once the quantizers are known, the view of a
quantized weight reads through a `ReadHook`. What it reads as is set for one call, in a
context variable: nothing is swapped on the layer, so weights keep their order and
checkpoints their names, and replicas in other threads see values of their own.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import tensorflow as tf

from larqlite import context
from larqlite.errors import QuantizerError
from larqlite.variables import QuantizedVariable

_readings: contextvars.ContextVar[Mapping[int, tf.Tensor]] = contextvars.ContextVar(
    "larqlite_qat_readings",
    default=MappingProxyType({}),
)


@contextlib.contextmanager
def viewed_variables() -> Iterator[None]:
    """Within the block, floating-point variables are made as views."""

    def creator(next_creator, **kwargs):
        variable = next_creator(**kwargs)
        if not variable.dtype.is_floating or isinstance(variable, QuantizedVariable):
            return variable
        return QuantizedVariable.from_variable(variable)

    with tf.variable_creator_scope(creator):
        yield


class ReadHook:
    """What one weight reads as in scope.

    Args:
        quantize: latent tensor -> quantized tensor with the ranges stored so far, for
            reads in `lq.context.quantized_scope(True)` outside of a call.
        precision: bits of the quantized values, or None if not known.
    """

    def __init__(
        self, quantize: Callable[[tf.Tensor], tf.Tensor], precision: int | None
    ):
        self.quantize = quantize
        self.precision = precision

    def __call__(self, latent: tf.Tensor) -> tf.Tensor:
        reading = _readings.get().get(id(self))
        return self.quantize(latent) if reading is None else reading

    def __deepcopy__(self, memo):
        return self


def require_views(weights: Iterable, where: str) -> None:
    """Raises unless all can read as something else.

    Raises:
        QuantizerError: a weight was not made by the wrapped layer.
    """
    for weight in weights:
        # Keras' mixed precision puts a variable of its own around it.
        if not hasattr(weight, "read_through"):
            raise QuantizerError(
                f"{where}: its quantize_config returns {weight!r} as a weight, which is "
                "no variable that the layer made.\n"
                "  Fix: return variables of the layer from get_weights_and_quantizers, "
                "e.g. [(layer.kernel, quantizer)]."
            )


@contextlib.contextmanager
def reading(values: Mapping[int, tf.Tensor]) -> Iterator[None]:
    """Within the block, the weights of the hooks with these ids read as these tensors."""
    token = _readings.set({**_readings.get(), **values})
    try:
        with context.quantized_scope(True):
            yield
    finally:
        _readings.reset(token)
