"""A sweep: recipes times methods times seeds, each trained, exported, verified and timed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import gc
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from rich.console import Console

import larqlite as lq
import larqlite_runtime
from larqlite.errors import ArgumentError, LarqliteError
from larqlite_runtime.benchmark import benchmark
from larqlite_zoo import _registered_models, datasets
from larqlite_zoo.datasets.internal import validation_batches
from larqlite_zoo.training import _sweep_table as table
from larqlite_zoo.training._divergence import DivergenceError
from larqlite_zoo.training._images import chosen, images_of
from larqlite_zoo.training._methods import FLOAT, Method, method
from larqlite_zoo.training._model import arguments_of
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._outputs import Result, dataset_of
from larqlite_zoo.training._progress import counted, say
from larqlite_zoo.training._recipe import MultiStage, Recipe
from larqlite_zoo.training._run import run

FILE = "model.onnx"
IMAGES_AT_ONCE = 250


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        recipe: with the quantizers and the seed.
        method: whose quantizers these are.
        command: of `lqz train`, which trains the same; the cell is known by it.
    """

    recipe: Recipe
    method: Method
    command: str

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.recipe.name}, {self.method.name}, seed {self.recipe.seed}"

    def folder(self, output: Path) -> Path:
        """Where it is trained."""
        name = re.sub(r"[^\w.-]+", "_", self.method.name).strip("_")
        return output / self.recipe.name / name / f"seed_{self.recipe.seed}"


def sweep(
    recipes: Sequence[Recipe],
    methods: Sequence[str],
    seeds: Sequence[int] = (1, 2, 3),
    *,
    changed: dict[str, Any] | None = None,
    output: str | os.PathLike = "sweep",
    path: str | os.PathLike | None = None,
    folder: str | os.PathLike | None = None,
    minutes: float | None = None,
    checkpoint_steps: int = 500,
    validation_frequency: int = 1,
    measure_again: bool = False,
    console: Console | None = None,
) -> list[dict]:
    """Trains recipes with several methods and seeds; a table has one row for each run.

    Each run is that of `train`, in a folder of its own. Its model is exported, the file is
    verified, and measured: its accuracy on the validation images, its bytes, and the
    milliseconds of an image on one thread are all those of this file in
    `larqlite_runtime`. The float twin of each recipe is trained as well.

    What the table has a row for is not trained again, and a run that was interrupted goes
    on from its checkpoint. Several processes may share one sweep.

    Args:
        recipes: of one stage each, of models that take quantizers.
        methods: words that `method` knows.
        seeds: one run for each.
        changed: fields that all recipes get, such as `{"epochs": 10}`.
        output: the folder of all runs.
        path: of the table; `sweep.csv` in that folder by default.
        folder: where the dataset lies.
        minutes: begin no run later than this; one that is under way is finished.
        checkpoint_steps: steps from one checkpoint to the next.
        validation_frequency: epochs from one validation to the next.
        measure_again: train nothing; take the milliseconds of all files that are there
            again, now that the machine has nothing else to do.
        console: where to print.

    Returns:
        The rows of these runs, as the table has them in the end.

    Raises:
        ArgumentError: no recipe, method or seed, unknown ones, a recipe of several stages,
            a model that takes no quantizers; a table that is something else.
        OutputError: as in `train`. A run that diverges gets no row; the others go on.
    """
    cells = _cells_of(recipes, methods, seeds, changed)
    output = Path(output)
    path = Path(path or output / "sweep.csv")
    console = console or Console()
    if measure_again:
        return _measured_again(cells, output, path, console)
    begin = time.monotonic()
    wanted = [cell.command for cell in cells]
    known: dict[str, datasets.Dataset] = {}
    elsewhere: list[Cell] = []
    for number, cell in enumerate(cells, start=1):
        if any(row["command"] == cell.command for row in table.read(path)):
            continue
        late = minutes is not None and time.monotonic() - begin > 60 * minutes
        if late and known:  # one run at least, so that it comes to an end
            break
        with _alone(cell.folder(output)) as ours:
            if not ours:
                elsewhere.append(cell)
                continue
            name = cell.recipe.dataset
            if name not in known:
                known[name] = datasets.load(name, folder=folder)
            options = Options(
                output=cell.folder(output), results=output / "results",
                checkpoint_steps=checkpoint_steps, keep_checkpoints=1,
                validation_frequency=validation_frequency, tensorboard=False,
                progress=False,
            )  # fmt: skip
            try:
                row = table.add(path, _row_of(cell, options, known[name], console))
            except DivergenceError as error:
                say(console, f"{cell.title}: no row, for it diverged.\n{error}")
                continue
            say(console, f"{number} of {len(cells)}: {_told(cell, row)}")
    for cell in elsewhere:
        say(console, f"{cell.title}: another process is at it")
    rows = [row for row in table.read(path) if row["command"] in wanted]
    left = len(wanted) - len(rows)
    done = f"{counted(len(rows), 'run')} of {len(wanted)} in {path}"
    say(console, f"{done}; the same command goes on" if left else done)
    return rows


