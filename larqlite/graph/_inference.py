"""Calls a layer by itself as Keras calls it when a model predicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import tf_keras


def call_in_inference(
    function: Callable, args: Sequence = (), kwargs: dict | None = None
) -> Any:
    """What a layer gives out in inference.

    Called by itself, a layer takes the default of its `call` (True for the layers that
    augment images), or the learning phase. A model that predicts says `training=False`
    to all layers inside of it, wrapped and nested ones too, but for a call that was
    recorded with a value of its own.

    Args:
        function: a layer; other functions are called as they are.
        args, kwargs: its arguments.
    """
    kwargs = dict(kwargs or {})
    is_layer = isinstance(function, tf_keras.layers.Layer)
    if is_layer and recorded_training(function, args, kwargs) is None:
        args, kwargs = without_training(function, args, kwargs)
        kwargs["training"] = False
    return function(*args, **kwargs)


def recorded_training(layer: Any, args: Sequence, kwargs: dict) -> Any:
    """The `training` that a call of a layer was recorded with; None if it says nothing."""
    place = _place_of_training(layer, args)
    return kwargs.get("training") if place is None else args[place]


def without_training(layer: Any, args: Sequence, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments of a call with `training` left out; those by position keep theirs."""
    place = _place_of_training(layer, args)
    if place is not None:
        names = list(inspect.signature(layer.call).parameters)
        behind = zip(names[place + 1 :], args[place + 1 :], strict=False)
        args, kwargs = args[:place], {**kwargs, **dict(behind)}
    return tuple(args), {k: v for k, v in kwargs.items() if k != "training"}


def _place_of_training(layer: Any, args: Sequence) -> int | None:
    """Where `training` is among the arguments by position, or None."""
    if len(args) < 2:
        return None
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    parameters = inspect.signature(layer.call).parameters.values()
    names = [p.name for p in parameters if p.kind in positional][: len(args)]
    return names.index("training") if "training" in names else None
