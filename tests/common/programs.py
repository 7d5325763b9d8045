"""Programs that some tests need: where one is missing, they are skipped by its name and counted."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

SETUP = "make devices-setup"


def missing(*names: str) -> list[str]:
    """Those of some programs, or of files and folders with a "/", that are not there."""
    return [
        name
        for name in names
        if not (Path(name).exists() if "/" in name else shutil.which(name))
    ]


def needs(*names: str, setup: str = SETUP) -> pytest.MarkDecorator:
    """Skips a test where a program is missing.

    Args:
        names: on the PATH, or files and folders with a "/".
        setup: what installs them.
    """
    absent = missing(*names)
    return pytest.mark.skipif(bool(absent), reason=f"no {', '.join(absent)} ({setup})")


def skipped(reports: Iterable) -> list[str]:
    """A line for each reason why tests were skipped, with how many.

    Args:
        reports: those of pytest whose outcome is "skipped".
    """
    tests, modules = Counter(), Counter()
    for report in reports:
        # A module that is skipped as a whole has not said how many tests it has.
        counts = modules if report.when == "collect" else tests
        _, _, said = report.longrepr
        counts[said.removeprefix("Skipped: ")] += 1
    return [
        f"{count} {what}{'s' * (count != 1)} skipped: {why}"
        for what, counts in (("test", tests), ("whole file", modules))
        for why, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
