"""What an export wrote, as data and as a table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from larqlite._tables import as_text
from larqlite_runtime.notebook import ShownTable, ShowsTables


@dataclasses.dataclass(frozen=True)
class PackedRow:
    """A packed layer in the file.

    Attributes:
        layer: its path in the model.
        class_name: its class.
        operation: type of its node, `"BConv2D"`, or "float" if its kernel is unpacked
            and used in float arithmetic.
        weight_bits: bits of a value of its kernel.
        weight_bytes: of its packed kernels.
    """

    layer: str
    class_name: str
    operation: str
    weight_bits: int
    weight_bytes: int


@dataclasses.dataclass(frozen=True)
class FloatRow:
    """A layer that multiplies in float.

    Attributes:
        layer: its path in the model.
        class_name: its class.
        why: the reason, a sentence without its full stop.
    """

    layer: str
    class_name: str
    why: str


@dataclasses.dataclass(frozen=True)
class Report(ShowsTables):
    """What `lq.deploy.export` wrote; printed as a table.

    Attributes:
        path: of the file.
        bytes: its size.
        weight_bytes: of the weights in it: the summary's deployed size.
        scale_bytes: of the numbers derived from weights, such as the scales of kernels,
            which the summary does not count.
        packed: the packed layers, a `PackedRow` for each use.
        in_float: the layers that multiply in float, a `FloatRow` for each: float weights,
            packed ones whose input is not quantized to few levels, and what no kernel of
            `larqlite_runtime` sums as bits.
        notes: remarks.
    """

    path: Path
    bytes: int
    weight_bytes: int
    scale_bytes: int
    packed: tuple[PackedRow, ...]
    in_float: tuple[FloatRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Paths of the layers that multiply in float."""
        return tuple(row.layer for row in self.in_float)

    def to_dict(self) -> dict[str, Any]:
        """The same in types that JSON knows."""
        return {
            **dataclasses.asdict(self),
            "path": str(self.path),
            "float_layers": list(self.float_layers),
        }

    def __str__(self) -> str:
        return as_text(self._shown())

    def _shown(self) -> list[ShownTable]:
        header = ("layer", "class", "operation", "bits", "bytes")
        rows = [
            (
                row.layer,
                row.class_name,
                row.operation,
                str(row.weight_bits),
                f"{row.weight_bytes:,}",
            )
            for row in self.packed
        ]
        notes = [
            f"weights {self.weight_bytes:,} bytes, scales {self.scale_bytes:,} bytes",
            "float layers: " + (", ".join(self.float_layers) or "none"),
            *(f"{', '.join(paths)}: {why}" for why, paths in self._by_reason().items()),
            *self.notes,
        ]
        title = f"{self.path} ({self.bytes:,} bytes)"
        return [ShownTable(title, header, rows, notes)]

    def _by_reason(self) -> dict[str, list[str]]:
        """Paths of the layers in float by their reason."""
        found: dict[str, list[str]] = {}
        for row in self.in_float:
            found.setdefault(row.why, []).append(row.layer)
        return found
