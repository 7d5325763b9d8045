"""Keeps TensorFlow's start-up messages out of what `lq` and `lqz` print.

TensorFlow writes them straight to the error stream while it is imported, whatever
log level is set. A program that imports larqlite as a library sees them as usual.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


def is_the_command(arguments: list[str]) -> bool:
    """Whether a process with these arguments (`sys.orig_argv`) is `lq` or `lqz`.

    >>> is_the_command(["python", ".venv/bin/lq", "summary"])
    True
    >>> is_the_command(["python", "-m", "larqlite", "summary"])
    True
    >>> is_the_command(["python", ".venv/bin/lqz", "train", "quicknet"])
    True
    >>> is_the_command(["python", "train.py", "lq"])
    False
    """
    start = arguments[1:3]
    if start[:1] == ["-m"]:
        return start[1:] in (["larqlite"], ["larqlite_zoo"])
    return Path((start or [""])[0]).stem in ("lq", "lqz")


@contextlib.contextmanager
def messages_held_back() -> Iterator[None]:
    """Within the block, what is written to the error stream is kept back.

    It is written after all if the block raises.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stream = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stream, kept.read())
            raise
        finally:
            os.dup2(stream, 2)
            os.close(stream)
