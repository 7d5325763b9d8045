"""`lqz train NAME`: every field of a recipe and of the options as a flag."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import arg

from larqlite.command_line import Json, parsed, tell
from larqlite.errors import ArgumentError, near_matches
from larqlite_zoo import training
from larqlite_zoo._imports import Imports, import_modules

# What can be said of all stages of a recipe at once.
_OF_EVERY_STAGE = (
    "dataset", "epochs", "batch_size", "image_size", "preprocessing", "train_images",
    "validation_images", "precision", "seed",
)  # fmt: skip


def run(arguments: Sequence[str]) -> None:
    """Does `lqz train ARGUMENTS`.

    Raises:
        ArgumentError: no name first, an unknown one, or values that do not go together.
        SystemExit: with 2 after an unknown flag, 0 after `--help`, 130 after Ctrl-C.
    """
    chosen = _chosen(arguments)
    recipe, options = chosen.recipe, chosen.options
    _check_names(recipe)
    use_threads(options.threads)
    if options.deterministic:
        training.make_deterministic()
    command = shlex.join(["lqz", "train", *arguments])

    def work():
        result = training.train(recipe, options, command=command)
        return dataclasses.asdict(result) | {"recipe": recipe.name}, 0

    try:
        tell(work, chosen.json)
    except KeyboardInterrupt as interruption:
        print(f"lqz: stopped; {_how_to_go_on(recipe, options)}", file=sys.stderr)
        raise SystemExit(130) from interruption


def read(arguments: Sequence[str]) -> None:
    """Reads `lqz train ARGUMENTS` as far as that is possible without TensorFlow: mistakes
    and `--help` are answered at once, where the recipe is known.

    Raises:
        As `run`.
    """
    name, *rest = arguments
    # A module of the user's may define recipes, and what they need.
    if not any(word.partition("=")[0] == "--import" for word in rest):
        found = training.recipe_by_words(name)
        if name.startswith("-") or found is not None:
            _chosen(arguments, found)


def parse(
    arguments: Sequence[str],
) -> tuple[training.Recipe | training.MultiStage, training.Options]:
    """The recipe and the options that the words after `lqz train` stand for."""
    chosen = _chosen(arguments)
    return chosen.recipe, chosen.options


def _chosen(arguments: Sequence[str], recipe=None) -> Any:
    """What the words stand for: `recipe`, `options`, `json`; `recipe` is what the first
    one names, if that is known."""
    name, *rest = arguments
    if name.startswith("-"):
        raise ArgumentError(
            f"lqz train {name}: the model or the recipe comes first.\n"
            f"  Fix: lqz train NAME {name} ..., with a name of `lqz list`."
        )
    before = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    before.add_argument("--import", dest="modules", nargs="*", default=[])
    import_modules(before.parse_known_args(rest)[0].modules)
    recipe, rest = with_other_kinds(recipe or training.recipe(name), rest)
    Train = _flags_of(recipe)
    chosen = parsed(
        Train,
        f"lqz train {name}",
        rest,
        description=_description(recipe),
        default=Train(),
        config=(tyro.conf.AvoidSubcommands,),
    )
    found = chosen.recipe
    if isinstance(found, training.MultiStage):
        shared = {
            each: getattr(chosen.every_stage, each)
            for each in _OF_EVERY_STAGE
            if getattr(chosen.every_stage, each) is not None
        }
        found = found.with_each_stage(**shared)
    return dataclasses.replace(chosen, recipe=found)


def _check_names(recipe) -> None:
    """Refuses an unknown name before a folder is made or anything is switched on."""
    from larqlite_zoo import _registered_models, datasets

    for stage in getattr(recipe, "stages", (recipe,)):
        _registered_models.find(stage.model)
        if stage.dataset not in datasets.names():
            datasets.load(stage.dataset)  # raises, with the near matches
        if stage.preprocessing is not None:
            datasets.preprocessing(stage.preprocessing)


def use_threads(count: int | None) -> None:
    """How many threads TensorFlow may use, in all and in one operation.

    Raises:
        ArgumentError: TensorFlow has begun to run in this process, with other ones.
    """
    if count is None:
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        raise ArgumentError(
            f"--threads {count}: TensorFlow has started with another number.\n"
            "  Fix: a fresh process."
        ) from error


def with_other_kinds(recipe, arguments: Sequence[str]) -> tuple[Any, list[str]]:
    """Obeys `--optimizer KIND`, `--schedule KIND` and their like, and removes them.

    What the new kind shares with the old one, such as the learning rate, is kept.
    """
    arguments = list(arguments)
    position = 0
    while position < len(arguments):
        flag, equals, kind = arguments[position].partition("=")
        choices = {flag_: rest for flag_, *rest in _choices(recipe)}
        wanted = flag.replace("_", "-")
        if wanted not in choices or (not equals and position + 1 == len(arguments)):
            position += 1
            continue
        kind = kind if equals else arguments[position + 1]
        path, kinds = choices[wanted]
        names = {_kebab(each): each for each in kinds}
        if _kebab(kind) not in names:
            raise ArgumentError(
                f"{flag} {kind}: unknown.{near_matches(kind, names)}\n"
                f"  Fix: one of {', '.join(names)}."
            )
        recipe = _replaced(recipe, path, names[_kebab(kind)])
        del arguments[position : position + (1 if equals else 2)]
    return recipe, arguments


def _choices(value, path=(), flag: str = "") -> Iterator[tuple[str, tuple, tuple]]:
    """`(flag, path, classes)` of every part that may be of several classes."""
    if isinstance(value, tuple):
        for position, item in enumerate(value):
            yield from _choices(item, (*path, position), f"{flag}{position}.")
        return
    if not dataclasses.is_dataclass(value):
        return
    hints = typing.get_type_hints(type(value))
    for each in dataclasses.fields(value):
        part, here = getattr(value, each.name), (*path, each.name)
        kinds = typing.get_args(hints[each.name])
        if dataclasses.is_dataclass(part) and len(kinds) > 1:
            yield f"--{flag}{each.name}", here, kinds
        # The fields of an optimizer and of a schedule have no prefix of their own.
        inner = each.name in ("optimizer", "schedule")
        yield from _choices(part, here, flag if inner else f"{flag}{each.name}.")


def _replaced(value, path: tuple, kind: type):
    """`value` with the part at `path` made anew as a `kind`."""
    if not path:
        known = {each.name for each in dataclasses.fields(value)}
        kept = known.intersection(each.name for each in dataclasses.fields(kind))
        return kind(**{name: getattr(value, name) for name in kept})
    first, *rest = path
    if isinstance(value, tuple):
        new = _replaced(value[first], tuple(rest), kind)
        return (*value[:first], new, *value[first + 1 :])
    new = _replaced(getattr(value, first), tuple(rest), kind)
    return dataclasses.replace(value, **{first: new})


def _flags_of(recipe) -> type:
    """A dataclass whose fields are the flags."""
    fields = [
        ("recipe", Annotated[type(recipe), arg(name="")], field(default=recipe)),
        (
            "options",
            Annotated[training.Options, arg(name="")],
            field(default_factory=training.Options),
        ),
        ("json", Json, field(default=False)),
        ("imports", Imports, field(default=())),
    ]
    if isinstance(recipe, training.MultiStage):
        every = Annotated[EveryStage, arg(name="")]
        fields.insert(1, ("every_stage", every, field(default_factory=EveryStage)))
    return make_dataclass("Train", fields, frozen=True)


def optional_fields(title: str, names: Sequence[str], begin: str) -> type:
    """A dataclass of fields of a recipe that can be given once for several; None: as it is.

    Args:
        title: the name of the class.
        names: of the fields.
        begin: how the help of each begins.
    """
    hints = typing.get_type_hints(training.Recipe, include_extras=True)
    fields = []
    for name in names:
        annotated = hints[name]
        kind, (settings, *_) = annotated.__origin__, annotated.__metadata__
        help_ = f"{begin}: {settings.help[0].lower()}{settings.help[1:]}"
        fields.append(
            (name, Annotated[kind | None, arg(help=help_)], field(default=None))
        )
    return make_dataclass(title, fields, frozen=True)


EveryStage = optional_fields("EveryStage", _OF_EVERY_STAGE, "In every stage")


def _description(recipe) -> str:
    lines = [f"Train by the recipe {recipe.name}."]
    if notes := training.recipe_notes(recipe.name):
        lines.append(notes)
    kinds = {
        re.sub(r"\.\d+\.", ".N.", flag): "|".join(map(_kebab, classes))
        for flag, _, classes in _choices(recipe)
    }
    listed = ", ".join(f"{flag} {names}" for flag, names in kinds.items())
    lines.append(f"Of another kind, with fields of its own: {listed}.")
    return "\n\n".join(lines)


def _kebab(name: type | str) -> str:
    text = name if isinstance(name, str) else name.__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", text).replace("_", "-").lower()


def _how_to_go_on(recipe, options: training.Options) -> str:
    """What the next run will do, from the checkpoints that are there."""
    import tensorflow as tf

    output = options.output or Path("runs") / recipe.name
    folders = [*output.glob("stage_*/checkpoints"), output / "checkpoints"]
    again = " without --restart" if options.restart else ""
    found = [
        path for each in folders if (path := tf.train.latest_checkpoint(str(each)))
    ]
    if not found:
        return f"there is no checkpoint yet, so the same command{again} begins anew."
    newest = max(found, key=lambda path: tf.io.gfile.stat(f"{path}.index").mtime_nsec)
    step = int(newest.rpartition("-")[2])
    return f"the same command{again} goes on from step {step + 1:,}."
