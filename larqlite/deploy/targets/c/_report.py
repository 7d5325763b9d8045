"""What a network takes on a device, as C: flash, memory, and each layer's share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from larqlite.deploy.targets.c._measure import MADE_BY, measure
from larqlite.deploy.targets.c._source import CSource, describe
from larqlite_runtime.internal import WholeProgram
from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_runtime.planner import live_ranges_of, lower_bound
from larqlite_runtime.tables import aligned, shortened


@dataclass(frozen=True)
class CLayer:
    """A function of the C file.

    Attributes:
        name: of the layers that it stands for.
        what: it does, and its sizes.
        algorithm: by which it does.
        instructions: estimated for a Cortex-M4, if half of the bits are -1.
        worst: the same for the picture that takes longest.
        products: one-bit products, or products of codes or floats.
        table_bytes: of its weights and thresholds.
        scratch_bytes: that it works in.
    """

    name: str
    what: str
    algorithm: str
    instructions: int
    worst: int
    products: int
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
        bound_bytes: the largest sum of tensors that are needed at one time: no arena can be
            smaller.
        scratch_bytes: memory that layers work in.
        flash_bytes: code and constants, as arm-none-eabi-gcc makes them for a Cortex-M4;
            None where that is not installed, or fails.
        stack_bytes: that a call takes, likewise.
        unmeasured: why these two are not known; "" if they are.
    """

    name: str
    files: tuple[Path, ...]
    layers: tuple[CLayer, ...]
    table_bytes: int
    arena_bytes: int
    bound_bytes: int
    scratch_bytes: int
    flash_bytes: int | None = None
    stack_bytes: int | None = None
    unmeasured: str = ""

    @property
    def instructions(self) -> int:
        """Of a picture half of whose bits are -1, estimated for a Cortex-M4."""
        return sum(layer.instructions for layer in self.layers)

    @property
    def worst(self) -> int:
        """The same of the picture that takes longest."""
        return sum(layer.worst for layer in self.layers)

    @property
    def ram_bytes(self) -> int:
        """Static memory: arena and scratch. What calls put on the stack comes on top."""
        return self.arena_bytes + self.scratch_bytes

    def to_dict(self) -> dict:
        """The same as dictionaries, lists and numbers."""
        own = ("ram_bytes", "instructions", "worst")
        return asdict(self) | {name: getattr(self, name) for name in own}

    def __str__(self) -> str:
        found = []
        for table in self._shown():
            rows = [*table.rows, table.totals]
            found += [table.title, aligned(table.header, rows, range(3, 8)), ""]
            found += table.notes
        return "\n".join(found)

    def __repr__(self) -> str:
        return str(self)

    def _shown(self) -> Iterator[ShownTable]:
        rows = [
            (
                shortened(layer.name),
                shortened(layer.what, 64),
                layer.algorithm,
                f"{layer.instructions:,}",
                f"{layer.worst:,}",
                f"{layer.products:,}",
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
            "products",
            "tables",
            "scratch",
        )
        totals = ("", "", "", f"{self.instructions:,}", f"{self.worst:,}")
        totals += (
            f"{sum(layer.products for layer in self.layers):,}",
            f"{self.table_bytes:,}",
            f"{self.scratch_bytes:,}",
        )
        notes = tuple(self._notes())
        yield ShownTable(f"{self.name} in C", header, rows, notes, totals)

    def _notes(self) -> Iterator[str]:
        if self.flash_bytes is None:
            yield (
                f"flash: {self.table_bytes:,} bytes of tables, and the code "
                f"({self.unmeasured}: the size of the code and the stack are not known)"
            )
        else:
            code = self.flash_bytes - self.table_bytes
            yield (
                f"flash: {self.flash_bytes:,} bytes: tables {self.table_bytes:,}, "
                f"code {code:,} ({MADE_BY})"
            )
        yield (
            f"RAM: {self.ram_bytes:,} bytes: arena {self.arena_bytes:,} "
            f"({self.bound_bytes:,} are needed at once), scratch {self.scratch_bytes:,}"
        )
        if self.stack_bytes is not None:
            yield f"stack: {self.stack_bytes:,} bytes in a call ({MADE_BY})"
        yield (
            "instructions: estimated for a Cortex-M4, half of the bits -1; at most: of the "
            "image that takes longest"
        )


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
                made.step.products,
                made.table_bytes,
                cost.scratch,
            )
        )
    plan = whole.plan
    outputs = [output.port.buffer for output in plan.outputs.values()]
    live = live_ranges_of(plan.program, plan.stages, outputs)
    found = measure(source)
    if isinstance(found, str):
        measured = {"unmeasured": found}
    else:
        measured = {"flash_bytes": found.flash, "stack_bytes": found.stack}
    return CReport(
        source.name,
        tuple(files),
        tuple(layers),
        sum(memory.table_bytes.values()),
        4 * max(source.arena, 1),
        lower_bound(plan.program, plan.stages, live),
        memory.scratch_bytes,
        **measured,
    )
