"""The parts of a model that get widths of their own: a layer with weights, and what follows it."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Sequence
from typing import Any

import tf_keras

from larqlite.errors import UnsupportedModelError
from larqlite.graph import LayerEntry, LayerGraph, LayerUse, facts_of
from larqlite.layers import QuantLayer
from larqlite.qat.graph import read
from larqlite.qat.passes import QUANT_CLASS, QuantLayerScheme
from larqlite.qat.schemes import FLOAT, get_schemes, rule_for

__all__ = ["Unit", "scheme_table", "units_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class Unit:
    """A layer with weights, with the normalizations and activations that it alone feeds.

    They get the width together, since a scheme rounds what comes out of the last of them.

    Attributes:
        layer: the layer with weights, as it is in the model.
        members: this layer and those that follow, in order.
    """

    layer: tf_keras.layers.Layer
    members: tuple[tf_keras.layers.Layer, ...]

    @property
    def name(self) -> str:
        """The name of the layer with weights."""
        return self.layer.name

    @property
    def weights(self) -> int:
        """How many numbers the layer holds, its bias included."""
        return int(self.layer.count_params())

    def takes(self, scheme: Any) -> bool:
        """Whether a scheme has a form of the layer."""
        if isinstance(scheme, QuantLayerScheme):
            return type(self.layer) in QUANT_CLASS
        return rule_for(self.layer) is not None or bool(facts_of(self.layer).kernels)

    def table(self, width: Any) -> dict[str, Any]:
        """The scheme that gives this unit a width, and leaves the rest as it is."""
        return {glob.escape(member.name): width for member in self.members}


def units_of(model: tf_keras.Model, where: str) -> list[Unit]:
    """The units of a float model, those of models inside too, in the order of computation.

    Layers of larqlite keep the quantizers that they have, and are no units.

    Args:
        model: a built Sequential or functional model.
        where: the public function, for messages.

    Raises:
        ArgumentError, UnbuiltModelError: as `lq.qat.quantize_apply`.
        UnsupportedModelError: likewise; or nothing is left to quantize.
    """
    graph = read(model, where)
    found: dict[int, Unit] = {}
    _collect(graph, found)
    if not found:
        quantized = [
            entry.name
            for part in graph.graphs()
            for entry in part.entries()
            if isinstance(entry.layer, QuantLayer)
        ]
        why = (
            f"its layers with weights ({', '.join(quantized)}) have quantizers already"
            if quantized
            else "no layer has weights to quantize"
        )
        raise UnsupportedModelError(
            f'{where}: "{model.name}" has nothing that could get a width: {why}.\n'
            "  Fix: the float network that it was made from, or its float twin; "
            "lq.analysis.diagnose(model, data) looks at quantized layers."
        )
    return list(found.values())


def scheme_table(
    units: Sequence[Unit], widths: dict[str, Any], where: str
) -> dict[str, Any]:
    """The scheme for `lq.qat.quantize_apply` that gives units by name their widths."""
    table: dict[str, Any] = {}
    for unit in units:
        if widths.get(unit.name, FLOAT) != FLOAT:
            table.update(unit.table(widths[unit.name]))
    return get_schemes(table, where)


def _collect(graph: LayerGraph, found: dict[int, Unit]) -> None:
    for use in graph.uses:
        if use.entry.graph is not None:
            _collect(use.entry.graph, found)
        elif id(use.entry) not in found and _has_weights(use.entry):
            followers = () if graph.is_shared(use.entry) else _followers(graph, use)
            found[id(use.entry)] = Unit(use.layer, (use.layer, *followers))


def _has_weights(entry: LayerEntry) -> bool:
    """Whether a layer's arithmetic is with weights that schemes quantize."""
    layer = entry.layer
    if isinstance(layer, QuantLayer) or facts_of(layer).activation:
        return False
    rule = rule_for(layer)
    return bool(rule and rule.weights) or type(layer) in QUANT_CLASS


def _followers(graph: LayerGraph, use: LayerUse) -> list[tf_keras.layers.Layer]:
    """The normalizations and activations that only this layer feeds, one after the other."""
    found: list[tf_keras.layers.Layer] = []
    reader = graph.only_consumer(use)
    while reader is not None and _follows(graph, reader):
        found.append(reader.layer)
        reader = graph.only_consumer(reader)
    return found


def _follows(graph: LayerGraph, use: LayerUse) -> bool:
    facts = facts_of(use.layer)
    is_one = facts.is_batch_normalization or facts.activation
    return bool(is_one) and len(use.inputs) == 1 and not graph.is_shared(use.entry)
