"""Which models a function takes: those of tf_keras, built, whose layers can be followed."""

from __future__ import annotations

from typing import Any

import tf_keras

from larqlite._copies import is_functional
from larqlite.errors import (
    ArgumentError,
    UnbuiltModelError,
    UnsupportedModelError,
    require_model_of_tf_keras,
)


def require_model(
    model: Any,
    where: str,
    *,
    kind: type = tf_keras.Model,
    unbuilt: bool = False,
    subclassed: bool = False,
    refused: type[Exception] = ArgumentError,
) -> None:
    """Refuses what a function cannot do its work with.

    Args:
        model: anything that a user may hand in.
        where: the function, for messages.
        kind: `tf_keras.layers.Layer`, if a layer will do.
        unbuilt: whether one without weights will do.
        subclassed: whether one with a `call` of its own will do.
        refused: the class of errors for what is no model at all.

    Raises:
        KerasVersionError, GraphModeError: as `require_model_of_tf_keras` does.
        refused: it is no model.
        UnbuiltModelError: it has no weights yet.
        UnsupportedModelError: what its `call` computes cannot be followed.

    Example:
        >>> from larqlite.graph import require_model
        >>> require_model(tf_keras.Sequential([tf_keras.Input((2,))]), "lq.deploy.export")
    """
    require_model_of_tf_keras(model, where)
    if not isinstance(model, kind):
        raise refused(
            f"{where}: got {type(model).__name__} {str(model)[:60]!r}, which is no tf_keras "
            "model.\n"
            "  Fix: pass the model object; load a file with lq.models.load(path), put a "
            "single layer into tf_keras.Sequential([tf_keras.Input(shape), layer])."
        )
    may_become = isinstance(model, tf_keras.Sequential) and (unbuilt or not model.built)
    if not subclassed and not (may_become or is_functional(model)):
        name = type(model).__name__
        raise UnsupportedModelError(
            f'{where}: "{model.name}" is a subclassed model ({name}): what its `call` '
            "computes between layers cannot be seen, changed or written.\n"
            "  Fix: build it as a functional model, once, around the same layers:\n"
            "      inputs = tf_keras.Input(shape)\n"
            f"      model = tf_keras.Model(inputs, my_model.call(inputs))  # {name}"
        )
    if not unbuilt and not model.built:
        fix = "begin it with tf_keras.Input((32, 32, 3)), with your sizes"
        if subclassed:
            fix += (
                "; or call `model.build((None, 32, 32, 3))`, or the model on data once"
            )
        raise UnbuiltModelError(
            f'{where}: "{model.name}" has no weights yet, because it does not know the '
            f"size of its input.\n  Fix: {fix}."
        )
