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
    NamedWeightsScheme,
    QuantizeScheme,
    TernaryScheme,
)

__all__ = ["FLOAT", "get_scheme", "get_schemes", "name_scheme"]

FLOAT = "float"
MAX_BITS = 16
_QUANT_LAYERS = {"binary": BinaryScheme, "ternary": TernaryScheme}
_BY_WORD: dict[str, type[QuantizeScheme]] = {}


def name_scheme(word: str, scheme: type[QuantizeScheme]) -> None:
    """Lets `get_scheme` know a scheme by a word."""
    _BY_WORD[word] = scheme


def get_scheme(identifier: Any, where: str) -> Any:
    """The scheme that a word or object means.

    Args:
        identifier: a word of the table below, a `QuantizeScheme`, a `QuantizeConfig`, or
            None for 8 bits.
        where: the public function, for messages.

    | word | weights | activations |
    |---|---|---|
    | `"int1"` to `"int16"` | that many bits | as many |
    | `"binary"`, `"ternary"` | by name, in Quant layers | inputs likewise |
    | `"int4/8"`, `"binary/8"` | what stands before the slash | bits after it |
    | `"int4/float"`, `"ternary/float"` | likewise | as they are |
    | `"float"` | as they are | as they are |
    | `"prune_preserve"`, `"cluster_preserve"` | 8 bits, structure kept | 8 bits |

    Returns:
        A QuantizeScheme, a QuantizeConfig, or "float".

    Raises:
        ArgumentError: nothing is known by that name.
    """
    if identifier is None:
        return Default8BitQuantizeScheme()
    if isinstance(identifier, (QuantizeScheme, QuantizeConfig)) or identifier == FLOAT:
        return identifier
    if isinstance(identifier, str):
        scheme = _of_width(identifier)
        if scheme is None and identifier in _BY_WORD:
            scheme = _BY_WORD[identifier]()
        if scheme is not None:
            return scheme
        known = ["binary", "ternary", FLOAT, *_BY_WORD]
        known += [f"int{bits}" for bits in range(1, 17)]
        raise ArgumentError(
            f"{where}: unknown scheme {identifier!r}.{near_matches(identifier, known)}\n"
            '  Fix: "int1" to "int16", "binary", "ternary", "float", "prune_preserve", '
            '"cluster_preserve"; weights and activations apart, as in "int4/8", '
            '"binary/8" or "int4/float"; a QuantizeScheme or QuantizeConfig object, or a '
            "dictionary {pattern of layer names: one of these}."
        )
    hint = ""
    if isinstance(identifier, type):
        hint = f" You passed the class; write {identifier.__name__}()."
    raise ArgumentError(
        f"{where}: a scheme is a name, a QuantizeScheme, a QuantizeConfig, or a "
        f"dictionary of them by layer pattern; got {identifier!r}.{hint}"
    )


def _of_width(word: str) -> QuantizeScheme | None:
    """The scheme of a word that says widths; None if it says none."""
    if word == "int8":
        return Default8BitQuantizeScheme()
    if word in _QUANT_LAYERS:
        return _QUANT_LAYERS[word]()
    weights, slash, activations = word.partition("/")
    bits = _bits_of(weights) if weights.startswith("int") else None
    if not slash:
        return bits and DefaultNBitQuantizeScheme(
            num_bits_weight=bits, num_bits_activation=bits
        )
    width = None if activations == FLOAT else _bits_of(activations)
    if width is None and activations != FLOAT:
        return None
    if weights in _QUANT_LAYERS:
        return NamedWeightsScheme(_QUANT_LAYERS[weights]().kernel_quantizer, width)
    return bits and DefaultNBitQuantizeScheme(
        num_bits_weight=bits, num_bits_activation=width
    )


def _bits_of(word: str) -> int | None:
    found = re.fullmatch(r"(?:int)?(\d+)", word)
    return int(found[1]) if found and 1 <= int(found[1]) <= MAX_BITS else None


def get_schemes(identifier: Any, where: str) -> Mapping[Any, Any] | Any:
    """As `get_scheme`, and dictionaries of patterns."""
    if isinstance(identifier, Mapping):
        return {key: get_scheme(value, where) for key, value in identifier.items()}
    return get_scheme(identifier, where)
