"""What a wrapper asks about the layer inside of it."""

from __future__ import annotations

import functools
import inspect

import tf_keras

# Layers that make their weights when they are first called, not when they are built.
BUILT_IN_CALL = (tf_keras.layers.MultiHeadAttention,)


@functools.cache
def parameters_of(cls: type) -> list[str]:
    """Names of the parameters of a layer class' call, `self` first."""
    return list(inspect.signature(cls.call).parameters)


@functools.cache
def positional_of(cls: type) -> list[str]:
    """Names of what a layer class' call takes after its input, as far as it takes names.

    Those that go into `*args` have none.
    """
    parameters = list(inspect.signature(cls.call).parameters.values())[2:]
    if any(each.kind is each.POSITIONAL_ONLY for each in parameters):
        return []
    return [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]


def remembered_shapes(layer) -> dict | None:
    """The input shapes of an attention layer that was read from a file or cloned."""
    config = layer.get_config()
    shapes = {name: config[f"{name}_shape"] for name in ("query", "value", "key")}
    return None if None in shapes.values() else shapes


def layer_from(config: dict, custom_objects: dict | None) -> tf_keras.layers.Layer:
    """The layer of a configuration in the format of `.keras` files or of `.h5` files."""
    return tf_keras.layers.deserialize(
        config,
        custom_objects=custom_objects,
        use_legacy_format="module" not in config,
    )
