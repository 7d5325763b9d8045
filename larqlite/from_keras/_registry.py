"""Which function converts a layer class of Keras 3 that is not Keras' own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from larqlite._registration import Registry
from larqlite.errors import ArgumentError


@dataclasses.dataclass(frozen=True)
class OwnConverter:
    """What a user registered for a class.

    Attributes:
        convert: gives the tf_keras layer for a layer of Keras 3.
        weights: gives its weights in the order of that layer's; None: in Keras 3's order.
    """

    convert: Callable
    weights: Callable | None = None


CONVERTERS: Registry = Registry()


def keras3_converter(cls: type, weights: Callable | None = None) -> Callable:
    """Decorator that teaches `from_keras` a layer class of Keras 3 of one's own.

    The function takes the Keras 3 layer and returns a new tf_keras layer that computes
    the same, called in the same way. It holds for this class alone: a subclass may
    compute anything. Weights are carried over in the order in which both layers list
    them; the comparison at the end of each conversion holds for such layers too.

    Args:
        cls: the class, which derives from `keras.layers.Layer` of Keras 3.
        weights: optional function that takes the Keras 3 layer and returns the arrays
            for the tf_keras layer, in the order of its `weights`, where that is another.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        ArgumentError: `cls` is no class of Keras 3 layers.

    Example:
        >>> import keras
        >>> class Doubled(keras.layers.Layer):
        ...     def call(self, x):
        ...         return 2 * x
        >>> @lq.models.keras3_converter(Doubled)
        ... def convert_doubled(layer):
        ...     return tf_keras.layers.Rescaling(2.0, name=layer.name)
        >>> model = keras.Sequential([keras.Input((3,)), Doubled()])
        >>> lq.models.from_keras(model)(np.ones((1, 3))).numpy()
        array([[2., 2., 2.]], dtype=float32)
    """
    if not isinstance(cls, type) or not is_layer_class(cls):
        raise ArgumentError(
            f"lq.models.keras3_converter: {cls!r} is not a class of Keras 3 layers.\n"
            "  Fix: decorate with the class itself, e.g. "
            "@lq.models.keras3_converter(MyLayer), where MyLayer derives from "
            "keras.layers.Layer."
        )

    def decorator(function: Callable) -> Callable:
        CONVERTERS[cls] = OwnConverter(function, weights)
        return function

    return decorator


def is_layer_class(cls: type) -> bool:
    """Whether a class is one of Keras 3 layers, without importing Keras 3."""
    return any(
        base.__module__.startswith("keras.src") and base.__name__ == "Layer"
        for base in cls.__mro__
    )
