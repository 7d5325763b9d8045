"""What a model costs, layer by layer, as plain data."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

from larqlite.models._profile_tables import markdown, one_line, shown_tables
from larqlite.models._weight_profile import WeightProfile, WeightSums
from larqlite_runtime.notebook import ShownTable, ShowsTables

Shape = tuple[int | None, ...]
MacsByBits = dict[tuple[int, int], int]


@dataclasses.dataclass(frozen=True)
class Note:
    """A footnote.

    Attributes:
        about: the column it belongs to: "layer", "input", "shape" or "macs".
        text: what a reader should know.
    """

    about: str
    text: str


@dataclasses.dataclass(frozen=True)
class LayerProfile(WeightSums):
    """What one layer costs, over all its uses in the model.

    Attributes:
        name: the layer's name.
        class_name: its class.
        path: its name with those of the models around it, `"block1/conv"`.
        calls: how often the model uses it.
        input_shape: shape of its input in the first use, None in it for an open
            size; a tuple of shapes if there are several; None if unknown.
        output_shape: likewise.
        input_precision: bits of its quantized input; None if nothing quantizes it.
        weights: what is deployed of its weights. A tensor that an earlier layer
            holds too is counted there.
        trained_params: number of weights that Keras trains or keeps for it.
        macs_by_bits: multiply-accumulates for one sample, over all uses, by
            (weight bits, input bits); None if unknown.
        macs_reason: why they are unknown, or an empty string.
        notes: footnotes.
    """

    name: str
    class_name: str
    path: str
    calls: int
    input_shape: Shape | tuple[Shape | None, ...] | None
    output_shape: Shape | tuple[Shape | None, ...] | None
    input_precision: int | None
    weights: tuple[WeightProfile, ...]
    trained_params: int
    macs_by_bits: MacsByBits | None
    macs_reason: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def _weights(self) -> Iterable[WeightProfile]:
        return self.weights

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one sample, or None if unknown."""
        return None if self.macs_by_bits is None else sum(self.macs_by_bits.values())

    @property
    def macs_by_precision(self) -> dict[int, int] | None:
        """Multiply-accumulates by the wider of weight and input, or None."""
        return None if self.macs_by_bits is None else by_precision(self.macs_by_bits)

    def to_dict(self) -> dict[str, Any]:
        """This profile in types that JSON knows."""
        return {
            "name": self.name,
            "class_name": self.class_name,
            "path": self.path,
            "calls": self.calls,
            "input_shape": self.input_shape,
            "output_shape": self.output_shape,
            "input_precision": self.input_precision,
            "weights": [
                dataclasses.asdict(weight) | {"deployed_bytes": weight.deployed_bytes}
                for weight in self.weights
            ],
            "trained_params": self.trained_params,
            "macs": _macs_as_list(self.macs_by_bits),
            "macs_reason": self.macs_reason,
            "notes": [dataclasses.asdict(note) for note in self.notes],
        } | self._sums_as_dict()


@dataclasses.dataclass(frozen=True, repr=False)
class ModelProfile(ShowsTables, WeightSums):
    """What a model costs.

    Attributes:
        name: the model's name.
        layers: its layers in the model's order, nested models unfolded.
        trained_params: what `model.count_params()` says (without the state of
            metrics): the weights as Keras trains them, batch normalizations not fused.
        notes: remarks about the model as a whole.
    """

    name: str
    layers: tuple[LayerProfile, ...]
    trained_params: int
    notes: tuple[str, ...] = ()

    @property
    def _weights(self) -> Iterable[WeightProfile]:
        return (weight for layer in self.layers for weight in layer.weights)

    def layer(self, path: str) -> LayerProfile:
        """The profile of the layer at a path.

        Raises:
            KeyError: the model has no layer there; the message lists the paths.
        """
        for layer in self.layers:
            if layer.path == path:
                return layer
        known = ", ".join(layer.path for layer in self.layers)
        raise KeyError(f'"{self.name}" has no layer "{path}"; it has: {known}')

    @property
    def unknown_layers(self) -> tuple[str, ...]:
        """Paths of the layers whose operations are unknown and not in the totals."""
        return tuple(layer.path for layer in self.layers if layer.macs_by_bits is None)

    @property
    def macs_by_bits(self) -> MacsByBits:
        """Known multiply-accumulates for one sample by (weight bits, input bits)."""
        sums = Counter()
        for layer in self.layers:
            sums.update(layer.macs_by_bits or {})
        return dict(sorted(sums.items()))

    @property
    def macs_by_precision(self) -> dict[int, int]:
        """Known multiply-accumulates by the wider of weight and input, ascending."""
        return by_precision(self.macs_by_bits)

    @property
    def macs(self) -> int:
        """Known multiply-accumulates for one sample."""
        return sum(self.macs_by_bits.values())

    @property
    def bops(self) -> int:
        """Multiply-accumulates whose weight and input both have one bit."""
        return self.macs_by_bits.get((1, 1), 0)

    @property
    def flops(self) -> int:
        """All other multiply-accumulates (Bi-Real Net's convention: each counts 1)."""
        return self.macs - self.bops

    @property
    def ops(self) -> float:
        """`BOPs / 64 + FLOPs`: a 64-bit word holds 64 binary operations."""
        return self.bops / 64 + self.flops

    @property
    def ace(self) -> int:
        """Arithmetic computation effort: sum of MACs x weight bits x input bits."""
        return sum(n * w * i for (w, i), n in self.macs_by_bits.items())

    @property
    def compression_ratio(self) -> float:
        """Memory as a part of what float32 weights would take; 0.0 without weights."""
        return self.memory_bits / max(self.memory_bits_float32, 1)

    def to_dict(self) -> dict[str, Any]:
        """This profile in types that JSON knows (`json.dumps(profile.to_dict())`)."""
        return {
            "name": self.name,
            "trained_params": self.trained_params,
            "macs": _macs_as_list(self.macs_by_bits),
            "bops": self.bops,
            "flops": self.flops,
            "ops": self.ops,
            "ace": self.ace,
            "compression_ratio": self.compression_ratio,
            "unknown_layers": list(self.unknown_layers),
            "notes": list(self.notes),
            "layers": [layer.to_dict() for layer in self.layers],
        } | self._sums_as_dict()

    def to_markdown(self, include_macs: bool = True) -> str:
        """The summary as Markdown: two tables and the footnotes."""
        return markdown(self, include_macs)

    def _shown(self) -> list[ShownTable]:
        return shown_tables(self)

    def __repr__(self) -> str:
        return one_line(self)


def by_precision(macs_by_bits: MacsByBits) -> dict[int, int]:
    """Multiply-accumulates by the wider of weight and input, ascending."""
    sums = Counter()
    for (weight_bits, input_bits), macs in macs_by_bits.items():
        sums[max(weight_bits, input_bits)] += macs
    return dict(sorted(sums.items()))


def _macs_as_list(macs_by_bits: MacsByBits | None) -> list[dict[str, int]] | None:
    if macs_by_bits is None:
        return None
    return [
        {"weight_bits": weight_bits, "input_bits": input_bits, "count": macs}
        for (weight_bits, input_bits), macs in sorted(macs_by_bits.items())
    ]
