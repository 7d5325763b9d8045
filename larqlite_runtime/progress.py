"""A line on the error stream that shows how far a long piece of work is.

It is drawn on a terminal only, after a second, and is gone when the work is done. What
larqlite draws with `rich` follows the same rules; a device has no such package.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

# Work that is over before has no bar.
DELAY = 1.0
# From one drawing to the next.
_EVERY = 0.2
_CELLS = 24
_CLEAR = "\r\x1b[K"


@contextlib.contextmanager
def line(
    what: str, stream: TextIO | None = None, delay: float = DELAY
) -> Iterator[Callable[[float], None]]:
    """Shows what is done within the block, and for how long already.

    Args:
        what: is done.
        stream: where to draw, if it is a terminal; the error stream by default.
        delay: seconds before anything is drawn.

    Yields:
        A function that is told which share of the work is done.
    """
    stream = sys.stderr if stream is None else stream
    if not is_terminal(stream):
        yield lambda share: None
        return
    share: list[float | None] = [None]
    done = threading.Event()
    drawing = threading.Thread(
        target=_draw, args=(what, stream, delay, share, done), daemon=True
    )
    drawing.start()
    try:
        yield lambda found: share.__setitem__(0, found)
    finally:
        done.set()
        drawing.join()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; a closed one, or none, is not."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _draw(what, stream, delay, share, done) -> None:
    begin = time.monotonic()
    is_drawn = False
    while not done.wait(_EVERY if is_drawn else delay):
        stream.write(f"{_CLEAR}{_text(what, share[0], time.monotonic() - begin)}")
        stream.flush()
        is_drawn = True
    if is_drawn:
        stream.write(_CLEAR)
        stream.flush()


def _text(what: str, share: float | None, seconds: float) -> str:
    """
    >>> _text("benchmark", 0.5, 75)
    'benchmark  [############............]  50 %  1:15'
    >>> _text("starting", None, 3)
    'starting  0:03'
    """
    parts = [what]
    if share is not None:
        full = round(_CELLS * min(max(share, 0.0), 1.0))
        parts.append(f"[{'#' * full}{'.' * (_CELLS - full)}] {share:4.0%}"[:-1] + " %")
    parts.append(f"{int(seconds) // 60}:{int(seconds) % 60:02}")
    return "  ".join(parts)
