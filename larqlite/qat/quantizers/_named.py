"""Every quantizer of `larqlite.quantizers` as a quantizer of quantization-aware training."""

from __future__ import annotations

import inspect
import re
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite import quantizers
from larqlite._registration import register_object
from larqlite.errors import (
    ArgumentError,
    QuantizerError,
    UnknownQuantizerError,
    near_matches,
)
from larqlite.qat.quantizers._calibration import is_weight
from larqlite.qat.quantizers._fixed import FixedQuantizer
from larqlite.qat.quantizers._interface import Quantizer
from larqlite.qat.quantizers._ranges import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from larqlite.quantizers.internal import adopt, find, known_names

__all__ = ["NamedQuantizer", "get"]


@register_object(bare=False)
class NamedQuantizer(Quantizer):
    r"""A quantizer of `lq.quantizers`, usable where a tensor of a layer is quantized.

    $q(x)$ and its pseudo-gradient are those of the quantizer.

    Args:
        quantizer: a name ("ste_sign"), a `lq.quantizers.Quantizer`, a function of a
            tensor, or a serialized one.
        **kwargs: arguments of the quantizer that the name stands for.

    Attributes:
        quantizer: the quantizer itself.
        precision: its bits.

    Raises:
        UnknownQuantizerError: nothing is known by that name.
        QuantizerError: the name needs arguments, or does not take those given.

    Example:
        >>> quantizer = lq.qat.quantizers.NamedQuantizer("dorefa", k_bit=1)
        >>> weights = quantizer.build(None, "output", tf_keras.layers.Layer())
        >>> quantizer(tf.constant([0.2, 0.7]), False, weights).numpy().tolist()
        [0.0, 1.0]
        >>> quantizer.precision
        1

    References:
        Larq, https://doi.org/10.21105/joss.01746 (quantizers by name).
    """

    def __init__(self, quantizer: Any, **kwargs: Any) -> None:
        self.quantizer = _resolved(quantizer, kwargs)

    @property
    def precision(self) -> int | None:
        """Bits of a quantized value, or None if not known."""
        return getattr(self.quantizer, "precision", None)

    def build(self, tensor_shape, name, layer):
        """Makes the quantizer's weights, as those of a layer inside of `layer`.

        Returns:
            `{"quantizer": ...}`, the one for this tensor: a copy if this one has
            another place already; empty if it has no weights.
        """
        if not isinstance(self.quantizer, tf_keras.layers.Layer):
            return {}
        attribute = re.sub(r"\W", "_", f"{name}_quantizer")
        quantizer = adopt(self.quantizer, layer, attribute, is_weight())
        if not quantizer.built:
            with tf.name_scope(name):
                quantizer.build(tf.TensorShape(tensor_shape))
        if not quantizer.weights:
            return {}
        # Keras saves and trains what a layer has as an attribute.
        setattr(layer, attribute, quantizer)
        return {"quantizer": quantizer}

    def capture(self, weight, variables) -> None:
        """Sets what the quantizer learns to where it starts for the values of a weight."""
        quantizer = (variables or {}).get("quantizer")
        if isinstance(quantizer, quantizers.Quantizer):
            quantizer.start_from(weight)

    def __call__(self, inputs, training, weights, **kwargs):
        return (weights or {}).get("quantizer", self.quantizer)(inputs)

    def get_config(self) -> dict:
        serialized = quantizers.serialize(self.quantizer)
        if isinstance(serialized, dict):
            # It may serve for a tensor of another shape.
            serialized.pop("build_config", None)
        return {"quantizer": serialized}

    def __eq__(self, other) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return _without_name(self.get_config()) == _without_name(other.get_config())

    def __hash__(self) -> int:
        return hash((type(self), repr(_without_name(self.get_config()))))


def _resolved(identifier, arguments: dict):
    if arguments:
        if not isinstance(identifier, str):
            raise ArgumentError(
                f"NamedQuantizer: the arguments {sorted(arguments)} go with a name, but "
                f"the quantizer is {identifier!r}.\n"
                "  Fix: give them to the quantizer itself."
            )
        return _with_arguments(identifier, arguments)
    quantizer = quantizers.get(identifier)
    if quantizer is None:
        raise UnknownQuantizerError(
            "NamedQuantizer: None is no quantizer.\n"
            '  Fix: NamedQuantizer("ste_sign"), or leave the tensor without a quantizer.'
        )
    return quantizer


