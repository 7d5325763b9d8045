"""The pages that lead through the code name files and folders that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
MAPS = [
    ROOT / "docs" / "architecture.md",
    GLOSSARY,
    *(
        path
        for name in ("larqlite", "larqlite_runtime", "larqlite_zoo", "native", "tests")
        for path in sorted((ROOT / name).rglob("README.md"))
    ),
]
# A path in backquotes: of a Python or C++ file, or of a folder.
NAMED = re.compile(r"`((?:[\w.]+/)*[\w]+\.(?:py|cc|h|inc)|(?:\w+/)+)`")


def is_there(name: str, page: Path, before: str | None) -> bool:
    """Whether a path leads anywhere: from the root, from the page, or beside the last."""
    homes = [
        ROOT,
        page.parent,
        page.parent.parent,
        *([(ROOT / before).parent] if before else []),
    ]
    found = any((home / name).exists() for home in homes)
    return found or (page.name == "README.md" and any(page.parent.rglob(name)))


@pytest.mark.parametrize("page", MAPS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_map_names_is_there(page):
    missing, before = [], None
    for name in NAMED.findall(page.read_text(encoding="utf-8")):
        if not is_there(name, page, before):
            missing.append(name)
        elif "/" in name and (ROOT / name).is_file():
            before = name
    assert missing == []


def test_the_classes_of_the_glossary_are_in_the_file_that_stands_before_them():
    rows = re.findall(r"`([\w/]+\.py)`((?:, `\w+`)+)", GLOSSARY.read_text("utf-8"))
    assert len(rows) > 20
    for path, names in rows:
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"\w+", names):
            assert f"class {name}" in text, (path, name)


def test_a_file_that_moved_is_missed(tmp_path):
    page = tmp_path / "README.md"
    assert not is_there("larqlite/deploy/_verify.py", page, None)
    assert is_there("larqlite/deploy/verifier/_verify.py", page, None)
    assert is_there("_run.py", page, "larqlite/deploy/verifier/_verify.py")
