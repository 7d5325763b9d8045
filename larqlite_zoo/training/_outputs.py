"""What a run leaves behind: config, summary, curves, weights, a row of results."""

from __future__ import annotations

import contextlib
import csv
import datetime
import fcntl
import io
import json
import platform
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite.outputs import record_of
from larqlite_runtime.notebook import ShownTable, ShowsTables
from larqlite_zoo.training._files import write, write_json, write_text
from larqlite_zoo.training._images import by_class
from larqlite_zoo.training._longer import fix_for, goes_on
from larqlite_zoo.training._model import ARGUMENTS
from larqlite_zoo.training._progress import counted, say
from larqlite_zoo.training._recipe import as_dict

CONFIG, FINISHED = "config.json", "finished.json"
OWN_FILES = (
    CONFIG, FINISHED, "history.csv", "history.json", "curves.png",
    "summary.txt", "summary.json",
)  # fmt: skip
OWN_FOLDERS = ("checkpoints", "tensorboard")
OWN_PATTERNS = (
    "checkpoints/ckpt-*", "checkpoints/checkpoint*",
    "tensorboard/train/events.out.*", "tensorboard/validation/events.out.*",
)  # fmt: skip
MODEL_FILES = (".keras", "_weights.h5", ".json")


@dataclass(frozen=True)
class Result(ShowsTables):
    """What a run ended with.

    Attributes:
        row: the row of the table of results.
        history: one dictionary for each epoch.
        weights: the weight file, or None where none was asked for.
        output: the folder of the run.
    """

    row: dict
    history: list[dict]
    weights: Path | None
    output: Path

    def _shown(self) -> list[ShownTable]:
        rows = [
            (name.replace("_", " "), str(value)) for name, value in self.row.items()
        ]
        files = [f"weights: {self.weights}"] if self.weights else []
        title = f"{self.row['model']} on {self.row['dataset']}"
        return [ShownTable(title, ("", ""), rows, [*files, f"in {self.output}"])]


def finished(output: Path, recipe, options) -> dict | None:
    """What a finished run of the same recipe left in the folder, or None."""
    path = output / FINISHED
    if options.restart or not path.exists():
        return None
    if check_same_recipe(output, recipe, longer=True):
        return None
    done = json.loads(path.read_text(encoding="utf-8"))
    history = json.loads((output / "history.json").read_text(encoding="utf-8"))
    weights = output / done["weights"] if done["weights"] else None
    return {"row": done["row"], "history": history, "weights": weights}


def require_own(output: Path, results: Path, model: str) -> None:
    """Refuses a folder and a table that hold something else than runs of training.

    Args:
        output: the folder of the run.
        results: the table that gets a row at the end.
        model: the name of the model.

    Raises:
        ArgumentError: a file lies where one would be written, and no run left it.
    """
    if not {"run", "recipe"} <= set(record_of(output / CONFIG)):
        names = (*OWN_FILES, *(f"{model}{end}" for end in MODEL_FILES))
        there = [name for name in names if (output / name).exists()]
        if there:
            raise ArgumentError(
                f"{output} holds {there[0]}, which no run of training wrote.\n"
                "  Fix: another folder (--output)."
            )
    if results.exists() and results.stat().st_size:
        with results.open(encoding="utf-8", errors="replace", newline="") as file:
            header = next(csv.reader(file), [])
        if "run" not in header:
            raise ArgumentError(
                f"{results} is no table of results: its columns are "
                f"{', '.join(header)[:200]}.\n  Fix: another folder (--results)."
            )


def check_same_recipe(output: Path, recipe, longer: bool = False) -> bool:
    """Raises ArgumentError where the folder holds a run with another recipe.

    Args:
        output: the folder.
        recipe: the one to run.
        longer: whether more epochs may go on with the run, where its learning rate
            allows that.

    Returns:
        Whether they do.
    """
    path = output / CONFIG
    if not path.exists():
        return False
    there = _flat(json.loads(path.read_text(encoding="utf-8"))["recipe"])
    here = _flat(as_dict(recipe))
    differing = {
        name: (there.get(name), here.get(name))
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
        # A field that is younger than that run, and off, was off then.
        and (name in there or here[name])
    }
    if not differing:
        return False
    if longer and set(differing) == {"epochs"} and goes_on(recipe, there["epochs"]):
        return True
    weights = None
    if longer and (output / FINISHED).exists():
        weights = json.loads((output / FINISHED).read_text(encoding="utf-8"))["weights"]
    fix = fix_for(output, differing, weights)
    lines = [f"{name}: {a!r} there, {b!r} now" for name, (a, b) in differing.items()]
    raise ArgumentError(
        f"{output} holds a run of another recipe:\n    "
        + "\n    ".join(lines)
        + f"\n  Fix: {fix or 'another folder (--output), the same values, or --restart.'}"
    )


def clear(output: Path) -> None:
    """Removes what an earlier run left in the folder, and nothing else."""
    ours = [output / name for name in OWN_FILES]
    if (output / FINISHED).exists():
        weights = json.loads((output / FINISHED).read_text(encoding="utf-8"))["weights"]
        model = (weights or "").removesuffix("_weights.h5")
        ours += [output / f"{model}{end}" for end in MODEL_FILES if model]
    for pattern in OWN_PATTERNS:
        ours += output.glob(pattern)
    for path in ours:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for folder in ("tensorboard/train", "tensorboard/validation", *OWN_FOLDERS):
        with contextlib.suppress(OSError):  # it is not there, or holds other files
            (output / folder).rmdir()


