"""Flags as commands called them before all had the same, and what each is called now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def is_number(value: str) -> bool:
    """Whether a value is a number, and so neither a file nor a folder.

    >>> is_number("-0.5"), is_number("net.keras")
    (True, False)
    """
    try:
        float(value)
    except ValueError:
        return False
    return True


def is_no_number(value: str) -> bool:
    """Whether a value may name a file."""
    return not is_number(value)


@dataclass(frozen=True)
class FormerFlag:
    """A flag that is called otherwise now.

    Attributes:
        flag: as it was.
        now: as it is.
        means: tells the values with which it still means what it did, where the flag
            has another meaning now; None for all.
    """

    flag: str
    now: str
    means: Callable[[str], bool] | None = None


def in_present_flags(
    program: str, words: Sequence[str], former: Sequence[FormerFlag]
) -> list[str]:
    """Words with the flags that are, in place of those that were; says which, on stderr.

    Args:
        program: the command, for the message.
        words: behind it.
        former: its flags that were.

    Example:
        >>> former = [FormerFlag("--batch", "--batch-size")]
        >>> in_present_flags("lq run", ["net.onnx", "--batch=5"], former)
        ['net.onnx', '--batch-size=5']
    """
    known: dict[str, list[FormerFlag]] = {}
    for each in former:
        known.setdefault(each.flag, []).append(each)
    found = []
    for place, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if not equals:
            value = words[place + 1] if place + 1 < len(words) else ""
        name = flag.replace("_", "-") if flag.startswith("--") else flag
        for each in known.get(name, ()):
            if each.means is None or (value and each.means(value)):
                print(
                    f"{program}: {flag} {value} is {each.now} {value} now.",
                    file=sys.stderr,
                )
                word = f"{each.now}{equals}{value if equals else ''}"
                break
        found.append(word)
    return found
