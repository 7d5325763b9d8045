"""What the words after `lq sensitivity` and `lq diagnose` mean, and what they do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from larqlite.command_line import (
    BatchSize,
    Imports,
    Json,
    Model,
    Unsafe,
    data_flag,
    import_modules,
    output_flag,
    require_at_least,
    tell,
)
from larqlite.errors import ArgumentError
from larqlite.outputs import KERAS, require, save_model

Data = Positional[Annotated[str, data_flag("to look at")]]
Picture = Annotated[
    Path | None,
    output_flag("Where to write a picture too: .png, .svg or .pdf."),
]
Seed = Annotated[int, arg(help="Seed of the signs that are drawn at random.")]


@dataclass(frozen=True)
class SensitivityOptions:
    """Say what each width of each layer of a float model costs: signal, and accuracy."""

    model: Model
    data: Data
    widths: Annotated[
        tuple[str, ...],
        arg(
            metavar="WIDTH ...",
            help="Words for schemes, as lq qat has them: int8, int4, ternary, binary, "
            "int4/8 (weights/activations), int4/float, ...",
        ),
    ] = ("int8", "int4", "int3", "int2", "ternary", "binary")
    method: Annotated[
        Literal["both", "measured", "gradients"],
        arg(
            help="Quantize one layer at a time and measure, or foretell the same from "
            "gradients, for a small part of the time; or both, to compare."
        ),
    ] = "both"
    samples: Annotated[
        int, arg(metavar="COUNT", help="How many inputs to measure on.")
    ] = 512
    gradient_samples: Annotated[
        int, arg(metavar="COUNT", help="How many of them to take gradients on.")
    ] = 64
    batch_size: BatchSize = 128
    seed: Seed = 0
    output: Picture = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        least = {"samples": 1, "gradient_samples": 1, "batch_size": 1}
        require_at_least("lq sensitivity", self, **least)

    def run(self) -> None:
        """Prints the tables, and draws them if asked to."""
        tell(lambda: (self._run(), 0), self.json)

    def _run(self) -> dict[str, Any]:
        where = "lq sensitivity"
        model, test, train = _read(self, where)
        from larqlite import analysis

        report = analysis.sensitivity(
            *(model, test, self.widths),
            method=self.method,
            calibrate=train[: analysis.CALIBRATED],
            samples=self.samples,
            gradient_samples=self.gradient_samples,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        return _told(report, self)


@dataclass(frozen=True)
class SearchOptions:
    """Find the width of each layer that loses least within a budget, and write the model."""

    model: Model
    data: Data
    budget: Positional[
        Annotated[
            float,
            arg(
                metavar="BUDGET",
                help="What the network may cost, in the unit of --cost.",
            ),
        ]
    ]
    cost: Annotated[
        Literal["bytes", "bops", "ace", "latency_ms", "c_instructions"],
        arg(
            help="Deployed weights in bytes; bit operations or ACE of the arithmetic; "
            "milliseconds on this machine; instructions on a Cortex-M4, by QEMU."
        ),
    ] = "bytes"
    widths: Annotated[
        tuple[str, ...],
        arg(
            metavar="WIDTH ...",
            help="Words for schemes, as lq qat has them; float leaves a layer as it is.",
        ),
    ] = ("binary", "ternary", "int2", "int3", "int4", "int8", "float")
    keep: Annotated[
        tuple[str, ...],
        arg(metavar="LAYER=WIDTH ...", help="Widths that are settled."),
    ] = ()
    method: Annotated[
        Literal["measured", "gradients", "learned"],
        arg(
            help="How it is told which widths lose least: see lq sensitivity; or learned, "
            "which trains a copy of mixed widths on the data."
        ),
    ] = "measured"
    points: Annotated[
        int, arg(metavar="COUNT", help="Budgets that the front is made for.")
    ] = 9
    samples: Annotated[
        int, arg(metavar="COUNT", help="How many inputs to measure on.")
    ] = 512
    batch_size: BatchSize = 128
    folder: Annotated[
        Path | None,
        arg(help="Where numbers are kept, so that a search that was stopped goes on."),
    ] = None
    write: Annotated[
        Path | None,
        arg(
            metavar="FILE",
            help="Where to write the best model, calibrated: .keras or .h5.",
        ),
    ] = None
    output: Picture = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        least = {"points": 2, "samples": 1, "batch_size": 1}
        require_at_least("lq search", self, **least)

    def run(self) -> None:
        """Prints the front, draws it and writes the model if asked to."""
        tell(lambda: (self._run(), 0), self.json)

    def _run(self) -> dict[str, Any]:
        where = "lq search"
        if self.write is not None:
            require(self.write, KERAS, where, read=[self.model, self.data])
        keep = dict(_settled(pair) for pair in self.keep)
        model, test, train = _read(self, where)
        from larqlite import analysis, search

        found = search.bits(
            *(model, test, self.budget, self.cost),
            widths=self.widths,
            keep=keep,
            method=self.method,
            points=self.points,
            calibrate=train[: analysis.CALIBRATED],
            samples=self.samples,
            batch_size=self.batch_size,
            folder=self.folder,
        )
        told = _told(found, self)
        written = None
        if self.write is not None:
            save_model(found.model(), self.write)
            written = str(self.write)
            if not self.json:
                print(f"wrote {written}")
        return told | {"model": written}


def _settled(pair: str) -> tuple[str, str]:
    """The name and the width of a word LAYER=WIDTH."""
    layer, equals, width = pair.rpartition("=")
    if not equals or not layer or not width:
        raise ArgumentError(
            f"lq search: --keep {pair} is no LAYER=WIDTH.\n"
            "  Fix: for example --keep labels=int8."
        )
    return layer, width


@dataclass(frozen=True)
class DiagnoseOptions:
    """Say what is ill in a low-bit model, and the fix. Exit code 1 if anything is."""

    model: Model
    data: Data
    samples: Annotated[
        int, arg(metavar="COUNT", help="How many inputs to look at.")
    ] = 256
    batch_size: BatchSize = 32
    steps: Annotated[
        int,
        arg(metavar="COUNT", help="Training steps that a copy makes; 0 for none."),
    ] = 8
    learning_rate: Annotated[float, arg(help="Of Adam in these steps.")] = 0.01
    seed: Seed = 0
    output: Picture = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def __post_init__(self) -> None:
        least = {"samples": 1, "batch_size": 1, "steps": 0}
        require_at_least("lq diagnose", self, **least)

    def run(self) -> None:
        """Prints what is ill, and draws it if asked to.

        Raises:
            SystemExit: with code 1 if anything is.
        """
        tell(self._run, self.json)

    def _run(self) -> tuple[dict[str, Any], int]:
        model, test, _ = _read(self, "lq diagnose")
        from larqlite import analysis

        report = analysis.diagnose(
            *(model, test),
            samples=self.samples,
            batch_size=self.batch_size,
            steps=self.steps,
            learning_rate=self.learning_rate,
            seed=self.seed,
        )
        return _told(report, self), int(not report.ok)


def _read(options: Any, where: str) -> tuple[Any, Any, Any]:
    """The model; inputs to look at, with their labels if there are any; those to train on.

    The picture is refused before the work.
    """
    if options.output is not None:
        from larqlite.plot import require_picture

        read = [options.model, options.data]
        require_picture(options.output, where, read=read)
    import_modules("lq", options.imports)
    from larqlite import models
    from larqlite._io import read as read_data

    model = models.load(options.model, safe_mode=not options.unsafe)
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    test, train = (
        read_data(options.data, model.input_names, where, part, shapes=shapes, flag="")
        for part in ("test", "train")
    )
    x = _of_model(model, test.inputs)
    found = x if test.labels is None else (x, test.labels)
    return model, found, _of_model(model, train.inputs)


def _of_model(model: Any, inputs: dict) -> Any:
    """Arrays by name as a model with one input takes them."""
    return next(iter(inputs.values())) if len(model.inputs) == 1 else inputs


def _told(report: Any, options: Any) -> dict[str, Any]:
    """Prints the report, and draws it; its content as data."""
    if not options.json:
        print(report)
    written = None
    if options.output is not None:
        report.plot(options.output)
        written = str(options.output)
        if not options.json:
            print(f"wrote {written}")
    return report.to_dict() | {"wrote": written}
