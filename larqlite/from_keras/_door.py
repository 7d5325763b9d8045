"""`from_keras`, and what goes with it, without Keras 3: it is imported when it is used."""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tf_keras

from larqlite._progress import bar
from larqlite.errors import ArgumentError, KerasVersionError, is_of_keras3

__all__ = ["ConvertedModel", "as_tf_keras", "convert", "from_keras"]

log = logging.getLogger("larqlite.models")
WHERE = "lq.models.from_keras"


@dataclasses.dataclass(frozen=True)
class ConvertedModel:
    """A model that came in, and how near it is.

    Attributes:
        model: of tf_keras.
        differences: for each call of a layer, by its path, the largest difference to
            Keras 3 for the same inputs, relative to the largest output.
        difference: that of the outputs of the whole model.
        notes: what is otherwise than in the Keras 3 model, a sentence each.
    """

    model: tf_keras.Model
    differences: Mapping[str, float]
    difference: float
    notes: tuple[str, ...] = ()


def from_keras(
    model_or_path: Any,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    inputs: Any = None,
) -> tf_keras.Model:
    """A Keras 3 model as a model of tf_keras that computes the same.

    Sequential and functional models come in, with models inside, shared layers, several
    inputs and outputs, preprocessing layers and operations of `keras.ops`; names, weights,
    `trainable`, dtypes and the structure of inputs and outputs are kept. Each conversion
    ends with a comparison: every layer is called with the same numbers in both, and what
    comes out may differ by 1e-5 of its largest value, in float16 and bfloat16 by two
    units in the last place. The whole model's outputs are compared too; there may be
    four times what Keras 3's own outputs move by, when the inputs move by 2**-22 of
    themselves.

    The optimizer, losses and metrics stay behind: compile the model that comes out.
    Keras 3 is imported by this call, with the back end that is set for it.

    Args:
        model_or_path: a model of Keras 3, or a path to what it saved: `.keras` or `.h5`.
        custom_objects: names mapped to classes of your own that the file holds.
        inputs: arrays to compare with, as the model takes them; random ones by default.

    Returns:
        A `tf_keras.Sequential`, or `tf_keras.Model`, not compiled.

    Raises:
        ArgumentError: `model_or_path` is neither a Keras 3 model nor a path.
        MissingFileError: there is nothing at the path.
        KerasVersionError: the model or file is of tf_keras already.
        UnsafeFileError: the file would run code of its own, as a `Lambda` does.
        UnsupportedModelError: the file cannot be read, the model is subclassed or has no
            graph, or an output is not the same.
        UnbuiltModelError: the model has no weights yet.
        UnsupportedLayerError: a layer has no equal here, or computes something else;
            the message names it and the way out.

    Example:
        >>> import keras
        >>> model = keras.Sequential([
        ...     keras.Input((8,)), keras.layers.Dense(4, "hard_sigmoid"),
        ...     keras.layers.LayerNormalization(), keras.layers.Dense(2)])
        >>> ours = lq.models.from_keras(model)
        >>> x = np.ones((3, 8), "float32")
        >>> bool(np.allclose(ours.predict(x, verbose=0), model.predict(x, verbose=0)))
        True
    """
    return convert(model_or_path, custom_objects=custom_objects, inputs=inputs).model


def convert(
    model_or_path: Any,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    inputs: Any = None,
    where: str = WHERE,
) -> ConvertedModel:
    """`from_keras`, with what the comparison found.

    Args:
        model_or_path, custom_objects, inputs: as there.
        where: the public function on whose behalf it is done, for messages.
    """
    if isinstance(model_or_path, tf_keras.layers.Layer):
        raise KerasVersionError(
            f"{where}: {model_or_path.name!r} is a model of tf_keras already.\n"
            "  Fix: use it as it is."
        )
    is_path = isinstance(model_or_path, str | Path)
    if not is_path and not is_of_keras3(model_or_path):
        raise ArgumentError(
            f"{where}: got {type(model_or_path).__name__}, but a model of Keras 3 is "
            "needed, or a path to one.\n  Fix: from_keras(keras_model), or "
            "from_keras('model.keras')."
        )
    # These import Keras 3.
    build = importlib.import_module("larqlite.from_keras._build")
    check = importlib.import_module("larqlite.from_keras._check")
    with bar("from Keras 3"):
        model3 = model_or_path
        if is_path:
            read = importlib.import_module("larqlite.from_keras._read")
            model3 = read.read(Path(model_or_path), dict(custom_objects or {}), where)
        built = build.build(model3, where)
        differences, difference, notes = check.compare(built, inputs, where)
    for note in (*built.notes, *notes):
        log.info("%s: %s", where, note)
    return ConvertedModel(built.model, differences, difference, (*built.notes, *notes))


def as_tf_keras(model: Any, where: str) -> Any:
    """What a function of larqlite works with: a model of Keras 3 comes in, with a line.

    Args:
        model: anything that a user may hand in as a model.
        where: the function that received it, for the line and for errors.

    Returns:
        The model of tf_keras, for a model of Keras 3; all else as it is.

    Raises:
        As `from_keras`, for a model of Keras 3.
    """
    if is_of_keras3(model, "models"):
        came = convert(model, where=where)
        say_that_it_came_in(f'"{model.name}"', came, where)
        return came.model
    return model


def say_that_it_came_in(what: str, came: ConvertedModel, where: str) -> None:
    """The line about a model of Keras 3 that was given where one of tf_keras is needed."""
    log.warning(
        "%s: %s is of Keras 3 and came in as by lq.models.from_keras; outputs differ by "
        "at most %.1g of the largest.",
        where,
        what,
        came.difference,
    )
