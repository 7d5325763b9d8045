"""From words, objects and dictionaries of patterns to schemes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from larqlite.errors import ArgumentError, near_matches
from larqlite.qat.config import QuantizeConfig
from larqlite.qat.schemes._schemes import (
    BinaryScheme,
    Default8BitQuantizeScheme,
    DefaultNBitQuantizeScheme,
    QuantizeScheme,
)

__all__ = ["FLOAT", "get_scheme", "get_schemes", "name_scheme"]

FLOAT = "float"
_BY_WORD: dict[str, type[QuantizeScheme]] = {}


def name_scheme(word: str, scheme: type[QuantizeScheme]) -> None:
    """Lets `get_scheme` know a scheme by a word."""
    _BY_WORD[word] = scheme


def get_scheme(identifier: Any, where: str) -> Any:
    """The scheme that a word or object means.

    Args:
        identifier: "int1" to "int16", "binary", "float", "prune_preserve",
            "cluster_preserve", a `QuantizeScheme`, a `QuantizeConfig`, or None for 8
            bits.
        where: the public function, for messages.

    Returns:
        A QuantizeScheme, a QuantizeConfig, or "float".

    Raises:
        ArgumentError: nothing is known by that name.
    """
    if identifier is None:
        return Default8BitQuantizeScheme()
    if isinstance(identifier, (QuantizeScheme, QuantizeConfig)) or identifier == FLOAT:
        return identifier
    if identifier == "binary":
        return BinaryScheme()
    if isinstance(identifier, str):
        width = re.fullmatch(r"int(\d+)", identifier)
        if identifier == "int8":
            return Default8BitQuantizeScheme()
        if width and 1 <= int(width[1]) <= 16:
            bits = int(width[1])
            return DefaultNBitQuantizeScheme(
                num_bits_weight=bits, num_bits_activation=bits
            )
        if identifier in _BY_WORD:
            return _BY_WORD[identifier]()
        known = ["binary", FLOAT, *_BY_WORD, *(f"int{bits}" for bits in range(1, 17))]
        raise ArgumentError(
            f"{where}: unknown scheme {identifier!r}.{near_matches(identifier, known)}\n"
            '  Fix: "int1" to "int16", "binary", "float", "prune_preserve", '
            '"cluster_preserve", a QuantizeScheme or QuantizeConfig object, or a '
            "dictionary {pattern of layer names: one of these}."
        )
    hint = ""
    if isinstance(identifier, type):
        hint = f" You passed the class; write {identifier.__name__}()."
    raise ArgumentError(
        f"{where}: a scheme is a name, a QuantizeScheme, a QuantizeConfig, or a "
        f"dictionary of them by layer pattern; got {identifier!r}.{hint}"
    )


def get_schemes(identifier: Any, where: str) -> Mapping[Any, Any] | Any:
    """As `get_scheme`, and dictionaries of patterns."""
    if isinstance(identifier, Mapping):
        return {key: get_scheme(value, where) for key, value in identifier.items()}
    return get_scheme(identifier, where)
