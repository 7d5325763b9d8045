"""What a file says about the model that it was made from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from larqlite._version import __version__
from larqlite.deploy._writer import Writer
from larqlite.models import ModelProfile


def metadata_of(
    graph: Writer, costs: ModelProfile, renamed: Mapping[str, str]
) -> dict[str, str]:
    """The texts of `metadata_props`.

    Args:
        graph: the finished graph.
        costs: the summary of the model.
        renamed: names of tensors that became outputs.
    """
    return {
        "larqlite.version": __version__,
        "larqlite.summary": _json(costs.to_dict()),
        "larqlite.layers": _json([_layer(packed, renamed) for packed in graph.packed]),
        "larqlite.weights": _json(
            {name: dataclasses.asdict(stored) for name, stored in graph.weights.items()}
        ),
        "larqlite.scales": _json(graph.scales),
    }


def _layer(packed: Any, renamed: Mapping[str, str]) -> dict[str, Any]:
    def tensor(name: str | None) -> str | None:
        return renamed.get(name, name)

    data_format = getattr(packed.layer, "data_format", "channels_last")
    return {
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


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
