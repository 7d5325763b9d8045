"""The pages that lead through the code name files, folders and identifiers that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = ROOT / "docs" / "architecture.md"
GLOSSARY = ROOT / "docs" / "glossary.md"
FOLDERS = ("larqlite", "larqlite_runtime", "larqlite_zoo", "native", "tests", "web")
CODE = (".py", ".cc", ".h", ".inc", ".js", ".ts")
MAPS = [
    ARCHITECTURE,
    GLOSSARY,
    *(path for name in FOLDERS for path in sorted((ROOT / name).rglob("README.md"))),
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


def test_each_folder_of_the_table_has_a_readme():
    folders = re.findall(r"^\| `([\w/]+)/` \|", ARCHITECTURE.read_text("utf-8"), re.M)
    assert len(folders) > 10
    assert [f for f in folders if not (ROOT / f / "README.md").is_file()] == []


SUFFIXES = (
    ".py",
    ".cc",
    ".h",
    ".inc",
    ".sh",
    ".json",
    ".md",
    ".cfg",
    ".onnx",
    ".txt",
    ".js",
    ".mjs",
    ".wasm",
)


def identifiers(text: str) -> list[str]:
    """What stands in backquotes and is no path: each word of `lq.deploy.export` and its like."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    spans = re.findall(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`", text)
    # One that ends in `_` is how names begin.
    spans = [s for s in spans if not s.endswith((*SUFFIXES, "_"))]
    return [word for span in spans for word in span.split(".") if word]


@pytest.fixture(scope="module")
def words():
    """Every word of the code, and the names of its files."""
    found = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in CODE and path != Path(__file__):
                found |= {path.stem, path.parent.name}
                found |= set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("page", MAPS, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_a_map_calls_by_name_is_in_the_code(page, words):
    text = page.read_text(encoding="utf-8")
    if page == GLOSSARY:  # the last column has the names of before
        text = re.sub(r"^(\|(?:[^|\n]*\|){3})[^|\n]*\|$", r"\1", text, flags=re.M)
    assert sorted(set(identifiers(text)) - words) == []


def test_an_identifier_that_is_gone_is_missed(words):
    text = "`find_codes`, `Sums.of(x)`\n```\n`not_this`\n```\n`_packing.py` `native/`"
    assert identifiers(text) == ["find_codes", "Sums", "of"]
    assert "find_codes" in words
    assert "find" + "_meaning" not in words


def test_a_file_that_moved_is_missed(tmp_path):
    page = tmp_path / "README.md"
    assert not is_there("larqlite/deploy/_verify.py", page, None)
    assert is_there("larqlite/deploy/verifier/_verify.py", page, None)
    assert is_there("_run.py", page, "larqlite/deploy/verifier/_verify.py")
