"""Whether code prints what its page shows: the same, or the same but for numbers.

What a page shows was printed once, on one machine (`make docs-outputs`). Another machine
takes other times, has other vector instructions, and trains to an accuracy some tenths
away; a comment on the page says so (see `pages.py`), and then words must agree and numbers
come near.
"""

import doctest
import re

# A number that is no part of a name or a version: not conv_2, float32, 2.21.0 or AVX-512.
_NUMBER = re.compile(
    r"(?<![\w.])(?<!\w-)[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w]*\.?\d)"
)
_VERSION = re.compile(r"\d+(?:\.\d+){2,}\S*")
_INSTRUCTIONS = re.compile(
    r"\b(?:AMX|AVX-512|AVX2|NEON|NumPy|amx|avx512|avx2|neon|portable)\b"
)
# Float parts of a file are those of Keras, or a rounding away.
_EQUAL = re.compile(r"\boff by \S+ \(\S+ of the largest\)")
_TIME = re.compile(r"\s*(?:ms|us|s|seconds|minutes|times)\b")
_WITHIN = re.compile(r"within ([\d.]+)%")
_FIRST = re.compile(r"(?:(.*), )?first (\d+) lines")
# What no machine may change: all of all, 100 %, and integers that are equal.
_ALL = re.compile(r"\b(\d[\d,]*) of \1\b")
_EXACT = re.compile(
    r"\b100(?:\.0+)?(?= ?%)|\b0(?:\.0+)?(?:e[-+]00)?(?= (?:apart|units?)\b)"
)
ANY = "any numbers"


def matches(expected: str, shown: str, near: str | None = None) -> bool:
    """Whether a page shows what is printed; a line `...` stands for anything.

    Args:
        expected: what the page shows.
        shown: what its code printed.
        near: "within 5%": words are the same, numbers as near as that, and times are any;
            "any numbers": numbers may all differ, but for "100 of 100", "100 %" and what
            is "0 apart" or "0 units" away. None, or "logged": the same. With
            ", first 9 lines" behind it, or that alone, the page shows no more of it.
    """
    near, shown = first_lines(near, shown)
    expected, shown = (_lines(text) for text in (expected, shown))
    if near in (None, "logged"):
        return doctest.OutputChecker().check_output(expected, shown, doctest.ELLIPSIS)
    (words, numbers), (other_words, others) = _parts(expected), _parts(shown)
    if not _words_agree(words, other_words):
        return False
    if leaves_out(expected, near):
        return True
    if near == ANY:
        return _stays_whole(expected, shown)
    if (within := _WITHIN.fullmatch(near)) is None:
        raise ValueError(f'no nearness "{near}": "within 5%", or "{ANY}"')
    bound = float(within[1]) / 100
    return all(
        is_time or abs(a - b) <= bound * max(abs(a), abs(b))
        for (a, is_time), (b, _) in zip(numbers, others, strict=True)
    )


def leaves_out(expected: str, near: str | None) -> bool:
    """Whether a page leaves out some of what is printed, which only a reader can write.

    Where numbers may differ, dots within a line are what the program printed.
    """
    if near is None:
        return "..." in expected
    return any(line.strip() == "..." for line in expected.splitlines())


def first_lines(near: str | None, shown: str) -> tuple[str | None, str]:
    """What is printed, cut to what the page shows of it, and how near that must come."""
    cut = _FIRST.fullmatch(near or "")
    if cut is None:
        return near, shown
    lines = shown.strip("\n").split("\n")[: int(cut[2])]
    return cut[1], "\n".join(lines)


def _lines(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").split("\n"))


def _parts(text: str) -> tuple[str, list[tuple[float, bool]]]:
    """The words of a text with `#` for its numbers, and the numbers: value, is it a time."""
    text = _INSTRUCTIONS.sub("ISA", text)
    text = _VERSION.sub("VERSION", text)
    text = _EQUAL.sub("equal", text)
    numbers = [
        (float(found[0].replace(",", "")), bool(_TIME.match(text, found.end())))
        for found in _NUMBER.finditer(text)
    ]
    words = _NUMBER.sub("#", text)
    # Columns are as wide as their numbers.
    words = re.sub(r"-{3,}", "---", words)
    return re.sub(r"[ \t]+", " ", words), numbers


def _stays_whole(expected: str, shown: str) -> bool:
    """Whether what is all, or nothing, on a page is so in what is printed, line by line."""
    return all(
        len(which.findall(there)) >= len(which.findall(here))
        for here, there in zip(expected.splitlines(), shown.splitlines(), strict=True)
        for which in (_ALL, _EXACT)
    )


def _words_agree(expected: str, shown: str) -> bool:
    return doctest.OutputChecker().check_output(expected, shown, doctest.ELLIPSIS)
