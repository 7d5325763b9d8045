"""Which members of a large family run in `make test`; `make test-all` runs all."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

HALVED = Path(__file__).parent.parent / "halved.txt"


def sampled(values: Iterable, every: int) -> list:
    """The values as parameters of a test; all but each `every`th are slow ones."""
    return [
        pytest.param(value, marks=[pytest.mark.slow] * (number % every > 0))
        for number, value in enumerate(values)
    ]


def few_or_more(few: int, more: int) -> list:
    """Numbers of Hypothesis examples as parameters of a test; the larger is a slow one."""
    return [few, pytest.param(more, marks=pytest.mark.slow)]


def in_turn(names: Iterable, others: Iterable, each: int = 1) -> list:
    """Pairs of each name with each of `others`; only `each` of a name are fast, in turn."""
    others = list(others)
    return [
        pytest.param(
            name,
            other,
            marks=[pytest.mark.slow] * ((place - number * each) % len(others) >= each),
        )
        for number, name in enumerate(names)
        for place, other in enumerate(others)
    ]


def halved() -> set[str]:
    """Test functions, by file and name, whose members take long and are much alike."""
    found, file = set(), ""
    for line in HALVED.read_text().splitlines():
        if line.startswith(" "):
            found.add(f"{file}::{line.strip()}")
        elif not line.startswith("#"):
            file = line.strip()
    return found


def mark_halves(items: Iterable[pytest.Item]) -> None:
    """Has every second fast member of the families in `HALVED` be a slow one.

    Which ones follows the sequence of Thue and Morse, so that of two choices, or of products
    of choices, each is among those that stay.
    """
    families, seen = halved(), Counter()
    for item in items:
        family = item.nodeid.partition("[")[0]
        if family in families and item.get_closest_marker("slow") is None:
            if seen[family].bit_count() % 2:
                item.add_marker(pytest.mark.slow)
            seen[family] += 1
