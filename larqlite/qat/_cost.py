"""What quantization-aware layers cost: the layer inside, at the bits it computes with."""

from __future__ import annotations

from collections.abc import Iterator

from larqlite.models import Call
from larqlite.models.internal import KINDS, Kind, Product, formula_for, kind_of, no_macs
from larqlite.qat._annotate import QuantizeAnnotate
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2


def _of_layer_inside(call: Call) -> Iterator[Product]:
    inside = call.of(call.layer.layer)
    return formula_for(inside)(inside)


def _keeps_values(wrapper) -> bool:
    kind = kind_of(wrapper.layer)
    return kind is not None and kind.keeps_values(wrapper.layer)


KINDS[QuantizeLayer] = Kind(no_macs)
KINDS[QuantizeWrapperV2] = Kind(_of_layer_inside, _keeps_values)
KINDS[QuantizeAnnotate] = Kind(_of_layer_inside, _keeps_values)
