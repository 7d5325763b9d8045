"""What a network costs, and what each width of each of its layers adds to that."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.errors import ArgumentError, near_matches
from larqlite.models import LayerProfile, profile

if TYPE_CHECKING:
    import tf_keras

__all__ = [
    "COSTS",
    "CostKind",
    "CostTable",
    "cost_named",
    "counted_of",
    "counted_table",
]

FLOAT_BITS = 32


@dataclasses.dataclass(frozen=True)
class CostKind:
    """A way to count or measure what a network costs.

    Attributes:
        name: as users write it.
        unit: of its numbers, for tables.
        of_layer: gives it of the profile of a layer, and how many values its input has
            bits (None: those of the profile); None for what is measured.
    """

    name: str
    unit: str
    of_layer: Callable[[LayerProfile, int | None], float] | None = None


def _bytes(layer: LayerProfile, input_bits: int | None) -> float:
    return float(layer.deployed_bytes)


def _ace(layer: LayerProfile, input_bits: int | None) -> float:
    return float(
        sum(
            count * weight * (input_bits or value)
            for (weight, value), count in (layer.macs_by_bits or {}).items()
        )
    )


def _bops(layer: LayerProfile, input_bits: int | None) -> float:
    total = 0.0
    for (weight, value), count in (layer.macs_by_bits or {}).items():
        bits = input_bits or value
        sums = layer.calls * math.prod(size or 1 for size in layer.output_shape[1:])
        products = max(count / max(sums, 1), 1)
        total += count * (weight * bits + weight + bits + math.log2(products))
    return total


COSTS: dict[str, CostKind] = {
    cost.name: cost
    for cost in (
        CostKind("bytes", "B", _bytes),
        CostKind("bops", "bit operations", _bops),
        CostKind("ace", "ACE", _ace),
        CostKind("latency_ms", "ms"),
        CostKind("c_instructions", "instructions"),
    )
}


def cost_named(name: Any, where: str) -> CostKind:
    """The cost of a name.

    Raises:
        ArgumentError: there is none.
    """
    if not isinstance(name, str) or name not in COSTS:
        raise ArgumentError(
            f"{where}: there is no cost {name!r}.{near_matches(str(name), COSTS)}\n"
            f"  Fix: one of {', '.join(COSTS)}."
        )
    return COSTS[name]


@dataclasses.dataclass(frozen=True)
class CostTable:
    """What the layers cost at each width, and all the rest; the solver adds these up.

    Attributes:
        fixed: what the rest of the network costs, whatever the widths are.
        layers: `(layers, widths)`; infinite where a layer does not have a width.
    """

    fixed: float
    layers: np.ndarray


def counted_of(cost: CostKind, model: tf_keras.Model) -> float:
    """The cost of a model as it is, from its profile."""
    return sum(cost.of_layer(row, None) for row in profile(model).layers)


def counted_table(
    cost: CostKind,
    model: tf_keras.Model,
    layers: Sequence[str],
    copies: Mapping[str, tf_keras.Model],
    input_bits: Mapping[str, int],
    has: np.ndarray,
) -> CostTable:
    """The table of a cost that is counted.

    What a layer costs may depend on the bits of its input, which the layer before it rounds.
    Here they are those of its own width; what a network costs in the end is counted once
    more with all its widths.

    Args:
        cost: with `of_layer`.
        model: the float model.
        layers: names of the layers that get widths.
        copies: for each width a copy of the model in which all layers that can have it do.
        input_bits: bits of activations at each width.
        has: `(layers, widths)`, whether a layer can have a width.
    """
    own = {row.name: row for row in profile(model).layers}
    rest = sum(
        cost.of_layer(row, None) for name, row in own.items() if name not in layers
    )
    found = np.full(has.shape, np.inf)
    for column, (word, copy) in enumerate(copies.items()):
        rows = {row.name.removeprefix("quant_"): row for row in profile(copy).layers}
        for number, name in enumerate(layers):
            if has[number, column]:
                found[number, column] = cost.of_layer(rows[name], input_bits[word])
    return CostTable(rest, found)
