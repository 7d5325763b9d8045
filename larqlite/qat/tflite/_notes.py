"""What a TFLite file has in another way than the model it was made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import tf_keras

from larqlite.qat._wrapper import QuantizeWrapperV2
from larqlite.qat.forms._weight import STORED_BITS
from larqlite.qat.passes._match import WITH_KERNEL

__all__ = ["notes_on"]


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
            isinstance(layer.layer, WITH_KERNEL)
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
    if float_layers:
        notes.append(f"computed in float32: {_listed(float_layers)}")
    return notes


def _listed(names: Sequence[str], most: int = 8) -> str:
    listed = ", ".join(f'"{name}"' for name in names[:most])
    return listed + (f" and {len(names) - most} more" if len(names) > most else "")
