"""Whether code prints what its page shows: the same, or the same but for numbers.

What a page shows was printed once, on one machine (`make docs-outputs`). Another machine
takes other times, has other vector instructions, and trains to an accuracy some tenths
away; a comment on the page says so (see `pages.py`), and then words must agree and numbers
come near. What the page says of its numbers, such as that four bits are no point behind
float, has to hold wherever it runs: `within 5%; #2 > #1 - 1`.
"""

import doctest
import operator
import re

# A number that is no part of a name or a version: not conv_2, float32, 2.21.0 or AVX-512.
_NUMBER = re.compile(
    r"(?<![\w.])(?<!\w-)[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w]*\.?\d)"
)
_VERSION = re.compile(r"\d+(?:\.\d+){2,}\S*")
_INSTRUCTIONS = re.compile(
    r"\b(?:AMX|AVX-512|AVX2|NEON|NumPy|numpy|amx|avx512|avx2|neon|portable)\b"
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
# `#2 >= #1 - 1.5`: the second number of an output, against the first one.
_TERM = r"(#\d+|-?\d+(?:\.\d+)?)(?: ([-+]) (\d+(?:\.\d+)?))?"
_RELATION = re.compile(rf"{_TERM} (<=|>=|<|>|=) {_TERM}")
_HOLDS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


def matches(expected: str, shown: str, near: str | None = None) -> bool:
    """Whether a page shows what is printed; a line `...` stands for anything.

    Args:
        expected: what the page shows.
        shown: what its code printed.
        near: "within 5%": words are the same, numbers as near as that, and times are any;
            "any numbers": numbers may all differ, but for "100 of 100", "100 %" and what
            is "0 apart" or "0 units" away. None, or "logged": the same. With
            ", first 9 lines" behind it, or that alone, the page shows no more of it.
            What follows a ";" are relations, which are not looked at: see `untrue`.
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


def untrue(near: str | None, shown: str) -> list[str]:
    """The relations of a comment that do not hold between the numbers that are shown.

    Args:
        near: the comment: "any numbers; #2 > #1 - 1; #3 >= 98" has two, with #1 for the
            first number that is shown. A number that is the name of something, as in
            conv_2, or in int8, is none.
        shown: what is printed, or what the page shows.

    Raises:
        ValueError: a relation cannot be read, or names a number that there is not.
    """
    _, shown = first_lines(near, shown)
    numbers = [value for value, _ in _parts(shown)[1]]

    def value_of(name: str, sign: str | None, change: str | None) -> float:
        value = numbers[int(name[1:]) - 1] if name[0] == "#" else float(name)
        return value + float(f"{sign}{change}" if sign else 0)

    false = []
    for relation in _relations(near):
        found = _RELATION.fullmatch(relation)
        if found is None:
            raise ValueError(f'no relation "{relation}": such as "#2 > #1 - 1"')
        places = [int(place) for place in re.findall(r"#(\d+)", relation)]
        if not 0 < min(places, default=1) <= max(places, default=1) <= len(numbers):
            raise ValueError(f'"{relation}": there are {len(numbers)} numbers')
        *left, sign, name, plus, change = found.groups()
        if not _HOLDS[sign](value_of(*left), value_of(name, plus, change)):
            false.append(relation)
    return false


def _relations(near: str | None) -> list[str]:
    return [each.strip() for each in (near or "").split(";")[1:]]


def leaves_out(expected: str, near: str | None) -> bool:
    """Whether a page leaves out some of what is printed, which only a reader can write.

    Where numbers may differ, dots within a line are what the program printed.
    """
    if near is None:
        return "..." in expected
    return any(line.strip() == "..." for line in expected.splitlines())


def first_lines(near: str | None, shown: str) -> tuple[str | None, str]:
    """What is printed, cut to what the page shows of it, and how near that must come,
    without its relations."""
    near = near and near.partition(";")[0].strip()
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
