"""A bar that shows how far a long piece of work is, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

# Less work than this is over before a bar is seen.
LEAST = 32


@contextmanager
def bar(total: int, what: str, least: int = LEAST) -> Iterator[Callable[[int], None]]:
    """Shows a bar on stderr, which is gone afterwards.

    Args:
        total: how many samples there are.
        what: is done with them.
        least: how many there have to be for a bar.

    Yields:
        A function to be called with the number of samples that are done.
    """
    with progress(is_shown=total >= least) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.advance(task, count)


def progress(is_shown: bool = True) -> Progress:
    """Bars on stderr, gone afterwards, where they can be drawn.

    Args:
        is_shown: whether they are to be drawn at all.
    """
    console = Console(stderr=True)
    # Rich draws in notebooks with ipywidgets, and warns where there are none.
    can_draw = find_spec("ipywidgets") if console.is_jupyter else console.is_terminal
    # Older versions end a bar that was never drawn with an empty line.
    console.quiet = not (can_draw and is_shown)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("samples"),
        console=console,
        transient=True,
        disable=console.quiet,
    )