def begin(
    output: Path, recipe, options, model: tf_keras.Model, writes: bool = True
) -> None:
    """Writes the config and the summary of the model, before training.

    All workers call it, though one of them `writes`: to look at the statistics of a
    BatchNormalization is to gather them from all.
    """
    text = io.StringIO()
    profile = lq.models.summary(model, print_fn=lambda line: text.write(f"{line}\n"))
    if not writes:
        return
    (output / FINISHED).unlink(missing_ok=True)  # of fewer epochs
    path = output / CONFIG
    run = uuid.uuid4().hex
    if path.exists():
        run = json.loads(path.read_text(encoding="utf-8"))["run"]
    write_json(
        path,
        {
            "run": run,
            "recipe": as_dict(recipe),
            "options": as_dict(options),
            "versions": versions(),
        },
    )
    write_text(output / "summary.txt", text.getvalue())
    write_json(output / "summary.json", profile.to_dict())


def versions() -> dict[str, str]:
    """What else decides the bits of a result."""
    from larqlite import __version__

    return {
        "larqlite": __version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def announce(console, run, first_step: int) -> None:
    """One line on what is trained, and where a resumed run goes on."""
    recipe, model = run.recipe, run.trained.student
    size = " x ".join(map(str, run.shape))
    say(
        console,
        f"{recipe.name}: {model.name}, {model.count_params():,} parameters, on "
        f"{run.data.name} ({run.data.train.size:,} training and "
        f"{run.data.validation.size:,} validation images, seen as {size}), "
        f"{counted(recipe.epochs, 'epoch')} of {counted(run.steps, 'step')}; files in "
        f"{run.output}",
    )
    for split, name in (("train", "training"), ("validation", "validation")):
        if getattr(recipe, f"{split}_images") is not None:
            say(console, f"{name} images: {by_class(run.data, split)}")
    for path in run.checkpoints.damaged:
        say(console, f"{path} is damaged; using one before it")
    total = run.steps * recipe.epochs
    if first_step == total:
        say(console, "all steps are done; the final files are left to write")
    elif first_step:
        say(console, f"going on at step {first_step + 1} of {total}")


def bytes_needed(model: tf_keras.Model, keep: int) -> int:
    """Disk space of the checkpoints, one more being written, and the final files."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    variables = [*model.weights, *model.optimizer.variables, *metrics]
    one = sum(int(np.prod(v.shape)) * v.dtype.size for v in variables)
    return one * (keep + 1) + 3 * one + 2**20


def finish(run) -> Result:
    """Writes the final files; the row of results last, and only once."""
    history, recipe = run.history.rows, run.recipe
    row = _row(run, history[-1])
    weights = None
    if run.chief:
        lq.plot.history(run.output / "history.csv", path=run.output / "curves.png")
        if run.options.save_weights:
            weights = save_model(run.trained.student, run.output)
        _append(run.options.results / f"{recipe.dataset}.csv", row)
        write_json(
            run.output / FINISHED, {"row": row, "weights": weights and weights.name}
        )
        say(
            run.console,
            f"{recipe.model}: accuracy {row['top1']:.2f} % (top 5 {row['top5']:.2f} %) on "
            f"the validation images of {recipe.dataset}; files in {run.output}",
        )
    elif run.options.save_weights:
        # Statistics of a BatchNormalization are gathered from all workers when read.
        with tempfile.TemporaryDirectory() as elsewhere:
            save_model(run.trained.student, Path(elsewhere))
    return Result(row, history, weights, run.output)


def save_model(student: tf_keras.Model, output: Path) -> Path:
    """Saves the model, its weights, and its architecture; returns the weight file."""
    weights = output / f"{student.name}_weights.h5"
    write(output / f"{student.name}.keras", lambda path: student.save(path))
    write(weights, lambda path: student.save_weights(str(path)))
    write_text(output / f"{student.name}.json", student.to_json(indent=2))
    return weights


def _row(run, last: dict) -> dict:
    recipe = run.recipe
    profile = lq.models.profile(run.trained.student)
    identity = json.loads((run.output / CONFIG).read_text(encoding="utf-8"))["run"]
    return {
        "model": recipe.model,
        "recipe": recipe.name,
        "dataset": dataset_of(recipe, run.data),
        "top1": round(100 * last["val_accuracy"], 2),
        "top5": round(100 * last["val_top_5_accuracy"], 2),
        "loss": round(last["val_loss"], 5),
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "precision": recipe.precision,
        **{name: getattr(recipe, name) for name in ARGUMENTS if getattr(recipe, name)},
        "seed": recipe.seed,
        "parameters": run.trained.student.count_params(),
        "deployed_bytes": profile.deployed_bytes,
        "minutes": round(last["seconds"] / 60, 1),
        "tensorflow": tf.__version__,
        "date": datetime.date.today().isoformat(),
        "run": identity[:8],
        "command": run.command,
    }


def dataset_of(recipe, data) -> str:
    """What tables call the dataset of a run: "cifar10", or "cifar10_jpeg" for a copy."""
    return "_".join(filter(None, (recipe.dataset, data.variant)))


def _append(path: Path, row: dict) -> None:
    """Adds a row to a table of results unless the run has one already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        same = [i for i, other in enumerate(rows) if other["run"] == row["run"]]
        if same and rows[same[0]]["epochs"] == str(row["epochs"]):
            return
        # A run that went on for more epochs has one row, that of its end.
        if same:
            rows[same[0]] = row
        else:
            rows.append(row)
        text = io.StringIO()
        columns = list(dict.fromkeys(key for each in rows for key in each))
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())


def _flat(value, prefix: str = "") -> dict:
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {prefix: value}
    flat = {}
    for key, item in items:
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat
