"""Bars that show how far a long piece of work is, on a terminal only.

They are drawn on the error stream, after a second, and are gone when the work is done: as
`fit` of Keras shows its bar, so do functions of larqlite that take longer, also when they
are called from Python. Nothing is drawn into files and pipes, nor within
`larqlite.context.progress_scope(False)`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from larqlite_runtime.progress import DELAY

# Of this context: the bars of work within other work stand below one another.
_current: ContextVar[Progress | None] = ContextVar("larqlite_progress", default=None)
_is_wanted: ContextVar[bool] = ContextVar("larqlite_progress_wanted", default=True)


class Bar:
    """One bar; `advance` and `expect` say how far the work is.

    Args:
        progress: draws it.
        what: is done.
        total: how much of it there is; None if that is not known.
        unit: of what.
    """

    def __init__(self, progress: Progress, what: str, total: int | None, unit: str):
        self._progress, self._unit = progress, unit
        self._task = progress.add_task(what, total=total, count="")

    def advance(self, count: int = 1) -> None:
        """So much more is done."""
        self._progress.advance(self._task, count)
        self._say()

    def expect(self, total: int) -> None:
        """There is so much in all."""
        self._progress.update(self._task, total=total)
        self._say()

    def end(self) -> None:
        """It is done, and its line goes away."""
        self._progress.remove_task(self._task)

    def _say(self) -> None:
        task = next(t for t in self._progress.tasks if t.id == self._task)
        of = "" if task.total is None else f" of {int(task.total):,}"
        count = f"{int(task.completed):,}{of} {self._unit}"
        self._progress.update(self._task, count=count)


@contextlib.contextmanager
def bar(what: str, total: int | None = None, unit: str = "samples") -> Iterator[Bar]:
    """Shows a bar while the work of the block takes more than a second.

    Args:
        what: is done, in a word or two.
        total: how much of it there is; None where only the time can be shown.
        unit: of what.
    """
    with _display() as progress:
        shown = Bar(progress, what, total, unit)
        try:
            yield shown
        finally:
            shown.end()


@contextlib.contextmanager
def wanted(is_wanted: bool) -> Iterator[None]:
    """Within the block, bars are drawn where they can be, or nowhere."""
    token = _is_wanted.set(is_wanted)
    try:
        yield
    finally:
        _is_wanted.reset(token)


def below_lines(console: Console, *columns: Any) -> Progress:
    """Bars below the lines that a console prints.

    They are drawn on its terminal; where the lines go into a file or a pipe, on that of
    the error stream; and nowhere if that is none either.

    Args:
        console: prints the lines.
        columns: of `rich.progress`.
    """
    terminal = console if console.is_terminal else Console(stderr=True)
    return Progress(
        *columns,
        console=terminal,
        disable=not (terminal.is_terminal and _is_wanted.get()),
        redirect_stdout=terminal is console,
        redirect_stderr=terminal is console,
    )


@contextlib.contextmanager
def _display() -> Iterator[Progress]:
    """What draws the bars: that of the work around this one, if there is one."""
    around = _current.get()
    if around is not None:
        yield around
        return
    console = Console(stderr=True)
    # Rich draws in notebooks with ipywidgets, and warns where there are none.
    can_draw = find_spec("ipywidgets") if console.is_jupyter else console.is_terminal
    is_drawn = bool(can_draw) and _is_wanted.get()
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=4,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not is_drawn,
    )
    begin = threading.Timer(DELAY, progress.start)
    begin.daemon = True
    if is_drawn:
        begin.start()
    token = _current.set(progress)
    try:
        yield progress
    finally:
        _current.reset(token)
        if is_drawn:
            begin.cancel()
            begin.join()
        # Older versions end a bar that was never drawn with an empty line.
        if progress.live.is_started:
            progress.stop()
