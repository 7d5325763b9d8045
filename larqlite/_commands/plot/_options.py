"""What the words after `lq plot` mean: a dataclass for each kind of picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg, subcommand

from larqlite._commands.plot._look import WHERE, LookOptions
from larqlite.command_line import Imports, Model, Unsafe, data_flag, require_at_least
from larqlite.errors import ArgumentError
from larqlite.outputs import renamed

ResultFile = Positional[Annotated[Path, arg(metavar="FILE", help="A .json of it.")]]


@dataclass(frozen=True, kw_only=True)
class PlotQuantizer(LookOptions):
    """Draw a quantizer and its pseudo-gradient."""

    name: Positional[Annotated[str, arg(metavar="NAME", help="Such as swish_sign.")]]
    imports: Imports = ()

    def run(self) -> None:
        self.draw(
            "quantizer", lambda: self.name, f"{self.name}.png", imports=self.imports
        )


@dataclass(frozen=True, kw_only=True)
class PlotWeights(LookOptions):
    """Draw histograms of the latent weights of a saved model."""

    model: Model
    imports: Imports = ()
    unsafe: Unsafe = False

    def run(self) -> None:
        _draw_model(self, "weights", "weights")


@dataclass(frozen=True, kw_only=True)
class PlotCosts(LookOptions):
    """Draw what every layer of a saved model costs: bytes, and products."""

    model: Model
    imports: Imports = ()
    unsafe: Unsafe = False

    def run(self) -> None:
        _draw_model(self, "costs", "costs")


@dataclass(frozen=True, kw_only=True)
class PlotHistory(LookOptions):
    """Draw the curves of a training run, or of several in one picture."""

    files: Positional[
        Annotated[
            tuple[Path, ...],
            arg(
                metavar="FILE [FILE ...]",
                help="Each a .csv of CSVLogger, or a .json of model.fit(...).history.",
                help_behavior_hint="",
            ),
        ]
    ]
    labels: Annotated[
        tuple[str, ...],
        arg(
            metavar="NAME ...",
            help="Names of the runs, one for each file.",
            help_behavior_hint="(default: what tells the files apart)",
        ),
    ] = ()
    curves: Annotated[
        tuple[str, ...],
        arg(
            metavar="NAME ...",
            help="What to draw, such as loss accuracy flip_ratio.",
            help_behavior_hint="(default: all but the time)",
        ),
    ] = ()

    def run(self) -> None:
        if not self.files:
            raise ArgumentError(
                f"{WHERE} history: no file is named.\n  Fix: {WHERE} history log.csv"
            )
        one = len(self.files) == 1
        self.draw(
            "history",
            lambda: self.files[0] if one else list(self.files),
            renamed(self.files[0], ".png") if one else "history.png",
            *self.files,
            labels=self.labels or None,
            curves=self.curves or None,
        )


@dataclass(frozen=True, kw_only=True)
class PlotAccuracy(LookOptions):
    """Draw accuracies against bytes, a dot for each network."""

    file: Positional[
        Annotated[
            Path,
            arg(
                metavar="FILE",
                help="A .csv with the columns model, bytes and top1, or a .json, such as "
                "lqz list --json prints.",
            ),
        ]
    ]
    dataset: Annotated[
        str | None,
        arg(
            metavar="NAME",
            help="What the accuracies are on, where the file has several.",
            help_behavior_hint="",
        ),
    ] = None

    def run(self) -> None:
        default = renamed(self.file, ".png")
        self.draw(
            "accuracy", lambda: self.file, default, self.file, dataset=self.dataset
        )


@dataclass(frozen=True, kw_only=True)
class PlotIntegers(LookOptions):
    """Draw which bits the accumulators of an integer model need, and which they have."""

    model: Model
    data: Annotated[
        Path | None, data_flag("to look for what saturates", "random inputs")
    ] = None
    samples: Annotated[int, arg(metavar="COUNT", help="How many of them.")] = 64
    imports: Imports = ()
    unsafe: Unsafe = False

    def run(self) -> None:
        require_at_least(f"{WHERE} integers", self, samples=1)
        _draw_model(self, "integers", "integers", self._report)

    def _report(self) -> Any:
        from larqlite._io import read
        from larqlite.integer.models import data_report, load_model

        model = load_model(self.model, compile_model=False, safe_mode=not self.unsafe)
        samples = None
        if self.data is not None:
            shapes = [tuple(x.shape[1:]) for x in model.inputs]
            found = read(
                self.data,
                model.input_names,
                f"{WHERE} integers",
                shapes=shapes,
                joined=True,
            )
            samples = list(found.inputs.values())
            samples = samples[0] if len(samples) == 1 else samples
        return data_report(model, samples, self.samples)


@dataclass(frozen=True, kw_only=True)
class PlotVerification(LookOptions):
    """Draw where a deployed file departs from its model: what lq verify --json printed."""

    file: ResultFile

    def run(self) -> None:
        _draw_file(self, "verification")


@dataclass(frozen=True, kw_only=True)
class PlotSensitivity(LookOptions):
    """Draw what each width of each layer costs: what lq sensitivity --json printed."""

    file: ResultFile

    def run(self) -> None:
        _draw_file(self, "sensitivity")


@dataclass(frozen=True, kw_only=True)
class PlotSearch(LookOptions):
    """Draw the best widths at each cost: what lq search --json printed."""

    file: ResultFile

    def run(self) -> None:
        _draw_file(self, "search")


@dataclass(frozen=True, kw_only=True)
class PlotDiagnosis(LookOptions):
    """Draw what is ill in a model: what lq diagnose --json printed."""

    file: ResultFile

    def run(self) -> None:
        _draw_file(self, "diagnosis")


@dataclass(frozen=True, kw_only=True)
class PlotBenchmark(LookOptions):
    """Draw the times of engines on one network: what lq benchmark --json printed."""

    file: ResultFile

    def run(self) -> None:
        _draw_file(self, "benchmark")


def _draw_model(options: Any, figure: str, ending: str, content: Any = None) -> None:
    def loaded() -> Any:
        import larqlite

        safe = not options.unsafe
        return larqlite.models.load(options.model, compile=False, safe_mode=safe)

    default = f"{renamed(options.model, '.png').stem}_{ending}.png"
    options.draw(
        figure, content or loaded, default, options.model, imports=options.imports
    )


def _draw_file(options: Any, figure: str) -> None:
    default = renamed(options.file, ".png")
    options.draw(figure, lambda: options.file, default, options.file)


@dataclass(frozen=True)
class Plot:
    """Draw quantizers, models, training runs and results, for screen and paper."""

    what: (
        Annotated[PlotQuantizer, subcommand("quantizer")]
        | Annotated[PlotWeights, subcommand("weights")]
        | Annotated[PlotHistory, subcommand("history")]
        | Annotated[PlotCosts, subcommand("costs")]
        | Annotated[PlotAccuracy, subcommand("accuracy")]
        | Annotated[PlotIntegers, subcommand("integers")]
        | Annotated[PlotVerification, subcommand("verification")]
        | Annotated[PlotSensitivity, subcommand("sensitivity")]
        | Annotated[PlotSearch, subcommand("search")]
        | Annotated[PlotDiagnosis, subcommand("diagnosis")]
        | Annotated[PlotBenchmark, subcommand("benchmark")]
    )

    def run(self) -> None:
        self.what.run()