def _with_arguments(name: str, arguments: dict):
    entry = find(name)
    if entry is None:
        return quantizers.get(name)  # raises, with the near matches
    if not inspect.isclass(entry.target):
        raise QuantizerError(
            f'NamedQuantizer: "{name}" is a function and takes no arguments, got '
            f'{sorted(arguments)}.\n  Fix: NamedQuantizer("{name}").'
        )
    try:
        return entry.target(**arguments)
    except TypeError as error:
        raise QuantizerError(
            f"NamedQuantizer: {entry.target.__name__} cannot be made with "
            f"{arguments!r}: {error}\n"
            f"  Fix: see help(lq.quantizers.{entry.target.__name__})."
        ) from error


_BY_NAME = {
    cls.__name__: cls
    for cls in (
        AllValuesQuantizer,
        FixedQuantizer,
        LastValueQuantizer,
        MovingAverageQuantizer,
    )
}


def get(identifier) -> Quantizer | None:
    """The quantizer of quantization-aware training that an object or name means.

    Args:
        identifier: a `lq.qat.quantizers.Quantizer` (returned as it is) or its class, a
            serialized one, a class name ("LastValueQuantizer"), anything that
            `lq.quantizers.get` takes, or None.

    Returns:
        A Quantizer, or None for None.

    Raises:
        UnknownQuantizerError: nothing is known by that name.
        QuantizerError: a class or name that needs arguments.

    Example:
        >>> lq.qat.quantizers.get("ste_sign").precision
        1
        >>> lq.qat.quantizers.get("MovingAverageQuantizer").precision
        8
    """
    if identifier is None or isinstance(identifier, Quantizer):
        return identifier
    if inspect.isclass(identifier) and issubclass(identifier, Quantizer):
        return _instance(identifier)
    if isinstance(identifier, str):
        return _from_name(identifier)
    if isinstance(identifier, dict):
        return _from_dictionary(identifier)
    if _looks_like_one(identifier):
        return identifier
    return NamedQuantizer(identifier)


def _looks_like_one(identifier) -> bool:
    """Whether it has the methods of a Quantizer without being derived from it."""
    return (
        not inspect.isclass(identifier)
        and not isinstance(identifier, tf_keras.layers.Layer)
        and callable(identifier)
        and hasattr(identifier, "build")
    )


def _from_name(name: str) -> Quantizer:
    if name in _BY_NAME:
        return _BY_NAME[name]()
    registered = tf_keras.saving.get_registered_object(name)
    if inspect.isclass(registered) and issubclass(registered, Quantizer):
        return _instance(registered)
    try:
        return NamedQuantizer(name)
    except UnknownQuantizerError as error:
        known = [*known_names(), *_BY_NAME]
        raise UnknownQuantizerError(
            f'unknown quantizer "{name}".{near_matches(name, known)}\n'
            f"  All names: lq.quantizers.names(), {', '.join(_BY_NAME)}."
        ) from error


def _instance(cls: type[Quantizer]) -> Quantizer:
    try:
        return cls()
    except TypeError as error:
        raise QuantizerError(
            f"lq.qat.quantizers.get: {cls.__name__} cannot be made without arguments: "
            f"{error}\n  Fix: pass {cls.__name__}(...) instead of the class."
        ) from error


def _from_dictionary(config: dict):
    names = (config.get("registered_name"), config.get("class_name"))
    for name in filter(None, names):
        target = tf_keras.saving.get_registered_object(name) or _BY_NAME.get(name)
        if inspect.isclass(target) and issubclass(target, Quantizer):
            return target.from_config(dict(config["config"]))
    return NamedQuantizer(quantizers.deserialize(config))


def _without_name(config: dict) -> dict:
    """The configuration with the name that Keras made up for the quantizer left out."""
    serialized = config["quantizer"]
    if not isinstance(serialized, dict) or not isinstance(serialized["config"], dict):
        return config
    inner = {k: v for k, v in serialized["config"].items() if k != "name"}
    return {**config, "quantizer": {**serialized, "config": inner}}
