"""Conversion without TensorFlow's own chatter; what it says of errors is kept."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

__all__ = ["quiet"]

_at_work = threading.RLock()
_NO_NEWS = (
    "with ops with unsaved custom gradients",
    "Assets written to",
    "Issue encountered when serializing",  # of tables that the process has made
)
# Lines of TensorFlow's C++ code: information and warnings, by their first letter.
_CHATTER = re.compile(
    rb"([IW]\d{4} [\d:. ]+|\d{4}-\d\d-\d\d [\d:.]+: [IW] |INFO: |"
    rb"WARNING: All log messages before absl::InitializeLog|"
    rb"WARNING: Attempting to use a delegate that only supports static-sized)"
)


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Without what TensorFlow says of every conversion, and of every interpreter.

    Its C++ code writes to the standard error of the process, past Python: lines that begin
    as its information and warnings do are left out, all others are written afterwards. If
    the block raises, none is written: an exception says what went wrong.

    Yields:
        A list that holds what was said, as text, after the block.
    """

    def is_news(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(part in message for part in _NO_NEWS)

    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        for logger in loggers:
            logger.addFilter(is_news)
        try:
            with _without_chatter() as heard:
                yield heard
        finally:
            for logger in loggers:
                logger.removeFilter(is_news)


@contextlib.contextmanager
def _without_chatter() -> Iterator[list[str]]:
    heard: list[str] = []
    if not _at_work.acquire(blocking=False):  # another thread has the standard error
        yield heard
        return
    try:
        with _standard_error_in(heard):
            yield heard
    finally:
        _at_work.release()


@contextlib.contextmanager
def _standard_error_in(heard: list[str]) -> Iterator[None]:
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (AttributeError, OSError, ValueError):  # no standard error to write to
        yield
        return
    raised = True
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
            raised = False
        finally:
            with contextlib.suppress(AttributeError, OSError, ValueError):
                sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            lines = said.readlines()
            heard.append(b"".join(lines).decode(errors="replace"))
            news = [line for line in lines if not _CHATTER.match(line)]
            if news and not raised:
                os.write(2, b"".join(news))
