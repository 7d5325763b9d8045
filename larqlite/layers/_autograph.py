"""Which calls TensorFlow need not read for branches on tensors, which takes it long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from larqlite._registration import NamedFunction

_OURS = ("larqlite.", "larqlite_zoo.")


@tf.autograph.experimental.do_not_convert
def runs_a_users_code(layer: Any, roles: Iterable[str]) -> bool:
    """Whether a layer, or what it holds under names, may run functions of a user.

    Args:
        layer: the layer.
        roles: attributes, each None or something that it calls.
    """
    held = (getattr(layer, role) for role in roles)
    return not all(map(_is_known, (layer, *held)))


def _is_known(thing: Any) -> bool:
    is_ours = type(thing).__module__.startswith(_OURS)
    return thing is None or (is_ours and not isinstance(thing, NamedFunction))


@tf.autograph.experimental.do_not_convert
def without_autograph(function, *args):
    """Calls functions that have no Python branches on tensors."""
    return function(*args)
