"""`lqz sweep`: recipes times methods times seeds, into one table."""

from __future__ import annotations

import dataclasses
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite.command_line import Json, output_flag, tell
from larqlite.errors import ArgumentError
from larqlite_runtime import tables
from larqlite_zoo._imports import Imports, import_modules
from larqlite_zoo._train_command import optional_fields, use_threads

# What can be said of all runs at once; methods and seeds are the sweep's own.
_OF_EVERY_RUN = (
    "dataset", "epochs", "batch_size", "image_size", "preprocessing", "train_images",
    "validation_images", "width", "precision",
)  # fmt: skip
EveryRun = optional_fields("EveryRun", _OF_EVERY_RUN, "In every run")


@dataclass(frozen=True)
class Sweep:
    """Train recipes with several methods and seeds, export each model, make one table.

    Every run is that of `lqz train`. Its accuracy, bytes and milliseconds are those of the
    file that it is exported to. The float twin of each recipe is trained too. The same
    command, given again, goes on where it stopped, also from several terminals at once.
    """

    names: Positional[
        Annotated[
            tuple[str, ...],
            arg(metavar="NAME", help="Recipes, or models that have one."),
        ]
    ]
    methods: Annotated[
        tuple[str, ...],
        arg(
            metavar="METHOD",
            help="By name, such as bnn or lsq_w2a4, or KERNEL/INPUT, two quantizers.",
        ),
    ] = ("bnn",)
    seeds: Annotated[tuple[int, ...], arg(help="One run for each of them.")] = (1, 2, 3)
    every_run: Annotated[EveryRun, arg(name="")] = field(default_factory=EveryRun)
    output: Annotated[
        Path, output_flag("Where to write the runs.", metavar="FOLDER")
    ] = Path("sweep")
    table: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="The CSV with a row for each run.",
            help_behavior_hint="(default: OUTPUT/sweep.csv)",
        ),
    ] = None
    folder: Annotated[
        Path | None, arg(metavar="FOLDER", help="Where a local dataset lies.")
    ] = None
    minutes: Annotated[
        float | None,
        arg(help="Begin no run after so many; the one under way is finished."),
    ] = None
    checkpoint_steps: Annotated[
        int, arg(help="Steps from one checkpoint to the next.")
    ] = 500
    validation_frequency: Annotated[
        int, arg(help="Epochs from one validation to the next.")
    ] = 1
    threads: Annotated[
        int | None, arg(help="Threads of one operation; None leaves it to TensorFlow.")
    ] = None
    measure_again: FlagCreatePairsOff[
        Annotated[
            bool,
            arg(
                help="Train nothing: take the milliseconds of the files that are there."
            ),
        ]
    ] = False
    json: Json = False
    imports: Imports = ()

    def run(self) -> None:
        try:
            tell(lambda: (self._sweep(), 0), self.json)
        except KeyboardInterrupt as interruption:
            print("lqz: stopped; the same command goes on.", file=sys.stderr)
            raise SystemExit(130) from interruption

    def _sweep(self) -> list[dict[str, Any]]:
        from larqlite_zoo import training

        import_modules(self.imports)
        if self.minutes is not None and not 0 <= self.minutes < math.inf:
            raise ArgumentError(
                f"lqz sweep: --minutes {self.minutes}.\n  Fix: a number from 0 up."
            )
        changed = {
            name: value
            for name, value in dataclasses.asdict(self.every_run).items()
            if value is not None
        }
        recipes = [training.recipe(name) for name in self.names]
        use_threads(self.threads)
        training.make_deterministic()
        rows = training.sweep(
            recipes,
            self.methods,
            self.seeds,
            changed=changed,
            output=self.output,
            path=self.table,
            folder=self.folder,
            minutes=self.minutes,
            checkpoint_steps=self.checkpoint_steps,
            validation_frequency=self.validation_frequency,
            measure_again=self.measure_again,
        )
        if rows and not self.json:
            print(_table(training.sweep_summary(rows)))
        return rows


def _table(found: list[dict[str, Any]]) -> str:
    """A row for each recipe and method, its seeds together."""
    header = ("recipe", "method", "W", "A", "seeds", "accuracy, %", "below float", "bytes",
              "ms")  # fmt: skip
    rows = [
        (
            row["recipe"],
            row["method"],
            str(row["weight_bits"]),
            str(row["activation_bits"]),
            str(len(row["seeds"])),
            _with_interval(row["accuracy"], row["interval"]),
            _with_interval(row["below_twin"], row["below_interval"]),
            "" if row["bytes"] is None else f"{row['bytes']:,.0f}",
            "" if row["bytes"] is None else f"{row['milliseconds']:.3f}",
        )
        for row in found
    ]
    return tables.text(header, rows)


def _with_interval(value: float | None, interval: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" + ("" if interval is None else f" ± {interval:.2f}")
