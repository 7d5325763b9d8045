"""What a TFLite file has in another way than the model it was made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import tf_keras

from larqlite.layers import QuantLayer
from larqlite.qat.lowerings import STORED_BITS
from larqlite.qat.passes import is_made_of_kernel
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2

__all__ = ["notes_on"]

_DIVISIONS = ("divide", "divide_no_nan", "div_no_nan", "truediv")
_COMPARISONS = ("equal", "greater", "greater_equal", "less", "less_equal", "not_equal")


def notes_on(
    layers: Sequence[tf_keras.layers.Layer], float_layers: Sequence[str]
) -> list[str]:
    """Sentences on the widths that are stored, and on layers that stay float."""
    notes = []
    narrow = defaultdict(list)
    for layer in layers:
        if not isinstance(layer, QuantizeWrapperV2):
            continue
        for _, quantizer, _, _ in layer.weight_slots:
            bits = getattr(quantizer, "precision", None)
            is_narrow = bits is not None and bits < STORED_BITS
            if is_narrow and layer.name not in float_layers:
                narrow[bits].append(layer.name)
        if (
            is_made_of_kernel(layer.layer)
            and not layer.weight_slots
            and layer.ends_in_range
            and layer.name not in float_layers
        ):
            notes.append(
                f'"{layer.name}": its kernel, which the model keeps in float, is int8 '
                "in the file, by a range of the converter's"
            )
    for bits, names in sorted(narrow.items()):
        notes.append(
            f"weights of {bits} bit{'s' * (bits > 1)} are stored in {STORED_BITS}, with the "
            f"same values: "
            f"{_listed(names)}"
        )
    by_name = {layer.name: layer for layer in layers}
    reasons = defaultdict(list)
    for name in float_layers:
        reasons[_why_float(by_name.get(name))].append(name)
    for reason, names in reasons.items():
        notes.append(f"computed in float32, {reason}: {_listed(names)}")
    return notes


def _why_float(layer: tf_keras.layers.Layer | None) -> str:
    """Why TFLite computes a layer in float32."""
    if isinstance(layer, QuantLayer):
        return "as TFLite has no operation for such kernels and inputs"
    if isinstance(layer, QuantizeLayer):
        return "as it casts what goes in"
    symbol = str(getattr(layer, "symbol", ""))
    if symbol.rpartition(".")[2] in _DIVISIONS:
        return "as TFLite's division of integers stops at 0"
    if symbol.rpartition(".")[2] in _COMPARISONS:
        return (
            "as TFLite's comparison of integers rounds one side to the other's levels"
        )
    inner = layer.layer if isinstance(layer, QuantizeWrapperV2) else layer
    if isinstance(inner, (tf_keras.layers.RNN, tf_keras.layers.Bidirectional)):
        return "as what is inside of its steps has no range"
    if isinstance(layer, QuantizeWrapperV2) and not layer.quantizes:
        return "as the model does not quantize it"
    if isinstance(layer, QuantizeWrapperV2) or symbol:
        return (
            "as TFLite has no integers for it, or what it reads or gives has no range"
        )
    return "as the model does not quantize it"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
