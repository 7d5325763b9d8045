"""Training by a recipe, or by several in turn: where each writes, what it hands on."""

from __future__ import annotations

import dataclasses
import filecmp
import shutil
import time
from pathlib import Path

from rich.console import Console

from larqlite.errors import ArgumentError
from larqlite_zoo import _registered_models
from larqlite_zoo.datasets import Dataset
from larqlite_zoo.training import _distribution, _files, _outputs
from larqlite_zoo.training._first_weights import earlier_student, weight_file
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._outputs import Result
from larqlite_zoo.training._progress import say
from larqlite_zoo.training._recipe import MultiStage, Recipe
from larqlite_zoo.training._run import run


def train(
    recipe: Recipe | MultiStage,
    options: Options | None = None,
    *,
    data: Dataset | None = None,
    console: Console | None = None,
    command: str | None = None,
) -> Result:
    """Trains a model as the recipe says; goes on with a run that was interrupted.

    After a crash the same call continues from the last checkpoint, and ends with the
    same bits as a run that was not interrupted (on a CPU, with the same number of
    threads).

    Args:
        recipe: what to train; see `recipe("TrainBinaryVGGSmall")`. Of a `MultiStage` all
            stages are trained, as `train_stages` does, and the last one's result counts.
        options: where to write, how often, on which devices.
        data: a dataset of your own instead of the one that the recipe names.
        console: where to print.
        command: what to note as the command in the table of results.

    Returns:
        The measured accuracy and the paths of what was written.

    Raises:
        OutputError: no space, or no right to write; before anything is trained.
        ArgumentError: a model, dataset, batch or shape that do not fit together, or an
            output folder that holds a run of another recipe, or files of something else.
        DivergenceError: the loss became NaN or infinite.
    """
    if isinstance(recipe, MultiStage):
        return train_stages(
            recipe, options, data=data, console=console, command=command
        )[-1]
    return run(recipe, options, data, console, command)


def train_stages(
    multi: MultiStage,
    options: Options | None = None,
    *,
    data: Dataset | None = None,
    console: Console | None = None,
    command: str | None = None,
) -> list[Result]:
    """Trains the stages in turn; goes on in the stage that was interrupted.

    Stage `i` writes to `OUTPUT/stage_i`; the weights of its student go to
    `OUTPUT/models/KERAS_NAME_weights.h5`, where later stages find them. A stage that is
    finished is skipped, so the same call resumes after a crash.

    Args:
        multi: the stages; fields of one can be changed with `dataclasses.replace`, those
            of all with `multi.with_each_stage(epochs=1)`.
        options: as in `train`; every stage but the last saves its weights in any case.
        data: a dataset of your own for all stages.
        console: where to print.
        command: what to note as the command in the table of results.

    Returns:
        The results of the stages from `multi.initial_stage` on.

    Raises:
        ArgumentError: a stage asks for weights that no stage before it makes, or its
            folder holds a run of another recipe; both before anything is trained.
        OutputError, DivergenceError: as in `train`.
    """
    options = options or Options()
    console = console or Console()
    output = options.output or Path("runs") / multi.name
    command = command or f"lqz train {multi.name}"
    worker = _distribution.shard_of(_distribution.strategy(options.strategy))[0]
    stages = list(enumerate(multi.stages))[multi.initial_stage :]
    _check(multi, stages, output, options)
    if options.restart and worker == 0:
        for number, _ in stages:
            folder = output / f"stage_{number}"
            with _files.locked(folder):
                _outputs.clear(folder)
    results = []
    for number, stage in stages:
        folder = output / f"stage_{number}"
        last = number == len(multi.stages) - 1
        say(console, f"stage {number} of {multi.name} (0 to {len(multi.stages) - 1})")
        result = run(
            stage,
            dataclasses.replace(
                options, output=folder, save_weights=options.save_weights or not last
            ),
            data,
            console,
            command,
        )
        results.append(result)
        if not last:
            _hand_on(stage, result, folder, worker)
    return results


def _check(multi: MultiStage, stages, output: Path, options: Options) -> None:
    """Refuses before the first stage what would stop a later one."""
    made: set[str] = set()
    for number, stage in stages:
        folder = output / f"stage_{number}"
        if not options.restart:
            _outputs.check_same_recipe(folder, stage)
        how = stage.distillation
        wanted = [
            (stage.initial_weights, stage.model),
            (how.teacher_weights, how.teacher),
        ]
        for name, model in wanted:
            if name is not None and model is not None and name not in made:
                try:
                    weight_file(name, folder, model)
                except ArgumentError as error:
                    raise ArgumentError(
                        f"{multi.name}, stage {number}: {error}"
                    ) from None
        made.add(_registered_models.find(stage.model).keras_name)


def _hand_on(stage: Recipe, result: Result, folder: Path, worker: int) -> None:
    """Puts the student's weights where later stages look for them."""
    target = earlier_student(folder, _registered_models.find(stage.model).keras_name)
    if worker > 0:
        _wait_for_chief(folder, target)
        return
    if result.weights is None or not result.weights.exists():
        raise ArgumentError(
            f"{folder}: this stage is finished, but its weights are not there "
            f"({result.weights or 'it was trained with save_weights=False'}).\n"
            "  Fix: begin anew with --restart."
        )
    _files.write(target, lambda path: shutil.copyfile(result.weights, path))


def _wait_for_chief(folder: Path, target: Path) -> None:
    """Until the chief, which writes last of all, has handed on the weights."""
    source = folder / target.name
    while not (
        (folder / _outputs.FINISHED).exists()
        and target.exists()
        and filecmp.cmp(source, target, shallow=False)
    ):
        time.sleep(0.5)
