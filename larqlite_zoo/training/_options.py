"""How a run is carried out: where it writes, how often, on which devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from larqlite.command_line import output_flag
from larqlite.errors import ArgumentError

StrategyName = Literal["none", "mirrored", "multi_worker"]


@dataclass(frozen=True)
class Options:
    """What does not change the outcome of a run.

    Raises:
        ArgumentError: a count below 1.
    """

    output: Annotated[
        Path | None,
        output_flag("Where to write; None for runs/RECIPE.", metavar="FOLDER"),
    ] = None
    folder: Annotated[
        Path | None,
        arg(metavar="FOLDER", help="Where the dataset lies, if it is a local one."),
    ] = None
    results: Annotated[
        Path,
        arg(metavar="FOLDER", help="Where the table of results lies, one per dataset."),
    ] = Path("results")
    checkpoint_steps: Annotated[
        int,
        arg(help="Steps from one checkpoint to the next; one more ends each epoch."),
    ] = 500
    keep_checkpoints: Annotated[int, arg(help="How many checkpoints to keep.")] = 3
    validation_frequency: Annotated[
        int, arg(help="Epochs from one validation to the next.")
    ] = 1
    strategy: Annotated[
        StrategyName,
        arg(
            help="none: one device; mirrored: all devices here; multi_worker: TF_CONFIG."
        ),
    ] = "none"
    tensorboard: Annotated[bool, arg(help="Write logs for TensorBoard.")] = True
    progress: Annotated[bool, arg(help="Show a progress bar.")] = True
    flip_ratio: Annotated[
        bool, arg(help="Log which share of the binary weights each epoch flipped.")
    ] = False
    save_weights: Annotated[bool, arg(help="Save the model at the end.")] = True
    deterministic: Annotated[
        bool, arg(help="Use only kernels that give the same bits every time.")
    ] = True
    threads: Annotated[
        int | None, arg(help="Threads of one operation; None leaves it to TensorFlow.")
    ] = None
    restart: Annotated[
        bool, arg(help="Begin anew, though the output folder holds a run.")
    ] = False

    def __post_init__(self) -> None:
        for name in ("checkpoint_steps", "keep_checkpoints", "validation_frequency"):
            if getattr(self, name) < 1:
                raise ArgumentError(
                    f"lqz train: --{name.replace('_', '-')} {getattr(self, name)}.\n"
                    "  Fix: a number of at least 1."
                )
