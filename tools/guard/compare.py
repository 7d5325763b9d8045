"""What differs between two frozen folders, line for line."""

import difflib
import json
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A field of an entry that is not the same in both folders.

    Attributes:
        entry: its file, such as `"deploy/dense_binary"`.
        field: of the entry, or "" if the entry itself is in one folder only.
        removed: lines that were there.
        added: lines that came.
    """

    entry: str
    field: str
    removed: tuple[str, ...]
    added: tuple[str, ...]


def differences(
    before: pathlib.Path, after: pathlib.Path, parts: Sequence[str] | None = None
) -> Iterator[Difference]:
    """All differences between two folders of `<part>/<entry>.json`, in order of names."""
    first, second = _entries(before, parts), _entries(after, parts)
    for name in sorted(first.keys() | second.keys()):
        if name not in second:
            yield Difference(name, "", ("the entry",), ())
        elif name not in first:
            yield Difference(name, "", (), ("the entry",))
        else:
            yield from _of_entry(name, _read(first[name]), _read(second[name]))


def show(
    before: pathlib.Path,
    after: pathlib.Path,
    limit: int = 6,
    parts: Sequence[str] | None = None,
) -> int:
    """Prints a table of the differences, each with its first lines; 1 if there are any."""
    found = list(differences(before, after, parts))
    count = len(_entries(after, parts))
    if not found:
        print(f"guard: no difference in {count} entries")
        return 0
    width = max(len(f"{item.entry} {item.field}") for item in found)
    for item in found:
        head = f"{item.entry} {item.field}".ljust(width)
        print(f"{head}  -{len(item.removed)} +{len(item.added)} lines")
        for sign, lines in (("-", item.removed), ("+", item.added)):
            for line in lines[:limit]:
                print(f"    {sign} {line}"[:300])
            if len(lines) > limit:
                print(f"    {sign} ... {len(lines) - limit} more")
    entries = len({item.entry for item in found})
    print(f"guard: {len(found)} fields of {entries} entries differ, of {count}")
    return 1


def _entries(
    folder: pathlib.Path, parts: Sequence[str] | None
) -> dict[str, pathlib.Path]:
    files = {
        f"{file.parent.name}/{file.stem}": file for file in folder.glob("*/*.json")
    }
    return {n: f for n, f in files.items() if parts is None or f.parent.name in parts}


def _read(file: pathlib.Path) -> dict[str, list[str]]:
    return json.loads(file.read_text())


def _of_entry(name: str, before: dict, after: dict) -> Iterator[Difference]:
    for field in [*before, *(field for field in after if field not in before)]:
        first, second = before.get(field, []), after.get(field, [])
        if first == second and (field in before) == (field in after):
            continue
        # Both signs of ndiff would be quadratic in long files; this is enough.
        lines = list(difflib.unified_diff(first, second, lineterm="", n=0))[2:]
        removed = tuple(line[1:] for line in lines if line.startswith("-"))
        added = tuple(line[1:] for line in lines if line.startswith("+"))
        yield Difference(name, field, removed, added)
