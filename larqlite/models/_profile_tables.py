"""What a model costs as the cells of two tables, as Markdown, and in one line.

A profile (`_profile.py`) prints itself with these functions, so they name what they read of
it, and import nothing of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from larqlite.utils import memory_as_readable_str
from larqlite_runtime.notebook import ShownTable

_BITS_PER_KB = 8 * 1024
_UNITS = (" T", " B", " M", " k", "")


class LayerCosts(Protocol):
    """What a row reads of a `LayerProfile`."""

    path: str
    input_precision: int | None
    output_shape: Sequence[Any] | None
    params_by_bits: dict[int, int]
    memory_bits: int
    macs_by_precision: dict[int, int] | None
    notes: Sequence[Any]


class ModelCosts(Protocol):
    """What the tables read of a `ModelProfile`."""

    name: str
    layers: Sequence[LayerCosts]
    params_by_bits: dict[int, int]
    memory_bits: int
    macs_by_precision: dict[int, int]
    unknown_layers: Sequence[str]
    notes: Sequence[str]

    # The totals.
    params: int
    trainable_params: int
    non_trainable_params: int
    trained_params: int
    memory_bits_8bit_fp: int
    memory_bits_float32: int
    compression_ratio: float
    deployed_bytes: int
    macs: int
    bops: int
    flops: int
    ops: float
    ace: int


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


def stats_table(profile: ModelCosts, include_macs: bool = True) -> StatsTable:
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
    profile: ModelCosts, include_macs: bool = True
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


def shown_tables(profile: ModelCosts) -> list[ShownTable]:
    """Both tables and the footnotes, for a notebook."""
    table = stats_table(profile)
    totals = totals_table(profile)
    return [
        ShownTable(
            f"{profile.name} stats",
            table.header,
            table.rows,
            table.footnotes,
            table.totals,
        ),
        ShownTable(f"{profile.name} summary", ("Total", ""), totals),
    ]


def markdown(profile: ModelCosts, include_macs: bool = True) -> str:
    """Both tables and the footnotes as Markdown."""
    table = stats_table(profile, include_macs)
    lines = [f"### {_escaped(profile.name)} stats", ""]
    lines += _markdown_table(table.header, [*table.rows, table.totals])
    lines += [line for note in table.footnotes for line in ("", _escaped(note))]
    lines += ["", f"### {_escaped(profile.name)} summary", ""]
    lines += _markdown_table(("Total", ""), totals_table(profile, include_macs))
    return "\n".join(lines) + "\n"


def one_line(profile: ModelCosts) -> str:
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
        >>> from larqlite.models._profile_tables import readable
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
    layer: LayerCosts,
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


def _shape(shape: Sequence[Any] | None) -> str:
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
