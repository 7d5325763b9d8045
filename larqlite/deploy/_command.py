"""The commands that deploy: `lq export`, `lq verify`, `lq run` and `lq benchmark`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from larqlite._command_options import Unsafe
from larqlite.errors import ArgumentError
from larqlite_runtime import _command
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


@dataclass(frozen=True)
class Run:
    """Run a deployed model on data in a file. Needs no TensorFlow."""

    file: File
    data: Annotated[Path, arg(metavar="FILE", help=HELP["data"])]
    output: Annotated[
        Path | None,
        arg(
            aliases=("-o",),
            metavar="FILE",
            help=HELP["output"],
            help_behavior_hint="",
        ),
    ] = None
    threads: Annotated[
        int | None,
        arg(metavar="COUNT", help=HELP["threads"], help_behavior_hint=""),
    ] = None
    batch: Annotated[int, arg(metavar="COUNT", help=HELP["batch"])] = 32
    profile: FlagCreatePairsOff[Annotated[bool, arg(help=HELP["profile"])]] = False

    def run(self) -> None:
        """Runs the model, and prints labels and times."""
        _command.Options(**vars(self)).run()


@dataclass(frozen=True)
class Benchmark:
    """Measure how fast a deployed file runs, in turns with other engines."""

    file: File
    model: Annotated[
        Path | None,
        arg(
            metavar="MODEL",
            help="The saved model of the file, for tensorflow and tflite.",
            help_behavior_hint="",
        ),
    ] = None
    against: Annotated[
        tuple[str, ...],
        arg(
            metavar="ENGINE",
            help="Some of onnxruntime (on the same file), tensorflow and tflite (on the "
            "model).",
            help_behavior_hint="(default: onnxruntime; with --model tensorflow too)",
        ),
    ] = ()
    threads: Annotated[
        int | None,
        arg(
            metavar="COUNT",
            help="Of each engine.",
            help_behavior_hint="(default: all physical cores)",
        ),
    ] = None
    batch: Annotated[int, arg(metavar="COUNT", help="Samples of a call.")] = 1
    seconds: Annotated[float, arg(help="How long to measure each engine.")] = 1.0
    output: Annotated[
        Path | None,
        arg(
            aliases=("-o",),
            metavar="FILE",
            help="Where to draw a bar chart (.png, .svg or .pdf).",
            help_behavior_hint="",
        ),
    ] = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        _require_positive("lq benchmark", threads=self.threads, batch=self.batch)
        if not 0 < self.seconds <= 600:
            raise ArgumentError(
                f"lq benchmark: --seconds {self.seconds:g} is out of range.\n"
                "  Fix: more than 0, at most 600."
            )

    def run(self) -> None:
        """Prints the table, who wins, and where the time goes."""
        from larqlite.deploy import _command_run

        _command_run.benchmark(self)


def _require_positive(where: str, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise ArgumentError(
                f"{where}: --{name} {value} is out of range.\n"
                "  Fix: a number from 1 up."
            )
