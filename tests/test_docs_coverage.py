"""Every public name has a docstring and an entry in the reference."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def public_names(monkeypatch):
    """The check that `make docs` runs, as a module."""
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield importlib.import_module("public_names")
    sys.modules.pop("public_names", None)


def test_every_public_name_has_a_docstring_and_an_entry(public_names):
    assert public_names.undocumented(DOCS / "api") == []


def test_the_check_looks_at_all_public_modules(public_names):
    modules = public_names.public_modules()
    assert {"larqlite", "larqlite.quantizers", "larqlite.errors"} < set(modules)
    assert "SteSign" in public_names.public_names("larqlite.quantizers")
    assert "LarqliteError" in public_names.public_names("larqlite.errors")


def test_a_name_without_an_entry_or_docstring_is_named(
    public_names, monkeypatch, tmp_path
):
    import larqlite

    class Bare(larqlite.quantizers.Quantizer):
        precision = 1

    monkeypatch.setattr(larqlite.quantizers, "Bare", Bare, raising=False)
    monkeypatch.setattr(larqlite.quantizers, "__all__", ["SteSign", "Bare"])
    page = ".. currentmodule:: larqlite.quantizers\n\n.. autoclass:: Bare\n"
    (tmp_path / "quantizers.rst").write_text(page, encoding="utf-8")
    complaints = public_names.undocumented(tmp_path)
    assert "larqlite.quantizers.Bare has no docstring" in complaints
    missing = f"larqlite.quantizers.SteSign is not in the reference ({tmp_path.name}/)"
    assert missing in complaints
    assert not any("Bare is not in" in complaint for complaint in complaints)


def test_every_entry_of_the_reference_exists(public_names):
    for dotted in public_names.names_in_reference(DOCS / "api"):
        parent, _, name = dotted.rpartition(".")
        found = importlib.import_module(parent or name)
        # A module that nobody has imported yet is no attribute of its package.
        there = hasattr(found, name) or importlib.util.find_spec(dotted) is not None
        assert not parent or there, dotted
