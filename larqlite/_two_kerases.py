"""What is said where objects of Keras 3 and of tf_keras meet: one error, and one line at import.

Since TensorFlow 2.16 `tf.keras` is Keras 3. Its objects are no objects of tf_keras, nor the
other way round, and what either Keras says of the other's names no cause. So

- a larqlite object raises `KerasVersionError` where Keras 3 is about to refuse it by name
  (`OfTfKeras`), or would run it without training it (`refuse_inside_keras_3`);
- `Model.compile`, `Sequential.add` and `CallbackList` of tf_keras look at what they are
  given before they go on as ever (`look_at_what_tf_keras_is_given`);
- `import larqlite` says a line (`say_which_keras`).

Nothing here imports Keras 3.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import tf_keras

from larqlite._misspelt import place
from larqlite.errors import TF_KERAS_INSTEAD, KerasVersionError, require_tf_keras

__all__ = [
    "CallbackOfTfKeras",
    "OfTfKeras",
    "look_at_what_tf_keras_is_given",
    "refuse_inside_keras_3",
    "require_arguments_of_tf_keras",
    "say_which_keras",
]

log = logging.getLogger("larqlite")


class OfTfKeras:
    """Mixin: an object whose class derives from one of tf_keras.

    Keras 3 refuses such an object with a message that holds it as text; an error that
    says the cause comes in its place.
    """

    def __format__(self, spec: str) -> str:
        if _module(sys._getframe(1)).startswith("keras.src."):
            _refuse_in_keras_3(self)
        return super().__format__(spec)


class CallbackOfTfKeras(OfTfKeras, tf_keras.callbacks.Callback):
    """Base class of callbacks: the model that they serve is one of tf_keras."""

    def set_model(self, model: tf_keras.Model) -> None:
        """Takes the model, as Keras does before training."""
        require_tf_keras(model, f"lq.callbacks.{type(self).__name__}")
        super().set_model(model)


def refuse_inside_keras_3(thing: Any, kind: str = "layers.layer") -> None:
    """Raises if a layer of Keras 3 is being called: it sees no weights that are made now.

    Args:
        thing: a layer or quantizer that makes its weights in this call; or a metric.
        kind: which part of Keras 3 must not be calling, "metrics" for one.

    Raises:
        KerasVersionError: it is.
    """
    if "keras.src" not in sys.modules:
        return
    for frame in _frames(sys._getframe(1)):
        if _module(frame).startswith(f"keras.src.{kind}"):
            _refuse_in_keras_3(thing)


def _refuse_in_keras_3(thing: Any) -> NoReturn:
    where = place(type(thing), {"name": getattr(thing, "name", None)})
    raise KerasVersionError(
        f"{where}: an object of tf_keras (Keras 2) was given "
        "to Keras 3, which neither takes it nor trains its weights.\n"
        "  Fix: build all of the model with `import tf_keras`; or take layers and quantizers of "
        f"lq.keras3, which are of Keras 3; {TF_KERAS_INSTEAD}"
    ) from None


def require_arguments_of_tf_keras(arguments: dict[str, Any], where: str) -> None:
    """Raises if an argument of a layer is an object of Keras 3, named with the argument.

    Args:
        arguments: by name.
        where: the layer.

    Raises:
        KerasVersionError: an initializer, constraint, policy ... of Keras 3.
    """
    for name, value in arguments.items():
        require_tf_keras(value, f"{where}, {name}")


# What tf_keras is given.


def look_at_what_tf_keras_is_given() -> None:
    """Puts a look at the arguments before the three functions of tf_keras that take objects.

    They behave as before in all else. Each look has `looks_for_keras_3` as an attribute,
    and the function of tf_keras as `__wrapped__`.
    """
    _look_before(tf_keras.Model, "compile", _look_at_compile)
    _look_before(tf_keras.Sequential, "add", _look_at_layer)
    _look_before(tf_keras.callbacks.CallbackList, "__init__", _look_at_callbacks)


def _look_before(owner: type, method: str, look: Callable) -> None:
    original = getattr(owner, method)
    if hasattr(original, "looks_for_keras_3"):
        return

    @functools.wraps(original)
    def looking(self, *args, **kwargs):
        look(self, *args, **kwargs)
        return original(self, *args, **kwargs)

    looking.looks_for_keras_3 = True
    setattr(owner, method, looking)


def _look_at_compile(model, *args, **kwargs) -> None:
    names = ("optimizer", "loss", "metrics", "loss_weights", "weighted_metrics")
    given = dict(zip(names, args, strict=False)) | kwargs
    for name in names:
        for value in _leaves(given.get(name)):
            # A loss of Keras 3 is a number already, which tf_keras multiplies by sample
            # weights; without any it is right, so that models of others are left alone.
            if name != "loss" or _has_larqlite(model, given.get("optimizer")):
                require_tf_keras(value, f'compile() of "{model.name}", {name}')


def _look_at_layer(owner, layer=None, *_args, **_kwargs) -> None:
    require_tf_keras(layer, f"{type(owner).__name__} of tf_keras, layer")


def _look_at_callbacks(_owner, callbacks=None, *_args, **kwargs) -> None:
    model = kwargs.get("model")
    for value in _leaves(callbacks):
        require_tf_keras(value, f'"{getattr(model, "name", "fit")}", callbacks')


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _has_larqlite(model, optimizer) -> bool:
    return any(isinstance(part, OfTfKeras) for part in (optimizer, *model.submodules))


# At import.


def say_which_keras() -> None:
    """Logs a line where `tf.keras` is Keras 3, unless who imports larqlite has tf_keras.

    So `import tf_keras` in the same file or cell, or before, is answered with silence.
    """
    if os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"):
        return
    for frame in _frames(sys._getframe(1)):
        if not _module(frame).startswith(("larqlite", "importlib.")):
            names = frame.f_code.co_names if frame.f_code.co_name == "<module>" else ()
            if any(name.split(".")[0] == "tf_keras" for name in names):
                return
            break
    log.warning(
        "tf.keras is Keras 3 here, but layers, optimizers and callbacks of larqlite are those "
        "of tf_keras. Write `import tf_keras` and tf_keras.Sequential, or set "
        "TF_USE_LEGACY_KERAS=1 before TensorFlow is imported."
    )


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return frame.f_globals.get("__name__") or ""
