"""What a model costs, layer by layer: as plain data, as the cells of tables, as Markdown."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

from larqlite.models._weight_profile import WeightProfile, WeightSums
from larqlite.utils import memory_as_readable_str

Shape = tuple[int | None, ...]
MacsByBits = dict[tuple[int, int], int]

_BITS_PER_KB = 8 * 1024
_UNITS = (" T", " B", " M", " k", "")


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
class ModelProfile(WeightSums):
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


@dataclasses.dataclass(frozen=True)
class StatsTable:
    """The table with one row per layer.

    Attributes:
        header: column titles, a line break where a title may break.
        rows: cells of each layer.
        totals: cells of the last row.
        footnotes: numbered lines that the cells point to, as in `[1]`.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]
    footnotes: tuple[str, ...]


def stats_table(profile: ModelProfile, include_macs: bool = True) -> StatsTable:
    """The table with one row per layer: precision, shape, weights, memory, operations."""
    numbers: dict[str, int] = {}
    widths = list(profile.params_by_bits)
    precisions = list(profile.macs_by_precision) if include_macs else []
    unknown = include_macs and bool(profile.unknown_layers)
    if unknown and not precisions:
        precisions = [32]
    rows = [
        _row(layer, widths, precisions, numbers, include_macs)
        for layer in profile.layers
    ]
    counts = profile.params_by_bits
    return StatsTable(
        header=(
            "Layer",
            "Input prec.\n(bit)",
            "Outputs",
            *(f"# {bits}-bit\nx 1" for bits in widths),
            "Memory\n(kB)",
            *(f"{bits}-bit MACs" for bits in precisions),
        ),
        rows=tuple(rows),
        totals=(
            "Total",
            "",
            "",
            *(str(counts[bits]) for bits in widths),
            _kilobytes(profile.memory_bits),
            *(str(profile.macs_by_precision.get(bits, 0)) for bits in precisions),
        ),
        footnotes=tuple(
            [f"[{number}] {text}" for text, number in numbers.items()]
            + [f"Note: {text}" for text in profile.notes]
        ),
    )


def totals_table(
    profile: ModelProfile, include_macs: bool = True
) -> list[tuple[str, str]]:
    """The totals as (name, value) pairs."""
    lines = [
        ("Total params", readable(profile.params)),
        ("Trainable params", readable(profile.trainable_params)),
        ("Non-trainable params", readable(profile.non_trainable_params)),
        ("Params as trained by Keras", readable(profile.trained_params)),
        ("Model size", memory_as_readable_str(profile.memory_bits)),
        (
            "Model size (8-bit FP weights)",
            memory_as_readable_str(profile.memory_bits_8bit_fp),
        ),
        ("Float-32 Equivalent", memory_as_readable_str(profile.memory_bits_float32)),
        ("Compression Ratio of Memory", f"{profile.compression_ratio:.2f}"),
        ("Deployed weights (packed)", f"{profile.deployed_bytes:,} B"),
    ]
    if not include_macs:
        return lines
    macs, by_precision = profile.macs, profile.macs_by_precision
    missing = len(profile.unknown_layers)
    without = f" (without {missing} unknown)" if missing else ""
    lines.append(("Number of MACs", readable(macs) + without))
    for bits, name in ((1, "binarized"), (2, "ternarized")):
        if by_precision.get(bits):
            ratio = f"{by_precision[bits] / macs:.4f}"
            lines.append((f"Ratio of MACs that are {name}", ratio))
    return [
        *lines,
        ("BOPs (1-bit x 1-bit MACs)", readable(profile.bops)),
        ("FLOPs (all other MACs)", readable(profile.flops)),
        ("OPs (BOPs / 64 + FLOPs)", readable(profile.ops)),
        ("ACE (MACs x weight bits x input bits)", readable(profile.ace)),
    ]


def markdown(profile: ModelProfile, include_macs: bool = True) -> str:
    """Both tables and the footnotes as Markdown."""
    table = stats_table(profile, include_macs)
    lines = [f"### {_escaped(profile.name)} stats", ""]
    lines += _markdown_table(table.header, [*table.rows, table.totals])
    lines += [line for note in table.footnotes for line in ("", _escaped(note))]
    lines += ["", f"### {_escaped(profile.name)} summary", ""]
    lines += _markdown_table(("Total", ""), totals_table(profile, include_macs))
    return "\n".join(lines) + "\n"


def one_line(profile: ModelProfile) -> str:
    """What a model costs in one line."""
    return (
        f'<ModelProfile "{profile.name}": {len(profile.layers)} layers, '
        f"{readable(profile.params)} params, "
        f"{memory_as_readable_str(profile.memory_bits)}, "
        f"{readable(profile.macs)} MACs>"
    )


def readable(number: float) -> str:
    """A count with three significant digits and a unit: k, M, B (1e9) or T (1e12).

    Example:
        >>> from larqlite.models._profile import readable
        >>> readable(48), readable(11_690), readable(2_000_000_000)
        ('48', '11.7 k', '2 B')
    """
    rounded = float(f"{number:.3g}")
    if rounded >= 1e15:
        return f"{number:.2E}"
    for power, unit in zip((12, 9, 6, 3, 0), _UNITS, strict=True):
        if rounded >= 10**power:
            return f"{rounded / 10**power:.3g}{unit}"
    return f"{rounded:g}"


def _row(
    layer: LayerProfile,
    widths: list[int],
    precisions: list[int],
    numbers: dict[str, int],
    include_macs: bool,
) -> tuple[str, ...]:
    marks = dict.fromkeys(("layer", "input", "shape", "macs"), "")
    for note in layer.notes:
        if include_macs or note.about != "macs":
            number = numbers.setdefault(note.text, len(numbers) + 1)
            marks[note.about] += f" [{number}]"
    precision = "-" if layer.input_precision is None else str(layer.input_precision)
    macs = layer.macs_by_precision
    cells = [str((macs or {}).get(bits, 0)) for bits in precisions]
    if macs is None:
        cells = [f"?{marks['macs']}"] * len(precisions)
    return (
        layer.path + marks["layer"],
        precision + marks["input"],
        _shape(layer.output_shape) + marks["shape"],
        *(str(layer.params_by_bits.get(bits, 0)) for bits in widths),
        _kilobytes(layer.memory_bits),
        *cells,
    )


def _shape(shape: Shape | tuple[Shape | None, ...] | None) -> str:
    """Sizes, -1 for the batch and ? for others that are open."""
    if shape is None:
        return "?"
    if any(size is not None and not isinstance(size, int) for size in shape):
        return f"[{', '.join(map(_shape, shape))}]"
    sizes = ["?" if size is None else str(size) for size in shape]
    if shape and shape[0] is None:
        sizes[0] = "-1"
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _kilobytes(bits: int) -> str:
    return f"{bits / _BITS_PER_KB:.2f}" if bits else "0"


def _markdown_table(header: Any, rows: Any) -> list[str]:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(map(_escaped, cells)) + " |" for cells in lines]


def _escaped(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|").replace("_", "\\_")