def _cells_of(recipes, methods, seeds, changed) -> list[Cell]:
    """The runs of a sweep in their order: all of the first seed, then the next one.

    Before the methods of a recipe stands its float twin, whether it is among them or not.
    """
    for what, given in (("recipe", recipes), ("method", methods), ("seed", seeds)):
        if not given:
            raise ArgumentError(f"lqz sweep: no {what}.\n  Fix: at least one.")
    found = [method(word) for word in dict.fromkeys([FLOAT, *methods])]
    for each in found:
        for quantizer in (each.kernel_quantizer, each.input_quantizer):
            _precision(quantizer)
    cells = []
    for seed in dict.fromkeys(seeds):
        for recipe in recipes:
            if isinstance(recipe, MultiStage):
                raise ArgumentError(
                    f"lqz sweep: {recipe.name} has {len(recipe.stages)} stages.\n"
                    "  Fix: a recipe of one stage (`lqz list --recipes`)."
                )
            for each in found:
                cells.append(_cell(recipe, each, seed, changed or {}))
                arguments_of(cells[-1].recipe)
    return cells


def _cell(recipe: Recipe, method: Method, seed: int, changed: dict) -> Cell:
    quantizers = {
        "kernel_quantizer": method.kernel_quantizer,
        "input_quantizer": method.input_quantizer,
    }
    # The table takes the words behind the kernel's quantizer as those of the method.
    said = {**changed, "seed": seed, **quantizers}
    words = ["lqz", "train", recipe.name]
    for name, value in said.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    recipe = dataclasses.replace(recipe, **said)
    return Cell(recipe, method, shlex.join(words))


def _row_of(cell: Cell, options: Options, data, console: Console) -> dict:
    tf_keras.backend.clear_session()
    gc.collect()
    recipe = cell.recipe
    result = run(recipe, options, data, console, cell.command)
    file = _measured(recipe, result, data)
    kernels, inputs = recipe.kernel_quantizer, recipe.input_quantizer
    return {
        "model": recipe.model,
        "recipe": recipe.name,
        "method": cell.method.name,
        "kernel_quantizer": kernels,
        "input_quantizer": inputs,
        "weight_bits": _precision(kernels),
        "activation_bits": _precision(inputs),
        "dataset": dataset_of(recipe, data),
        "train_images": recipe.train_images or data.train.size,
        "epochs": recipe.epochs,
        "precision": recipe.precision,
        "seed": recipe.seed,
        "accuracy": result.row["top1"],
        "accuracy_in_keras": result.row["top1"],
        "minutes": result.row["minutes"],
        "date": datetime.date.today().isoformat(),
        "command": cell.command,
        **file,
    }


def _measured(recipe: Recipe, result: Result, data) -> dict:
    """What is true of the exported file, or why there is none."""
    tf_keras.backend.clear_session()
    data = chosen(data, recipe)
    shape, prepare = images_of(recipe, data)
    model = _registered_models.get(
        recipe.model,
        input_shape=shape,
        num_classes=data.num_classes,
        weights=result.weights,
        **arguments_of(recipe),
    )
    path = result.output / FILE
    path.unlink(missing_ok=True)  # of a process that was killed before it had measured
    batches = validation_batches(data.validation, prepare, batch_size=IMAGES_AT_ONCE)
    some = next(iter(batches.take(1).as_numpy_iterator()))[0][:8]
    try:
        lq.deploy.export(model, path, data=some)
    except LarqliteError as error:
        return {"refused": str(error).split("\n")[0]}
    runtime = larqlite_runtime.load(path, threads=1)
    right = [
        np.argmax(runtime(images), axis=-1) == labels
        for images, labels in batches.as_numpy_iterator()
    ]
    return {
        "accuracy": round(100 * float(np.mean(np.concatenate(right))), 2),
        "bytes": path.stat().st_size,
        "milliseconds": _milliseconds(path),
    }


def _milliseconds(path: Path) -> float:
    """The median time of a call with one image on one thread."""
    timing = benchmark(path, engines=(), threads=1, seconds=0.5).packed
    return round(1e3 * timing.median, 4)


def _measured_again(cells: Sequence[Cell], output: Path, path: Path, console) -> list:
    rows = {row["command"]: row for row in table.read(path)}
    found = []
    for cell in cells:
        file = cell.folder(output) / FILE
        if cell.command in rows and file.exists():
            row = rows[cell.command] | {"milliseconds": _milliseconds(file)}
            found.append(table.add(path, row))
            say(console, f"{cell.title}: {row['milliseconds']} ms")
    return found


def _precision(quantizer: str) -> int:
    """Bits of what a quantizer gives; 32 of floats."""
    if quantizer == FLOAT:
        return 32
    return int(getattr(lq.quantizers.get(quantizer), "precision", 32))


def _told(cell: Cell, row: dict) -> str:
    twin = f" (float {row['twin_accuracy']} %)" if row["twin_accuracy"] else ""
    if row["refused"]:
        file = f"no file: {row['refused']}"
    else:
        file = f"{int(row['bytes']):,} bytes, {row['milliseconds']} ms"
    return f"{cell.title}: {row['accuracy']} %{twin}, {file}, {row['minutes']} minutes"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process of a sweep is at the run of a folder, nor will be."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".sweep.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
