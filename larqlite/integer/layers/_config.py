"""Quantization configurations of layers: plain dictionaries, checked key by key."""

from __future__ import annotations

import copy
import dataclasses
import numbers
from collections.abc import Mapping, Sequence

from larqlite.errors import ArgumentError, near_matches
from larqlite.integer._quantization_params import get_quantization_params
from larqlite.integer.layers._output_quantizer import OutputQuantizer
from larqlite.integer.layers._quantizer import IntegerQuantizer
from larqlite.integer.layers._weight_quantizer import (
    AlignedWeightQuantizer,
    WeightQuantizer,
)

__all__ = [
    "ALIGNED",
    "OUTPUT",
    "WEIGHTS",
    "QuantizerSlot",
    "build_quantizers",
    "completed",
    "plain",
]


@dataclasses.dataclass(frozen=True)
class QuantizerSlot:
    """A quantizer of a layer: what a key of `quant_config` configures.

    Attributes:
        quantizer: its class.
        optional: whether the layer has none where the configuration does not name it.
        of_weights: whether its bitwidth defaults to the weight bits of
            `QuantizationParams`.
        defaults: arguments that differ from the quantizer's own defaults.
        forced: arguments that the layer's computation demands.
    """

    quantizer: type[IntegerQuantizer]
    optional: bool = False
    of_weights: bool = False
    defaults: Mapping = dataclasses.field(default_factory=dict)
    forced: Mapping = dataclasses.field(default_factory=dict)


WEIGHTS = QuantizerSlot(WeightQuantizer, of_weights=True)
ALIGNED = QuantizerSlot(AlignedWeightQuantizer)
OUTPUT = QuantizerSlot(OutputQuantizer, optional=True)


def plain(value):
    """A deep copy in plain dictionaries, lists and numbers, whatever Keras wrapped."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    return copy.deepcopy(value)


def completed(
    config: Mapping | None,
    slots: Mapping[str, QuantizerSlot],
    extra: Mapping,
    buffer_cap: int | None,
    where: str,
) -> dict:
    """A configuration with what the layer adds to it: weight bits, buffer, forced values.

    Args:
        config: what the user gave, or None.
        slots: the quantizers of the layer, by key.
        extra: further keys, with their defaults (None: left out).
        buffer_cap: most bits of the layer's buffer, or None if it has no buffer.
        where: the layer, for messages.

    Returns:
        A new dictionary that `json.dumps` takes.

    Raises:
        ArgumentError: a key or value that does not exist, with near matches.
    """
    if config is not None and not isinstance(config, Mapping):
        raise ArgumentError(
            f"{where}: quant_config is a {type(config).__name__}, not a dictionary.\n"
            "  Fix: e.g. quant_config={...} with the keys "
            f"{_known(slots, extra, buffer_cap)}."
        )
    result = plain(config or {})
    _check_keys(
        result, _known(slots, extra, buffer_cap), f"{where}: quant_config has the key"
    )
    for key, slot in slots.items():
        _complete_slot(result, key, slot, where)
    for key, default in extra.items():
        if default is not None:
            result.setdefault(key, plain(default))
    if buffer_cap is not None:
        result["buffer_bitwidth"] = _buffer_bits(result, buffer_cap, where)
    return result


def _known(slots: Mapping, extra: Mapping, buffer_cap: int | None) -> list[str]:
    return [*slots, *extra, *(["buffer_bitwidth"] if buffer_cap is not None else [])]


def _check_keys(given: Mapping, known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise ArgumentError(
                f'{what} "{key}", which does not exist here.{near_matches(key, known)}\n'
                f"  Fix: remove it; the keys are {list(known)}."
            )


def _complete_slot(config: dict, key: str, slot: QuantizerSlot, where: str) -> None:
    given = config.get(key)
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(
            f'{where}: quant_config["{key}"] is {given!r}, not a dictionary.\n'
            f'  Fix: e.g. "{key}": {{"bitwidth": 8}}.'
        )
    if given is None:
        config.pop(key, None)
        if slot.optional:
            return
    arguments = {**slot.defaults, **(given or {})}
    _check_keys(
        arguments,
        slot.quantizer.config_keys,
        f'{where}: quant_config["{key}"] has the key',
    )
    if slot.of_weights and "bitwidth" not in arguments:
        arguments["bitwidth"] = get_quantization_params().weight_bits
    arguments.update(slot.forced)
    if arguments:
        config[key] = arguments


def _buffer_bits(config: Mapping, cap: int, where: str) -> int:
    bits = config.get("buffer_bitwidth")
    if bits is None:
        bits = get_quantization_params().buffer_bits
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 53:
        raise ArgumentError(
            f"{where}: buffer_bitwidth={bits!r} is not a whole number from 2 to 53.\n"
            f"  Fix: leave it out, or buffer_bitwidth={min(cap, 32)}."
        )
    return min(bits, cap)


def build_quantizers(config: Mapping, slots: Mapping[str, QuantizerSlot]) -> dict:
    """The quantizers that a completed configuration describes, by key.

    Optional ones that it does not name are None.
    """
    quantizers = {}
    for key, slot in slots.items():
        missing = slot.optional and key not in config
        arguments = config.get(key, {})
        quantizers[key] = None if missing else slot.quantizer(name=key, **arguments)
    return quantizers
