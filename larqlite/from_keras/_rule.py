"""What a row of the table of layers says, and what is said of a layer without one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tf_keras

from larqlite.from_keras._config import arguments, arrays, refusal


@dataclasses.dataclass(frozen=True)
class LayerRule:
    """How a layer class of Keras 3 becomes one of tf_keras.

    Attributes:
        cls: the class; None: that of tf_keras with the same name.
        rename: arguments under other names, Keras 3's to tf_keras'.
        neutral: values with which arguments that tf_keras lacks change nothing.
        without: arguments that are left to `make`.
        make: takes the layer, the class, its arguments and the maker; gives the layer.
        weights: the arrays for the layer's weights, in its order.
        has_weights: False where the layers inside are given theirs by themselves.
    """

    cls: type | None = None
    rename: Mapping[str, str] = dataclasses.field(default_factory=dict)
    neutral: Mapping[str, tuple] = dataclasses.field(default_factory=dict)
    without: frozenset[str] = frozenset()
    make: Callable[[Any, type, dict, Any], tf_keras.layers.Layer] | None = None
    weights: Callable[[Any], list] = lambda layer: arrays(layer.weights)
    has_weights: bool = True


def same(names: str, **rule: Any) -> dict[str, LayerRule]:
    """One rule for several classes."""
    return {name: LayerRule(**rule) for name in names.split()}


def make(layer: Any, rule: LayerRule, maker: Any) -> tf_keras.layers.Layer:
    """A new layer of tf_keras for a layer of Keras 3."""
    cls = rule.cls or getattr(tf_keras.layers, type(layer).__name__)
    kwargs = arguments(
        layer,
        cls,
        maker.where,
        rename=rule.rename,
        neutral=rule.neutral,
        without=rule.without,
    )
    kwargs["name"] = maker.name_of(layer)
    if rule.make is not None:
        return rule.make(layer, cls, kwargs, maker)
    return cls(**kwargs)


def unknown(layer: Any, where: str) -> Exception:
    """The error for a layer without a rule."""
    if type(layer).__name__ == "Lambda":
        return refusal(
            layer,
            "computes a Python function, which no conversion can look into.",
            "write it with operations of keras.ops, or as a layer class, and register "
            "that: @lq.models.keras3_converter.",
            where,
        )
    return refusal(
        layer,
        "there is no rule for this class.",
        "register one: @lq.models.keras3_converter(" + type(layer).__name__ + "), a "
        "function that returns the tf_keras layer.",
        where,
    )
