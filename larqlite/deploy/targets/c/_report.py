"""What a network takes on a device, as C: flash, memory, and each layer's share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from larqlite.deploy.targets.c._source import CSource, describe
from larqlite_runtime.internal import WholeProgram
from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_runtime.tables import aligned


@dataclass(frozen=True)
class CLayer:
    """A function of the C file.

    Attributes:
        name: of the layers that it stands for.
        what: it does, and its sizes.
        algorithm: by which it does.
        instructions: estimated for a Cortex-M4, if half of the bits are -1.
        worst: the same for the picture that takes longest.
        table_bytes: of its weights and thresholds.
        scratch_bytes: that it works in.
    """

    name: str
    what: str
    algorithm: str
    instructions: int
    worst: int
    table_bytes: int
    scratch_bytes: int


@dataclass(frozen=True)
class CReport(ShowsTables):
    """What `lq.deploy.to_c` wrote.

    Attributes:
        name: of the network in C.
        files: that were written.
        layers: in order.
        table_bytes: of all constants: flash, besides the code.
        arena_bytes: memory of tensors between layers.
        scratch_bytes: memory that layers work in.
    """

    name: str
    files: tuple[Path, ...]
    layers: tuple[CLayer, ...]
    table_bytes: int
    arena_bytes: int
    scratch_bytes: int

    @property
    def ram_bytes(self) -> int:
        """Static memory: arena and scratch. What calls put on the stack comes on top."""
        return self.arena_bytes + self.scratch_bytes

    def to_dict(self) -> dict:
        """The same as dictionaries, lists and numbers."""
        return asdict(self) | {"ram_bytes": self.ram_bytes}

    def __str__(self) -> str:
        found = []
        for table in self._shown():
            found += [table.title, aligned(table.header, table.rows, (3, 4, 5, 6)), ""]
            found += table.notes
        return "\n".join(found)

    def __repr__(self) -> str:
        return str(self)

    def _shown(self) -> Iterator[ShownTable]:
        rows = [
            (
                layer.name,
                layer.what,
                layer.algorithm,
                f"{layer.instructions:,}",
                f"{layer.worst:,}",
                f"{layer.table_bytes:,}",
                f"{layer.scratch_bytes:,}",
            )
            for layer in self.layers
        ]
        header = (
            "layer",
            "what",
            "algorithm",
            "instructions",
            "at most",
            "flash",
            "scratch",
        )
        notes = (
            f"flash: {self.table_bytes:,} bytes of tables, besides the code",
            f"RAM: {self.ram_bytes:,} bytes: arena {self.arena_bytes:,}, "
            f"scratch {self.scratch_bytes:,}",
        )
        yield ShownTable(f"{self.name} in C", header, rows, notes)


def report_of(source: CSource, whole: WholeProgram, files: Sequence[Path]) -> CReport:
    """The report of what was written."""
    memory = source.memory
    layers = []
    for made in source.steps:
        cost = made.algorithm.cost(made.layer)
        layers.append(
            CLayer(
                made.step.label,
                describe(made.step),
                made.algorithm.name,
                round(cost.instructions),
                round(cost.worst),
                made.table_bytes,
                cost.scratch,
            )
        )
    return CReport(
        source.name,
        tuple(files),
        tuple(layers),
        sum(memory.table_bytes.values()),
        4 * max(source.arena, 1),
        memory.scratch_bytes,
    )
