"""The commands that deploy: `lq export` and `lq verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite.command_line import (
    Json,
    Model,
    Unsafe,
    import_flag,
    require_at_least,
)
from larqlite_runtime.commands._run import HELP

File = Positional[Annotated[Path, arg(metavar="FILE", help=HELP["file"])]]
Imports = Annotated[tuple[str, ...], import_flag("quantizers, layers and converters")]


@dataclass(frozen=True)
class Export:
    """Write a saved model as an ONNX file with packed weights."""

    model: Model
    output: Positional[
        Annotated[Path, arg(metavar="FILE", help="Where to write the .onnx file.")]
    ]
    qonnx: FlagCreatePairsOff[
        Annotated[
            bool,
            arg(help="Write QONNX instead: weights as floats, with their quantizers."),
        ]
    ] = False
    verify: Annotated[
        bool,
        arg(
            help="Compare the packed layers with Keras on a few inputs, and write "
            "nothing if one differs."
        ),
    ] = True
    data: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="A .npy with inputs to compare on, or a .npz with x (or an array for "
            "each input).",
            help_behavior_hint="(default: random inputs)",
        ),
    ] = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def run(self) -> None:
        """Writes the file, and prints what is in it."""
        from larqlite.deploy import _command_run

        _command_run.export(self)


@dataclass(frozen=True)
class Verify:
    """Compare a deployed file with its model, layer by layer. Exit code 1 if it departs."""

    model: Model
    file: File
    data: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="A .npy with inputs, or a .npz with x (or an array for each input).",
            help_behavior_hint="(default: random inputs)",
        ),
    ] = None
    samples: Annotated[
        int | None,
        arg(
            metavar="COUNT",
            help="How many inputs.",
            help_behavior_hint="(default: 4 random ones; all that the data has)",
        ),
    ] = None
    stock: Annotated[bool, arg(help="Run everything on a stock ONNX Runtime too.")] = (
        True
    )
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        require_at_least("lq verify", self, samples=1)

    def run(self) -> None:
        """Prints the table of the comparison.

        Raises:
            SystemExit: with code 1 if a layer or a label differs.
        """
        from larqlite.deploy import _command_run

        _command_run.verify(self)
