"""Which members of a large family run in `make test`; `make test-all` runs all."""

from collections.abc import Iterable

import pytest


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
