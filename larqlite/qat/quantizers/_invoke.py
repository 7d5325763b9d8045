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
        >>> from larqlite.qat.quantizers._invoke import invoke
        >>> float(invoke(Halving(), tf.constant(4.0), training=True, weights={}, step=2))
        1.0
    """
    offered = {"training": training, "weights": weights, "step": step}
    taken = _taken(quantizer).items()
    return quantizer(inputs, **{name: offered[meant] for name, meant in taken})


def _taken(quantizer) -> dict[str, str]:
    cls = type(quantizer)
    if cls not in _taken_by_class:
        _taken_by_class[cls] = _inspected(quantizer)
    return _taken_by_class[cls]


def _inspected(quantizer) -> dict[str, str]:
    """What is offered, by the names that the class has for it."""
    parameters = list(inspect.signature(quantizer).parameters.values())
    names = [p.name for p in parameters[1:]]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    taken = {name: name for name in OFFERED if open_ended or name in names}
    if "training" not in names:
        # The reference hands it in by position, so it may be `is_training` too.
        taken.update({name: "training" for name in names[:1] if "train" in name})
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
