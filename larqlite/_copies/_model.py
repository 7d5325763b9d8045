"""A model of the same class around other layers."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import tf_keras

from larqlite._copies._carry import carry
from larqlite._copies._layer import layer_like
from larqlite._copies._parts import is_functional
from larqlite.errors import LarqliteError, UnsupportedModelError

# What a model may do of its own without that it trains or predicts differently.
_ENDS = ("AddLoss", "AddMetric")
_NOT_MISSED = {"__init__", "get_config", "from_config", "summary", "build"}


def model_around(
    model: tf_keras.Model, inputs: Any, outputs: Any, where: str
) -> tf_keras.Model:
    """A functional model of the class of another one.

    A class of the user's is kept, with its `train_step` and whatever else it does, if
    its `__init__` takes what `tf_keras.Model` takes. Otherwise the copy is a plain
    model, which is said by name if the class does anything of its own.

    Args:
        model: the model that is copied.
        inputs: Keras tensors.
        outputs: likewise.
        where: the public function, for messages.
    """
    cls = type(model)
    if not isinstance(model, tf_keras.Sequential) and _takes_tensors(cls):
        try:
            return cls(inputs=inputs, outputs=outputs, name=model.name)
        except (TypeError, ValueError):
            pass  # its arguments mean something else
    if not isinstance(model, tf_keras.Sequential):
        say_lost_class(model, where)
    else:
        say_lost_class(model, where, "its layers are no chain any more")
    return tf_keras.Model(inputs=inputs, outputs=outputs, name=model.name)


def sequential_like(model: tf_keras.Sequential, where: str) -> tf_keras.Sequential:
    """An empty Sequential model of the class of another one."""
    try:
        made = type(model)(name=model.name)
    except (TypeError, ValueError):
        made = None  # its arguments mean something else
    if made is not None and not made.layers:
        return made
    say_lost_class(model, where)
    return tf_keras.Sequential(name=model.name)


def say_lost_class(model: tf_keras.Model, where: str, reason: str = "") -> None:
    """Warns of what a class does that a plain model in its place does not."""
    lost = [
        name
        for cls in type(model).__mro__
        if not cls.__module__.startswith(("tf_keras.", "tensorflow.", "builtins"))
        for name, value in vars(cls).items()
        if (callable(value) or isinstance(value, property)) and name not in _NOT_MISSED
    ]
    if not lost:
        return
    name = type(model).__name__
    kind = "Sequential" if isinstance(model, tf_keras.Sequential) else "Model"
    reason = reason or f"{name}.__init__ does not take what tf_keras.{kind} takes"
    warnings.warn(
        f'{where}: the copy of "{model.name}" is no {name} but a plain model, without '
        f"{', '.join(sorted(set(lost)))}, since {reason}.\n"
        "  Fix: a functional model of a class with `def __init__(self, *args, "
        "**kwargs): super().__init__(*args, **kwargs)` keeps it; or train the copy with "
        "a loop of your own.",
        stacklevel=2,
    )


def same_class(
    model: tf_keras.Model, copied: tf_keras.Model, where: str
) -> tf_keras.Model:
    """What `tf_keras.models.clone_model` gave, as a model of the old one's class."""
    if type(copied) is type(model):
        return copied
    if isinstance(model, tf_keras.Sequential):
        made = sequential_like(model, where)
        if type(made) is type(model):
            for layer in copied.layers:
                made.add(layer)
            return made
        return copied
    made = model_around(model, copied.input, copied.output, where)
    for layer in copied.layers:
        if is_end(layer):
            add_end(made, layer, layer.input)
    return made


def is_end(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer is one that Keras makes for `model.add_loss` or `add_metric`."""
    cls = type(layer)
    return cls.__module__.startswith("tf_keras.") and cls.__name__ in _ENDS


def add_end(model: tf_keras.Model, end: tf_keras.layers.Layer, tensor: Any) -> None:
    """Adds the loss or metric to a model that such a layer adds to another one."""
    if type(end).__name__ == "AddLoss":
        model.add_loss(tensor)
    else:
        model.add_metric(tensor, name=end.metric_name, aggregation=end.aggregation)


def copy_of(
    model: tf_keras.Model,
    where: str,
    changes_of: Callable[[tf_keras.layers.Layer], dict] = lambda layer: {},
) -> tf_keras.Model:
    """A whole, uncompiled copy of a Sequential or functional model.

    Args:
        model: the model; it is not changed.
        where: the public function, for messages.
        changes_of: layer -> what is different in the configuration of its copy.

    Raises:
        UnsupportedModelError: a model or layer that cannot be copied.
    """
    changed: set[str] = set()

    def cloned(layer):
        if is_functional(layer):
            return same_class(
                layer, tf_keras.models.clone_model(layer, clone_function=cloned), where
            )
        changes = changes_of(layer)
        changed.update(changes)
        return layer_like(layer, where, changes)

    try:
        copied = cloned(model)
    except LarqliteError:
        raise
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UnsupportedModelError(
            f'{where}: the model "{model.name}" ({type(model).__name__}) cannot be '
            "copied layer by layer.\n"
            "  Fix: build it with tf_keras.Sequential or tf_keras.Model(inputs, outputs)."
        ) from error
    carry(model, copied, where, changed=changed)
    return copied


def _takes_tensors(cls: type) -> bool:
    """Whether a class is made as `tf_keras.Model(inputs, outputs, name=...)` is."""
    spec = inspect.getfullargspec(cls.__init__)
    named = {*spec.args, *spec.kwonlyargs}
    return bool(spec.varkw) or named >= {"inputs", "outputs", "name"}
