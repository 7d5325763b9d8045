"""Where a layer holds something: by dotted path, and by identity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tf_keras

from larqlite.errors import QuantizerError

Layer = tf_keras.layers.Layer


def resolve(layer: Layer, path: str) -> tuple[Any, str]:
    """The object and the attribute that a dotted path means: `(owner, name)`.

    Parts before the last are attributes, or names of layers inside.

    Raises:
        QuantizerError: there is no such part.
    """
    *parts, name = path.split(".")
    owner: Any = layer
    for part in parts:
        inner = getattr(owner, part, None)
        if inner is None:
            named = [m for m in owner.submodules if getattr(m, "name", None) == part]
            if not named:
                raise QuantizerError(
                    f'{type(layer).__name__} "{layer.name}": {path!r} leads nowhere, '
                    f"since {owner.name} has no attribute and no layer {part!r} inside."
                )
            inner = named[0]
        owner = inner
    return owner, name


def locate(layer: Layer, held: Any) -> tuple[Any, str]:
    """The part of a layer and its attribute that hold an object.

    Raises:
        QuantizerError: nothing in the layer holds it.
    """
    for owner in (layer, *layer.submodules):
        for name in _public_names(owner):
            if vars(owner).get(name) is held:
                return owner, name
    raise QuantizerError(
        f'{type(layer).__name__} "{layer.name}": no attribute holds {held!r}.\n'
        "  Fix: override set_quantize_weights and set_quantize_activations in the "
        "QuantizeConfig."
    )


def _public_names(owner: Any) -> Iterator[str]:
    names = list(vars(owner))
    yield from (name for name in names if not name.startswith("_"))
    yield from (name for name in names if name.startswith("_"))
