"""Calls a quantizer with those of `training`, `weights` and `step` that it takes."""

from __future__ import annotations

import inspect
import weakref

from larqlite.errors import QuantizerError

__all__ = ["invoke"]

OFFERED = ("training", "weights", "step")

_taken_by_class: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def invoke(quantizer, inputs, *, training=None, weights=None, step=None):
    """`quantizer(inputs, ...)` with the keyword arguments that its class takes.

    Args:
        quantizer: a `Quantizer`, or anything with such a `__call__`.
        inputs: tensor to quantize.
        training: bool, tensor or None.
        weights: what `quantizer.build` returned.
        step: the iteration of the optimizer.

    Returns:
        The quantized tensor.

    Raises:
        QuantizerError: `__call__` requires an argument that is not offered.

    Example:
        >>> class Halving(lq.qat.quantizers.Quantizer):
        ...     def __call__(self, inputs, step):
        ...         return inputs / 2**step
        >>> from larqlite.qat.quantizers._call import invoke
        >>> float(invoke(Halving(), tf.constant(4.0), training=True, weights={}, step=2))
        1.0
    """
    offered = {"training": training, "weights": weights, "step": step}
    return quantizer(inputs, **{name: offered[name] for name in _taken(quantizer)})


def _taken(quantizer) -> tuple[str, ...]:
    cls = type(quantizer)
    if cls not in _taken_by_class:
        _taken_by_class[cls] = _inspected(quantizer)
    return _taken_by_class[cls]


def _inspected(quantizer) -> tuple[str, ...]:
    parameters = list(inspect.signature(quantizer).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        taken = OFFERED
    else:
        names = {p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY}
        taken = tuple(name for name in OFFERED if name in names)
    for parameter in parameters[1:]:
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if required and parameter.name not in taken:
            raise QuantizerError(
                f"{type(quantizer).__name__}.__call__ requires `{parameter.name}`, but "
                f"quantizers are given the tensor, {', '.join(OFFERED)} only.\n"
                f"  Fix: give `{parameter.name}` a default, or set it in `__init__`."
            )
    return taken
