"""The command `lqz`: list models and recipes, show cards, train, evaluate."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import (
    FlagCreatePairsOff,
    Positional,
    arg,
    subcommand,
)

from larqlite.command_line import (
    BatchSize,
    CompletionOptions,
    Json,
    Place,
    Unsafe,
    parsed,
    places_of,
    root_of,
    tell,
)
from larqlite_runtime.commands import load, run_lqz
from larqlite_runtime.former_flags import FormerFlag
from larqlite_runtime.start import command_of
from larqlite_zoo._imports import Imports, import_modules
from larqlite_zoo._sweep_command import Sweep

Model = Annotated[str, arg(metavar="MODEL", help="A registered model: `lqz list`.")]


@dataclass(frozen=True)
class List:
    """List models, recipes or datasets."""

    pattern: Positional[
        Annotated[str, arg(metavar="PATTERN", help='Of names, such as "*net*18*".')]
    ] = "*"
    recipes: FlagCreatePairsOff[
        Annotated[bool, arg(help="List the training recipes.")]
    ] = False
    datasets: FlagCreatePairsOff[Annotated[bool, arg(help="List the datasets.")]] = (
        False
    )
    json: Json = False
    imports: Imports = ()

    def run(self) -> None:
        tell(lambda: (self._rows(), 0), self.json)

    def _rows(self) -> list[dict[str, Any]]:
        from larqlite_zoo import _lists, _show

        import_modules(self.imports)
        if self.recipes or self.datasets:
            kind = "recipe" if self.recipes else "dataset"
            rows = getattr(_lists, f"{kind}_rows")(self.pattern)
            show = getattr(_lists, f"print_{kind}s")
        elif self.json:
            rows = _lists.model_rows(self.pattern)
        else:
            _show.print_models(self.pattern)
            return []
        if not self.json:
            show(rows)
        return rows


@dataclass(frozen=True)
class Card:
    """Show what is known of a model: paper, costs, accuracies, weight files."""

    name: Positional[Model]
    json: Json = False
    imports: Imports = ()

    def run(self) -> None:
        tell(lambda: (self._show(), 0), self.json)

    def _show(self) -> Any:
        import larqlite_zoo
        from larqlite_zoo import _show

        import_modules(self.imports)
        card = larqlite_zoo.card(self.name)
        if not self.json:
            _show.print_card(card)
        return card


@dataclass(frozen=True)
class Train:
    """Train a model by its recipe, or go on with a run that was interrupted.

    `lqz train NAME --help` lists the flags of that recipe: all of its fields.
    """

    name: Positional[
        Annotated[
            str, arg(metavar="NAME", help="A model or a recipe, before all flags.")
        ]
    ]


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on the validation images of a dataset."""

    FORMER_FLAGS: ClassVar[tuple[FormerFlag, ...]] = (
        FormerFlag("--images", "--samples"),
    )

    model: Positional[
        Annotated[
            str,
            arg(
                metavar="MODEL",
                help="A registered model, a saved one, or the folder of a finished run.",
            ),
        ]
    ]
    dataset: Annotated[
        str | None, arg(help="`lqz list --datasets`; a run's folder knows its own.")
    ] = None
    weights: Annotated[
        str | None,
        arg(
            metavar="FILE",
            help="For a registered model: a file, the folder of a run, or the word for "
            "published weights, which is the default where there are some.",
            help_behavior_hint="",
        ),
    ] = None
    folder: Annotated[
        Path | None, arg(metavar="FOLDER", help="Where a local dataset lies.")
    ] = None
    image_size: Annotated[
        int | None, arg(help="Height and width that the model sees.")
    ] = None
    preprocessing: Annotated[
        str | None, arg(help="How images become numbers; None for the dataset's own.")
    ] = None
    images: Annotated[
        int | None,
        arg(
            name="samples",
            help="Use only so many images, of each class its part; None for all.",
        ),
    ] = None
    batch_size: BatchSize = 128
    precision: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        arg(help="The dtype policy of a registered model."),
    ] = "float32"
    threads: Annotated[
        int | None, arg(help="Threads of TensorFlow; None leaves it to it.")
    ] = None
    json: Json = False
    imports: Imports = ()
    unsafe: Unsafe = False

    def run(self) -> None:
        tell(lambda: (self._evaluate(), 0), self.json)

    def _evaluate(self) -> Any:
        from larqlite_zoo import _train_command, training

        import_modules(self.imports)
        _train_command.use_threads(self.threads)
        settings = dataclasses.asdict(self)
        for name in ("json", "imports", "threads", "unsafe"):
            del settings[name]
        settings["safe_mode"] = not self.unsafe
        result = training.evaluate(
            settings.pop("model"), settings.pop("dataset"), **settings
        )
        if not self.json:
            print(result)
        return result


@dataclass(frozen=True)
class CompletionOfTheZoo(CompletionOptions):
    """Print what lets a shell complete words: commands, flags, values, files."""

    def run(self) -> None:
        self.show("lqz", _places())


Command = (
    Annotated[List, subcommand("list")]
    | Annotated[Card, subcommand("card")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Sweep, subcommand("sweep")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[CompletionOfTheZoo, subcommand("completion")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command `lqz`.

    Args:
        arguments: the words after `lqz`; those of the process by default.

    Raises:
        SystemExit: with code 2 after a mistake in the arguments or in a file they
            name (the message is on stderr), 130 after Ctrl-C.
    """
    run_lqz(arguments, lambda: sys.modules[__name__])


def work(arguments: list[str]) -> None:
    """Does what the words after `lqz` say.

    They are read before TensorFlow is imported; the flags of `train` are those of the
    recipe, where that is known by then.
    """
    if command_of(sys.orig_argv):  # its warnings are for those who write Python
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if arguments[:1] == ["train"] and arguments[1:2] not in ([], ["-h"], ["--help"]):
        from larqlite_zoo import _train_command

        _train_command.read(arguments[1:])
        _load_everything()
        _train_command.run(arguments[1:])
        return
    command = parse(arguments)
    if not isinstance(command, CompletionOfTheZoo):
        _load_everything()
    command.run()


def _load_everything() -> None:
    import larqlite_zoo

    load(larqlite_zoo.load_everything)


def parse(arguments: Sequence[str]) -> Command:
    """The command that the words after `lqz` stand for, unless it is `lqz train NAME`,
    whose flags are those of the recipe; its `run()` does it.

    Raises:
        SystemExit: with code 2 after a mistake, with 0 after `--help`.
    """
    about = "Reference binarized networks: list, train and evaluate them."
    return parsed(Command, "lqz", arguments, description=about)


def _places() -> list[Place]:
    """All that can be said after `lqz`; the flags of `train` are those of the recipe."""
    costs = json.loads(Path(__file__).with_name("_costs.json").read_text("utf-8"))
    root, *found = places_of(Command, [])
    for index, place in enumerate(found):
        if place.path in (("card",), ("train",), ("sweep",), ("evaluate",)):
            models = dataclasses.replace(place.inputs[0], words=tuple(costs))
            found[index] = dataclasses.replace(place, inputs=(models,))
    return [root_of(root.commands), *found]
