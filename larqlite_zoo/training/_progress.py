"""The progress bar of a run, and one line for each epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tf_keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from larqlite.internal import below_lines


def say(console: Console, line: str) -> None:
    """Prints a line; in a file it stays one, since only a terminal has a width."""
    console.print(
        line, highlight=False, soft_wrap=not console.is_terminal, markup=False
    )


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> from larqlite_zoo.training._progress import counted
    >>> counted(1, "epoch"), counted(2000, "step")
    ('1 epoch', '2,000 steps')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextlib.contextmanager
def progress_bar(console: Console, shown: bool, total: int, state) -> Iterator[list]:
    """The callbacks that print a line for each epoch and show a bar over all steps; none
    where nothing is to be shown.

    Args:
        console: where to print.
        shown: whether to.
        total: steps of the whole run.
        state: counts steps over the whole run in `state.step`.
    """
    if not shown:
        yield []
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with below_lines(console, *columns) as progress:
        task = progress.add_task("training", total=total)
        yield [_Bar(progress, task, state, console)]


class _Bar(tf_keras.callbacks.Callback):
    def __init__(self, progress: Progress, task, state, console: Console):
        super().__init__()
        self._console = console
        self._progress, self._task, self._state = progress, task, state

    def on_train_batch_end(self, batch, logs=None):
        self._progress.update(
            self._task,
            completed=self._state.step,
            description=f"loss {logs['loss']:.3f}",
        )

    def on_epoch_end(self, epoch, logs=None):
        figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        say(self._console, f"epoch {epoch + 1}  {figures}")
