"""The errors of larqlite: each says what happened, where, and how to fix it.

Every class derives from `LarqliteError` and from the built-in class that Keras
raises, or the literature documents, for the same case, so both kinds of
`except` clause work.
"""

from __future__ import annotations

import sys

from larqlite_runtime.names import near_matches as near_matches


class LarqliteError(Exception):
    """Base class of every error that larqlite raises on purpose."""

    # AutoGraph then lets the error out of a training step as it is. Otherwise it
    # would become an anonymous StagingError, which no `except` clause expects.
    ag_pass_through = True


class UnknownQuantizerError(LarqliteError, ValueError):
    """A string, dictionary or object that names no quantizer."""


class QuantizerError(LarqliteError, TypeError):
    """A quantizer that cannot be used in the way it was asked to."""


class ArgumentError(LarqliteError, ValueError):
    """An argument whose value is not allowed, or not with the other arguments."""


class UnknownArgumentError(LarqliteError, TypeError):
    """A keyword argument that a layer does not have."""


class DtypeError(LarqliteError, TypeError):
    """A tensor of a dtype that the operation is not defined for."""


class KerasVersionError(LarqliteError, TypeError):
    """A Keras 3 object where a tf_keras (Keras 2) object is needed."""


class GraphModeError(LarqliteError, RuntimeError):
    """A model of TensorFlow's graph mode, where eager execution is needed."""


class UnbuiltModelError(LarqliteError, ValueError):
    """A model whose weights and shapes do not exist yet."""


class OptimizerError(LarqliteError, ValueError):
    """An optimizer that cannot serve the variables it was given."""


class OptimizerTypeError(LarqliteError, TypeError):
    """Something that is not an optimizer, or not a predicate, where one is needed."""


class MissingHyperparameterError(LarqliteError, AttributeError):
    """A hyperparameter, such as a learning rate, that an optimizer does not have."""


class LatentWeightError(LarqliteError, RuntimeError):
    """An operation that would overwrite latent weights with quantized values."""


class UnsupportedModelError(LarqliteError, ValueError):
    """A model that cannot be converted, loaded or inspected exactly."""


class UnsafeFileError(UnsupportedModelError):
    """A file that would run code of its own while it is loaded, or touch files after."""


class UnsupportedLayerError(LarqliteError, RuntimeError):
    """A layer that a conversion has no rule for."""


class MissingFileError(LarqliteError, FileNotFoundError):
    """A file or folder that does not exist."""


class DownloadError(LarqliteError, OSError):
    """A file that could not be fetched, or whose content is not what was published."""


class UploadError(LarqliteError, OSError):
    """Files that could not be published."""


# The way out of a mixture of the two, whatever it is.
TF_KERAS_INSTEAD = (
    "or, to keep writing `tf.keras`, set the environment variable TF_USE_LEGACY_KERAS=1 "
    "before TensorFlow is imported."
)


def is_of_keras3(obj, kind: str = "") -> bool:
    """Whether an object's class, or one it derives from, is Keras 3's.

    Args:
        obj: anything.
        kind: a part of Keras 3 that the class has to be of, such as "models".

    Example:
        >>> import keras
        >>> keras3_layer, ours = keras.layers.ReLU(), tf_keras.layers.ReLU()
        >>> lq.errors.is_of_keras3(keras3_layer), lq.errors.is_of_keras3(ours)
        (True, False)
        >>> lq.errors.is_of_keras3(keras3_layer, "models")
        False
    """
    return any(_is_keras3s(base, kind) for base in type(obj).__mro__)


def _is_keras3s(cls: type, kind: str = "") -> bool:
    of_all = cls.__module__ == "keras" and not kind
    return of_all or cls.__module__.startswith(f"keras.src.{kind}".rstrip("."))


def require_tf_keras(obj, where: str) -> None:
    """Raises if `obj` belongs to Keras 3.

    Args:
        obj: anything a user may hand in: a model, layer, tensor or optimizer.
        where: the function or layer that received it, for the message.

    Raises:
        KerasVersionError: `obj`'s class, or one it derives from, is Keras 3's.
    """
    for base in type(obj).__mro__:
        if _is_keras3s(base):
            fix = ""
            if _is_keras3s(base, "models"):
                fix = "lq.models.from_keras(model) makes one of tf_keras of it; or "
            raise KerasVersionError(
                f"{where}: got a Keras 3 object ({base.__module__}.{base.__name__}), "
                "but larqlite works with tf_keras (Keras 2).\n"
                f"  Fix: {fix}build it with `import tf_keras`{_same_in_tf_keras(base)}; "
                f"{TF_KERAS_INSTEAD}"
            )


def _same_in_tf_keras(cls: type) -> str:
    """Where tf_keras has a class of that name, as words to add; none if it has not."""
    tf_keras = sys.modules.get("tf_keras")
    kind = [*cls.__module__.split("."), "", "", ""][2]
    for path in (kind, f"{kind}.schedules", ""):
        place = tf_keras
        for part in filter(None, path.split(".")):
            place = getattr(place, part, None)
        if isinstance(getattr(place, cls.__name__, None), type):
            return f" and {'.'.join(filter(None, ('tf_keras', path, cls.__name__)))}"
    return ""


def require_model_of_tf_keras(model, where: str) -> None:
    """Raises if a model belongs to Keras 3, or to TensorFlow's graph mode.

    Args:
        model: anything a user may hand in as a model.
        where: the function that received it, for the message.

    Raises:
        KerasVersionError: as `require_tf_keras`.
        GraphModeError: it was built in a `tf.Graph`, or eager execution is off now.
    """
    import tensorflow as tf

    require_tf_keras(model, where)
    inputs = getattr(model, "inputs", None)
    name = getattr(model, "name", model)
    if any(map(tf.is_symbolic_tensor, tf.nest.flatten(inputs or ()))):
        what = f'"{name}" was built in a tf.Graph'
    elif tf.executing_eagerly():
        return
    else:
        what = f'it was called for "{name}" where eager execution is off'
    raise GraphModeError(
        f"{where}: {what}, and models are followed in eager mode only.\n"
        "  Fix: build the model and call this outside of `tf.Graph().as_default()` and "
        "`tf.function`, without `tf.compat.v1.disable_eager_execution()`; weights go "
        "from one model to the other by get_weights() and set_weights()."
    )


class QuantizedTensorError(LarqliteError, ValueError):
    """An operation that a quantized tensor's scale or width does not allow."""


class QuantizedTypeError(LarqliteError, TypeError):
    """A tensor of a type that an integer operation or layer does not take."""
