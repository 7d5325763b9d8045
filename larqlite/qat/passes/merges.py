"""Sums and means of several tensors become sums of two, as integer engines add.

The sums between are rounded too, each with a range of its own; a mean is a sum, and then a
`Rescaling`. Integers of TFLite are added two by two, and have no mean of tensors.
"""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerEntry, LayerGraph, LayerUse
from larqlite.qat.config import LayerQuantizeConfig

layers = tf_keras.layers

_PAIR = 2


def run(graph: LayerGraph) -> None:
    """Splits what adds more than two tensors, and means of any number."""
    added: dict[int, list[LayerEntry]] = {}
    for use in list(graph.uses):
        if not _is_split(use):
            continue
        entry, *edges = use.entry, *use.inputs
        is_mean = type(use.layer) is layers.Average
        count = len(edges)
        if id(entry) not in added:
            added[id(entry)] = _new_entries(entry, count, is_mean)
        *sums, last = added[id(entry)]
        total = edges[0]
        for step, edge in zip(sums, edges[1:], strict=False):
            total = graph.insert_before(use, step, [total, edge]).outputs[0]
        rest = total if is_mean else [total, edges[-1]]
        graph.rewire(use, last, rest)


def _is_split(use: LayerUse) -> bool:
    entry, count = use.entry, len(use.inputs)
    is_mean = type(use.layer) is layers.Average
    if not is_mean and (type(use.layer) is not layers.Add or count <= _PAIR):
        return False
    if entry.scheme is None or entry.config is not None:
        return False
    if is_mean and (count < _PAIR or any(_has_mask(edge) for edge in use.inputs)):
        return False
    config = entry.scheme.config_of(use.layer)
    return isinstance(config, LayerQuantizeConfig) and config.outputs is not None


def _has_mask(edge) -> bool:
    """Whether a mask comes along an edge, which a Rescaling would not hand on."""
    return getattr(edge.tensor, "_keras_mask", None) is not None


def _new_entries(entry: LayerEntry, count: int, is_mean: bool) -> list[LayerEntry]:
    """The sums of two in order, and what comes last: the layer itself, or a Rescaling."""
    dtype = entry.layer.get_config()["dtype"]

    def new(cls, name: str, *args) -> LayerEntry:
        layer = cls(*args, name=name, dtype=dtype)
        return LayerEntry(layer, scheme=entry.scheme, is_new=True)

    name = entry.label
    sums = [new(layers.Add, f"{name}_sum_{i}") for i in range(_PAIR, count + is_mean)]
    return [*sums, new(layers.Rescaling, name, 1 / count) if is_mean else entry]
