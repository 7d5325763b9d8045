"""What a file says about the model that it was made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from larqlite._version import __version__
from larqlite.models import ModelProfile
from larqlite.onnx_graph import Writer
from larqlite_runtime.format import TableType


def metadata_of(
    graph: Writer, costs: ModelProfile, renamed: Mapping[str, str]
) -> dict[str, str]:
    """The texts of `metadata_props`.

    Args:
        graph: the finished graph.
        costs: the summary of the model.
        renamed: names of tensors that became outputs.
    """
    texts = {
        "larqlite.version": __version__,
        "larqlite.summary": _json(_summary(costs)),
        "larqlite.layers": _json([_layer(packed, renamed) for packed in graph.packed]),
        "larqlite.weights": _json(
            {name: dataclasses.asdict(stored) for name, stored in graph.weights.items()}
        ),
        "larqlite.scales": _json(graph.scales),
    }
    if graph.roundings:
        texts["larqlite.roundings"] = _json(
            [
                dataclasses.asdict(r) | {"tensor": renamed.get(r.tensor, r.tensor)}
                for r in graph.roundings
            ]
        )
    return texts


_OF_A_LAYER = (
    "path",
    "class_name",
    "calls",
    "input_shape",
    "output_shape",
    "input_precision",
    "macs",
    "macs_reason",
)
_OF_A_WEIGHT = ("name", "shape", "bits")


def _summary(costs: ModelProfile) -> dict[str, Any]:
    """The summary without what can be told from the rest of it: a file should be small."""
    entries = costs.to_dict()
    entries["layers"] = [
        _chosen(layer, _OF_A_LAYER)
        | {"weights": [_chosen(weight, _OF_A_WEIGHT) for weight in layer["weights"]]}
        for layer in entries["layers"]
    ]
    return entries


def _chosen(entries: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Those of the entries that say anything."""
    return {key: entries[key] for key in keys if entries[key] not in (None, "", [])}


def _layer(packed: Any, renamed: Mapping[str, str]) -> dict[str, Any]:
    def tensor(name: str | None) -> str | None:
        return renamed.get(name, name)

    data_format = getattr(packed.layer, "data_format", "channels_last")
    scaled = {}
    if packed.levels is not None and packed.levels.is_scaled:
        scaled = (
            {"input_table": packed.levels.table}
            if isinstance(packed.levels, TableType)
            else {
                "input_scale": packed.levels.scale,
                "input_offset": packed.levels.offset,
            }
        )
    if packed.row_steps:
        scaled = {"input_row_steps": packed.row_steps}
    integers = {"gives_integers": True} if packed.gives_integers else {}
    return (
        scaled
        | integers
        | {
            "layer": packed.path,
            "class": type(packed.layer).__name__,
            "node": packed.nodes[-1],
            "nodes": packed.nodes,
            "input": tensor(packed.input),
            "quantized": tensor(packed.quantized),
            "accumulator": tensor(packed.accumulator),
            "output": tensor(packed.output),
            "output_layout": data_format,
            "weight_bits": packed.weight_bits,
        }
    )


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
