"""The commands that deploy: `lq export` and `lq verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite._command_options import Unsafe
from larqlite.errors import ArgumentError
from larqlite_runtime._command import HELP

Model = Positional[
    Annotated[
        Path, arg(metavar="MODEL", help="A saved model: .keras, .h5 or a folder.")
    ]
]
File = Positional[Annotated[Path, arg(metavar="FILE", help=HELP["file"])]]
Imports = Annotated[
    tuple[str, ...],
    arg(
        name="import",
        metavar="MODULE",
        help="Modules that register your own quantizers, layers and converters.",
        help_behavior_hint="",
    ),
]
Json = FlagCreatePairsOff[
    Annotated[bool, arg(help="Print JSON, for a program to read.")]
]


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
        _require_positive("lq verify", samples=self.samples)

    def run(self) -> None:
        """Prints the table of the comparison.

        Raises:
            SystemExit: with code 1 if a layer or a label differs.
        """
        from larqlite.deploy import _command_run

        _command_run.verify(self)


def _require_positive(where: str, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise ArgumentError(
                f"{where}: --{name} {value} is out of range.\n"
                "  Fix: a number from 1 up."
            )
